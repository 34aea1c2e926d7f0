package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// PutRolePolicy gives a role an inline policy, or changes one.
func (i *IAM) PutRolePolicy(ctx context.Context, in *iam.PutRolePolicyInput) (*iam.PutRolePolicyOutput, error) {
	return &iam.PutRolePolicyOutput{}, i.putInline(ctx, "iam:PutRolePolicy", kindRole, in.RoleName, in.PolicyName, in.PolicyDocument)
}
