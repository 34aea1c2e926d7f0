package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// ListGroups lists the groups of the account below a path.
func (i *IAM) ListGroups(ctx context.Context, in *iam.ListGroupsInput) (*iam.ListGroupsOutput, error) {
	list, marker, truncated, err := i.list(ctx, "iam:ListGroups", kindGroup, in.PathPrefix, in.Marker, in.MaxItems)
	return &iam.ListGroupsOutput{Groups: each(list, group), Marker: marker, IsTruncated: truncated}, err
}
