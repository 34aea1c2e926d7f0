package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// TagInstanceProfile adds tags to an instance profile, or changes their values.
func (i *IAM) TagInstanceProfile(ctx context.Context, in *iam.TagInstanceProfileInput) (*iam.TagInstanceProfileOutput, error) {
	return &iam.TagInstanceProfileOutput{}, i.tag(ctx, "iam:TagInstanceProfile", kindProfile, in.InstanceProfileName, in.Tags)
}
