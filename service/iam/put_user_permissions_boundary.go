package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// PutUserPermissionsBoundary makes a managed policy the permissions boundary of a user.
func (i *IAM) PutUserPermissionsBoundary(ctx context.Context, in *iam.PutUserPermissionsBoundaryInput) (*iam.PutUserPermissionsBoundaryOutput, error) {
	return &iam.PutUserPermissionsBoundaryOutput{}, i.setBoundary(ctx, "iam:PutUserPermissionsBoundary", kindUser, in.UserName, in.PermissionsBoundary)
}
