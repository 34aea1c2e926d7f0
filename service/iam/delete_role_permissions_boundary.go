package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// DeleteRolePermissionsBoundary takes the permissions boundary from a role.
func (i *IAM) DeleteRolePermissionsBoundary(ctx context.Context, in *iam.DeleteRolePermissionsBoundaryInput) (*iam.DeleteRolePermissionsBoundaryOutput, error) {
	return &iam.DeleteRolePermissionsBoundaryOutput{}, i.setBoundary(ctx, "iam:DeleteRolePermissionsBoundary", kindRole, in.RoleName, "")
}
