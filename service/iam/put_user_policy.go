package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// PutUserPolicy gives a user an inline policy, or changes one.
func (i *IAM) PutUserPolicy(ctx context.Context, in *iam.PutUserPolicyInput) (*iam.PutUserPolicyOutput, error) {
	return &iam.PutUserPolicyOutput{}, i.putInline(ctx, "iam:PutUserPolicy", kindUser, in.UserName, in.PolicyName, in.PolicyDocument)
}
