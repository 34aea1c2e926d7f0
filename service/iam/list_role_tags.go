package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// ListRoleTags lists the tags of a role.
func (i *IAM) ListRoleTags(ctx context.Context, in *iam.ListRoleTagsInput) (*iam.ListRoleTagsOutput, error) {
	out := new(iam.ListRoleTagsOutput)
	var err error
	out.Tags, out.Marker, out.IsTruncated, err = i.listTags(ctx, "iam:ListRoleTags", kindRole, in.RoleName, in.Marker, in.MaxItems)
	return out, err
}
