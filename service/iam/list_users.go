package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// ListUsers lists the users of the account below a path.
func (i *IAM) ListUsers(ctx context.Context, in *iam.ListUsersInput) (*iam.ListUsersOutput, error) {
	list, marker, truncated, err := i.list(ctx, "iam:ListUsers", kindUser, in.PathPrefix, in.Marker, in.MaxItems)
	return &iam.ListUsersOutput{Users: each(list, user), Marker: marker, IsTruncated: truncated}, err
}
