package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// GetUserPolicy gives an inline policy of a user.
func (i *IAM) GetUserPolicy(ctx context.Context, in *iam.GetUserPolicyInput) (*iam.GetUserPolicyOutput, error) {
	name, text, err := i.getInline(ctx, "iam:GetUserPolicy", kindUser, in.UserName, in.PolicyName)
	return &iam.GetUserPolicyOutput{UserName: name, PolicyName: in.PolicyName, PolicyDocument: text}, err
}
