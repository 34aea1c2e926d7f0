package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// DetachRolePolicy takes a managed policy from a role.
func (i *IAM) DetachRolePolicy(ctx context.Context, in *iam.DetachRolePolicyInput) (*iam.DetachRolePolicyOutput, error) {
	return &iam.DetachRolePolicyOutput{}, i.detach(ctx, "iam:DetachRolePolicy", kindRole, in.RoleName, in.PolicyArn)
}
