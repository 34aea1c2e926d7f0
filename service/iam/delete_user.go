package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// DeleteUser deletes a user that nothing hangs on.
func (i *IAM) DeleteUser(ctx context.Context, in *iam.DeleteUserInput) (*iam.DeleteUserOutput, error) {
	return &iam.DeleteUserOutput{}, i.change(ctx, "iam:DeleteUser", kindUser, in.UserName, func(tx *store.Tx, e *entity) error {
		return remove(ctx, tx, e)
	})
}
