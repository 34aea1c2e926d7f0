package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// TagRole adds tags to a role, or changes their values.
func (i *IAM) TagRole(ctx context.Context, in *iam.TagRoleInput) (*iam.TagRoleOutput, error) {
	return &iam.TagRoleOutput{}, i.tag(ctx, "iam:TagRole", kindRole, in.RoleName, in.Tags)
}
