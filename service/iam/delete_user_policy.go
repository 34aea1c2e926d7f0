package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// DeleteUserPolicy takes an inline policy from a user.
func (i *IAM) DeleteUserPolicy(ctx context.Context, in *iam.DeleteUserPolicyInput) (*iam.DeleteUserPolicyOutput, error) {
	return &iam.DeleteUserPolicyOutput{}, i.deleteInline(ctx, "iam:DeleteUserPolicy", kindUser, in.UserName, in.PolicyName)
}
