package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// ListInstanceProfileTags lists the tags of an instance profile.
func (i *IAM) ListInstanceProfileTags(ctx context.Context, in *iam.ListInstanceProfileTagsInput) (*iam.ListInstanceProfileTagsOutput, error) {
	out := new(iam.ListInstanceProfileTagsOutput)
	var err error
	out.Tags, out.Marker, out.IsTruncated, err = i.listTags(ctx, "iam:ListInstanceProfileTags", kindProfile, in.InstanceProfileName, in.Marker, in.MaxItems)
	return out, err
}
