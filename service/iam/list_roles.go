package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// ListRoles lists the roles of the account below a path.
func (i *IAM) ListRoles(ctx context.Context, in *iam.ListRolesInput) (*iam.ListRolesOutput, error) {
	list, marker, truncated, err := i.list(ctx, "iam:ListRoles", kindRole, in.PathPrefix, in.Marker, in.MaxItems)
	return &iam.ListRolesOutput{Roles: each(list, listedRole), Marker: marker, IsTruncated: truncated}, err
}
