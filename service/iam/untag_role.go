package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// UntagRole takes tags from a role.
func (i *IAM) UntagRole(ctx context.Context, in *iam.UntagRoleInput) (*iam.UntagRoleOutput, error) {
	return &iam.UntagRoleOutput{}, i.untag(ctx, "iam:UntagRole", kindRole, in.RoleName, in.TagKeys)
}
