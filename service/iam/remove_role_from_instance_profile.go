package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// RemoveRoleFromInstanceProfile takes the role out of an instance profile.
func (i *IAM) RemoveRoleFromInstanceProfile(ctx context.Context, in *iam.RemoveRoleFromInstanceProfileInput) (*iam.RemoveRoleFromInstanceProfileOutput, error) {
	return &iam.RemoveRoleFromInstanceProfileOutput{}, i.change(ctx, "iam:RemoveRoleFromInstanceProfile", kindProfile, in.InstanceProfileName, func(tx *store.Tx, e *entity) error {
		r, err := must(ctx, tx, e.Account, kindRole, in.RoleName)
		if err != nil {
			return err
		}
		was, err := leave(ctx, tx, e, r)
		if err == nil && !was {
			// source: aws
			err = iam.ErrNoSuchEntityException("Role %s in Instance Profile %s cannot be found.", r.Name, e.Name)
		}
		return err
	})
}
