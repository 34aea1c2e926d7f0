package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// UpdateUser gives a user another name or path. What belongs to it stays.
func (i *IAM) UpdateUser(ctx context.Context, in *iam.UpdateUserInput) (*iam.UpdateUserOutput, error) {
	const action = "iam:UpdateUser"
	return &iam.UpdateUserOutput{}, i.change(ctx, action, kindUser, in.UserName, func(tx *store.Tx, e *entity) error {
		return rename(ctx, tx, action, e, in.NewUserName, in.NewPath)
	})
}
