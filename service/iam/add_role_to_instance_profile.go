package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// AddRoleToInstanceProfile puts a role into an instance profile that has none.
func (i *IAM) AddRoleToInstanceProfile(ctx context.Context, in *iam.AddRoleToInstanceProfileInput) (*iam.AddRoleToInstanceProfileOutput, error) {
	return &iam.AddRoleToInstanceProfileOutput{}, i.change(ctx, "iam:AddRoleToInstanceProfile", kindProfile, in.InstanceProfileName, func(tx *store.Tx, e *entity) error {
		r, err := must(ctx, tx, e.Account, kindRole, in.RoleName)
		if err != nil {
			return err
		}
		if err := Allow(ctx, "iam:PassRole", entityARN(r)); err != nil {
			return err
		}
		held, err := members(ctx, tx, e.ID, newPager(nil, nil))
		if err != nil {
			return err
		}
		if len(held) > 0 {
			return exceeds("InstanceSessionsPerInstanceProfile", 1) // source: aws
		}
		return join(ctx, tx, e, r)
	})
}
