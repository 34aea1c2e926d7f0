package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// DeleteUserPermissionsBoundary takes the permissions boundary from a user.
func (i *IAM) DeleteUserPermissionsBoundary(ctx context.Context, in *iam.DeleteUserPermissionsBoundaryInput) (*iam.DeleteUserPermissionsBoundaryOutput, error) {
	return &iam.DeleteUserPermissionsBoundaryOutput{}, i.setBoundary(ctx, "iam:DeleteUserPermissionsBoundary", kindUser, in.UserName, "")
}
