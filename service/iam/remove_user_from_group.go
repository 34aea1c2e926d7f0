package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// RemoveUserFromGroup takes a user out of a group. One that is not in it is no error.
func (i *IAM) RemoveUserFromGroup(ctx context.Context, in *iam.RemoveUserFromGroupInput) (*iam.RemoveUserFromGroupOutput, error) {
	return &iam.RemoveUserFromGroupOutput{}, i.change(ctx, "iam:RemoveUserFromGroup", kindGroup, in.GroupName, func(tx *store.Tx, e *entity) error {
		u, err := must(ctx, tx, e.Account, kindUser, in.UserName)
		if err != nil {
			return err
		}
		_, err = leave(ctx, tx, e, u)
		return err
	})
}
