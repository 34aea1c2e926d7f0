package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// DeleteRole deletes a role that nothing hangs on. Its sessions end at once.
func (i *IAM) DeleteRole(ctx context.Context, in *iam.DeleteRoleInput) (*iam.DeleteRoleOutput, error) {
	return &iam.DeleteRoleOutput{}, i.change(ctx, "iam:DeleteRole", kindRole, in.RoleName, func(tx *store.Tx, e *entity) error {
		return remove(ctx, tx, e)
	})
}
