package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// GetRolePolicy gives an inline policy of a role.
func (i *IAM) GetRolePolicy(ctx context.Context, in *iam.GetRolePolicyInput) (*iam.GetRolePolicyOutput, error) {
	name, text, err := i.getInline(ctx, "iam:GetRolePolicy", kindRole, in.RoleName, in.PolicyName)
	return &iam.GetRolePolicyOutput{RoleName: name, PolicyName: in.PolicyName, PolicyDocument: text}, err
}
