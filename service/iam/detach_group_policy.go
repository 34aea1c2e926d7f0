package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// DetachGroupPolicy takes a managed policy from a group.
func (i *IAM) DetachGroupPolicy(ctx context.Context, in *iam.DetachGroupPolicyInput) (*iam.DetachGroupPolicyOutput, error) {
	return &iam.DetachGroupPolicyOutput{}, i.detach(ctx, "iam:DetachGroupPolicy", kindGroup, in.GroupName, in.PolicyArn)
}
