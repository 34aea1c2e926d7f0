package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// PutGroupPolicy gives a group an inline policy, or changes one.
func (i *IAM) PutGroupPolicy(ctx context.Context, in *iam.PutGroupPolicyInput) (*iam.PutGroupPolicyOutput, error) {
	return &iam.PutGroupPolicyOutput{}, i.putInline(ctx, "iam:PutGroupPolicy", kindGroup, in.GroupName, in.PolicyName, in.PolicyDocument)
}
