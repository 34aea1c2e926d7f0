package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// ListGroupsForUser lists the groups that a user is in.
func (i *IAM) ListGroupsForUser(ctx context.Context, in *iam.ListGroupsForUserInput) (*iam.ListGroupsForUserOutput, error) {
	out := new(iam.ListGroupsForUserOutput)
	err := i.read(ctx, "iam:ListGroupsForUser", kindUser, in.UserName, func(tx *store.Tx, e *entity) error {
		p := newPager(in.Marker, in.MaxItems)
		list, err := containers(ctx, tx, e.ID, p)
		list, out.Marker, out.IsTruncated = page(p, list, entityKey)
		out.Groups = each(list, group)
		return err
	})
	return out, err
}
