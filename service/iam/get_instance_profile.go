package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// GetInstanceProfile gives an instance profile with its role.
func (i *IAM) GetInstanceProfile(ctx context.Context, in *iam.GetInstanceProfileInput) (*iam.GetInstanceProfileOutput, error) {
	out := new(iam.GetInstanceProfileOutput)
	err := i.read(ctx, "iam:GetInstanceProfile", kindProfile, in.InstanceProfileName, func(tx *store.Tx, e *entity) (err error) {
		if out.InstanceProfile, err = profile(ctx, tx, e); err != nil {
			return err
		}
		out.InstanceProfile.Tags, err = tagList(ctx, tx, e)
		return err
	})
	return out, err
}
