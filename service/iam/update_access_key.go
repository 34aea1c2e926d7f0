package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// UpdateAccessKey makes a key of a user active or inactive.
func (i *IAM) UpdateAccessKey(ctx context.Context, in *iam.UpdateAccessKeyInput) (*iam.UpdateAccessKeyOutput, error) {
	name, err := userName(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	return &iam.UpdateAccessKeyOutput{}, i.change(ctx, "iam:UpdateAccessKey", kindUser, name, func(tx *store.Tx, e *entity) error {
		n, err := rows.New(tx).SetAccessKeyStatus(ctx, rows.SetAccessKeyStatusParams{Owner: e.ID, ID: in.AccessKeyId, Status: in.Status})
		if err == nil && n == 0 {
			err = missingKey(in.AccessKeyId)
		}
		return err
	})
}

// missingKey is the error for a key that the user has not. source: aws
func missingKey(id string) error {
	return iam.ErrNoSuchEntityException("The Access Key with id %s cannot be found.", id)
}
