package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// ListPolicyTags lists the tags of a managed policy.
func (i *IAM) ListPolicyTags(ctx context.Context, in *iam.ListPolicyTagsInput) (*iam.ListPolicyTagsOutput, error) {
	out := new(iam.ListPolicyTagsOutput)
	var err error
	out.Tags, out.Marker, out.IsTruncated, err = i.listTags(ctx, "iam:ListPolicyTags", kindPolicy, in.PolicyArn, in.Marker, in.MaxItems)
	return out, err
}
