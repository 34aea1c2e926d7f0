package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// ListUserTags lists the tags of a user.
func (i *IAM) ListUserTags(ctx context.Context, in *iam.ListUserTagsInput) (*iam.ListUserTagsOutput, error) {
	out := new(iam.ListUserTagsOutput)
	var err error
	out.Tags, out.Marker, out.IsTruncated, err = i.listTags(ctx, "iam:ListUserTags", kindUser, in.UserName, in.Marker, in.MaxItems)
	return out, err
}
