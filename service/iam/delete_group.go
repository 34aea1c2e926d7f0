package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// DeleteGroup deletes a group that nothing hangs on.
func (i *IAM) DeleteGroup(ctx context.Context, in *iam.DeleteGroupInput) (*iam.DeleteGroupOutput, error) {
	return &iam.DeleteGroupOutput{}, i.change(ctx, "iam:DeleteGroup", kindGroup, in.GroupName, func(tx *store.Tx, e *entity) error {
		return remove(ctx, tx, e)
	})
}
