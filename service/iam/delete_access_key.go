package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// DeleteAccessKey deletes a key of a user.
func (i *IAM) DeleteAccessKey(ctx context.Context, in *iam.DeleteAccessKeyInput) (*iam.DeleteAccessKeyOutput, error) {
	name, err := userName(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	return &iam.DeleteAccessKeyOutput{}, i.change(ctx, "iam:DeleteAccessKey", kindUser, name, func(tx *store.Tx, e *entity) error {
		n, err := rows.New(tx).DeleteAccessKey(ctx, rows.DeleteAccessKeyParams{Owner: e.ID, ID: in.AccessKeyId})
		if err == nil && n == 0 {
			err = missingKey(in.AccessKeyId)
		}
		return err
	})
}
