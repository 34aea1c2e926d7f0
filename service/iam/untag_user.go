package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// UntagUser takes tags from a user.
func (i *IAM) UntagUser(ctx context.Context, in *iam.UntagUserInput) (*iam.UntagUserOutput, error) {
	return &iam.UntagUserOutput{}, i.untag(ctx, "iam:UntagUser", kindUser, in.UserName, in.TagKeys)
}
