package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// DeleteGroupPolicy takes an inline policy from a group.
func (i *IAM) DeleteGroupPolicy(ctx context.Context, in *iam.DeleteGroupPolicyInput) (*iam.DeleteGroupPolicyOutput, error) {
	return &iam.DeleteGroupPolicyOutput{}, i.deleteInline(ctx, "iam:DeleteGroupPolicy", kindGroup, in.GroupName, in.PolicyName)
}
