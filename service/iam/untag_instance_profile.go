package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// UntagInstanceProfile takes tags from an instance profile.
func (i *IAM) UntagInstanceProfile(ctx context.Context, in *iam.UntagInstanceProfileInput) (*iam.UntagInstanceProfileOutput, error) {
	return &iam.UntagInstanceProfileOutput{}, i.untag(ctx, "iam:UntagInstanceProfile", kindProfile, in.InstanceProfileName, in.TagKeys)
}
