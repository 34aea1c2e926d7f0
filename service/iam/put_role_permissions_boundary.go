package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// PutRolePermissionsBoundary makes a managed policy the permissions boundary of a role.
func (i *IAM) PutRolePermissionsBoundary(ctx context.Context, in *iam.PutRolePermissionsBoundaryInput) (*iam.PutRolePermissionsBoundaryOutput, error) {
	return &iam.PutRolePermissionsBoundaryOutput{}, i.setBoundary(ctx, "iam:PutRolePermissionsBoundary", kindRole, in.RoleName, in.PermissionsBoundary)
}
