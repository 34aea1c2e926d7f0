package iam

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// mostKeys is how many access keys a user may have. source: userguide, quotas
const mostKeys = 2

// CreateAccessKey makes a key of a user, the caller where none is named. Its secret is told only now.
func (i *IAM) CreateAccessKey(ctx context.Context, in *iam.CreateAccessKeyInput) (*iam.CreateAccessKeyOutput, error) {
	call := api.CallFrom(ctx)
	name, err := userName(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	id, secret := newID(prefixKey, 16), newSecret()
	sealed := i.keys.Seal([]byte(secret), id)
	out := new(iam.CreateAccessKeyOutput)
	err = i.change(ctx, "iam:CreateAccessKey", kindUser, name, func(tx *store.Tx, e *entity) error {
		q := rows.New(tx)
		if held, err := q.CountHeld(ctx, e.ID); err != nil {
			return err
		} else if held.Keys >= mostKeys {
			return exceeds("AccessKeysPerUser", mostKeys)
		}
		out.AccessKey = iam.AccessKey{
			UserName: e.Name, AccessKeyId: id, Status: iam.StatusTypeActive, SecretAccessKey: secret, CreateDate: new(when(call.Time.UnixMilli())),
		}
		return q.PutAccessKey(ctx, rows.PutAccessKeyParams{
			ID: id, Owner: e.ID, Secret: sealed, Status: iam.StatusTypeActive, Created: call.Time.UnixMilli(),
		})
	})
	return out, err
}
