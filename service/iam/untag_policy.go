package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// UntagPolicy takes tags from a managed policy.
func (i *IAM) UntagPolicy(ctx context.Context, in *iam.UntagPolicyInput) (*iam.UntagPolicyOutput, error) {
	return &iam.UntagPolicyOutput{}, i.untag(ctx, "iam:UntagPolicy", kindPolicy, in.PolicyArn, in.TagKeys)
}
