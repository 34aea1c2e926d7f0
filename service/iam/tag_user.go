package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// TagUser adds tags to a user, or changes their values.
func (i *IAM) TagUser(ctx context.Context, in *iam.TagUserInput) (*iam.TagUserOutput, error) {
	return &iam.TagUserOutput{}, i.tag(ctx, "iam:TagUser", kindUser, in.UserName, in.Tags)
}
