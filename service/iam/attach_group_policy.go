package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// AttachGroupPolicy attaches a managed policy to a group.
func (i *IAM) AttachGroupPolicy(ctx context.Context, in *iam.AttachGroupPolicyInput) (*iam.AttachGroupPolicyOutput, error) {
	return &iam.AttachGroupPolicyOutput{}, i.attach(ctx, "iam:AttachGroupPolicy", kindGroup, in.GroupName, in.PolicyArn)
}
