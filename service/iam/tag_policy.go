package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// TagPolicy adds tags to a managed policy, or changes their values.
func (i *IAM) TagPolicy(ctx context.Context, in *iam.TagPolicyInput) (*iam.TagPolicyOutput, error) {
	return &iam.TagPolicyOutput{}, i.tag(ctx, "iam:TagPolicy", kindPolicy, in.PolicyArn, in.Tags)
}
