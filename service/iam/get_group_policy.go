package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// GetGroupPolicy gives an inline policy of a group.
func (i *IAM) GetGroupPolicy(ctx context.Context, in *iam.GetGroupPolicyInput) (*iam.GetGroupPolicyOutput, error) {
	name, text, err := i.getInline(ctx, "iam:GetGroupPolicy", kindGroup, in.GroupName, in.PolicyName)
	return &iam.GetGroupPolicyOutput{GroupName: name, PolicyName: in.PolicyName, PolicyDocument: text}, err
}
