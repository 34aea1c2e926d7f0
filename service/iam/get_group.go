package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// GetGroup gives a group with its users.
func (i *IAM) GetGroup(ctx context.Context, in *iam.GetGroupInput) (*iam.GetGroupOutput, error) {
	out := new(iam.GetGroupOutput)
	err := i.read(ctx, "iam:GetGroup", kindGroup, in.GroupName, func(tx *store.Tx, e *entity) error {
		p := newPager(in.Marker, in.MaxItems)
		list, err := members(ctx, tx, e.ID, p)
		list, out.Marker, out.IsTruncated = page(p, list, entityKey)
		out.Group, out.Users = group(e), each(list, user)
		return err
	})
	return out, err
}
