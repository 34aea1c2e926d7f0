package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// DeleteInstanceProfile deletes an instance profile that nothing hangs on.
func (i *IAM) DeleteInstanceProfile(ctx context.Context, in *iam.DeleteInstanceProfileInput) (*iam.DeleteInstanceProfileOutput, error) {
	return &iam.DeleteInstanceProfileOutput{}, i.change(ctx, "iam:DeleteInstanceProfile", kindProfile, in.InstanceProfileName, func(tx *store.Tx, e *entity) error {
		return remove(ctx, tx, e)
	})
}
