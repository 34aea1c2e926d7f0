package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// AttachRolePolicy attaches a managed policy to a role.
func (i *IAM) AttachRolePolicy(ctx context.Context, in *iam.AttachRolePolicyInput) (*iam.AttachRolePolicyOutput, error) {
	return &iam.AttachRolePolicyOutput{}, i.attach(ctx, "iam:AttachRolePolicy", kindRole, in.RoleName, in.PolicyArn)
}
