package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// DeleteRolePolicy takes an inline policy from a role.
func (i *IAM) DeleteRolePolicy(ctx context.Context, in *iam.DeleteRolePolicyInput) (*iam.DeleteRolePolicyOutput, error) {
	return &iam.DeleteRolePolicyOutput{}, i.deleteInline(ctx, "iam:DeleteRolePolicy", kindRole, in.RoleName, in.PolicyName)
}
