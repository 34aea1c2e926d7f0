package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// ListInstanceProfilesForRole lists the instance profiles that hold a role.
func (i *IAM) ListInstanceProfilesForRole(ctx context.Context, in *iam.ListInstanceProfilesForRoleInput) (*iam.ListInstanceProfilesForRoleOutput, error) {
	out := new(iam.ListInstanceProfilesForRoleOutput)
	err := i.read(ctx, "iam:ListInstanceProfilesForRole", kindRole, in.RoleName, func(tx *store.Tx, e *entity) error {
		p := newPager(in.Marker, in.MaxItems)
		list, err := containers(ctx, tx, e.ID, p)
		if err != nil {
			return err
		}
		list, out.Marker, out.IsTruncated = page(p, list, entityKey)
		out.InstanceProfiles, err = profiles(ctx, tx, list)
		return err
	})
	return out, err
}
