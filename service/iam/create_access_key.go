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

// CreateAccessKey makes a key of a user. Its secret is told only now.
func (i *IAM) CreateAccessKey(ctx context.Context, in *iam.CreateAccessKeyInput) (*iam.CreateAccessKeyOutput, error) {
	call := api.CallFrom(ctx)
	name, err := userName(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	id, secret := newID(prefixKey, 16), newSecret()
	sealed := i.keys.Seal([]byte(secret), id)
	var e *rows.IamEntity
	err = i.db.Update(ctx, func(tx *store.Tx) (err error) {
		if e, err = allow(ctx, tx, "iam:CreateAccessKey", kindUser, name); err != nil {
			return err
		}
		q := rows.New(tx)
		list, err := q.ListAccessKeys(ctx, rows.ListAccessKeysParams{Account: e.Account, Owner: e.Key})
		if err != nil {
			return err
		}
		if len(list) >= mostKeys {
			return iam.ErrLimitExceededException("Cannot exceed quota for AccessKeysPerUser: %d", mostKeys)
		}
		return q.PutAccessKey(ctx, rows.PutAccessKeyParams{
			ID: id, Account: e.Account, Owner: e.Key, Secret: sealed, Status: iam.StatusTypeActive, Created: call.Time.UnixMilli(),
		})
	})
	if err != nil {
		return nil, err
	}
	return &iam.CreateAccessKeyOutput{AccessKey: iam.AccessKey{
		UserName: e.Name, AccessKeyId: id, Status: iam.StatusTypeActive, SecretAccessKey: secret, CreateDate: new(when(call.Time.UnixMilli())),
	}}, nil
}

// userName is the user that a request names, or else the caller.
func userName(ctx context.Context, given *string) (string, error) {
	if given != nil {
		return *given, nil
	}
	if p, ok := api.CallFrom(ctx).Principal.(*Principal); ok && p.name != "" {
		return p.name, nil
	}
	return "", api.Errorf(api.Invalid, "Must specify userName when calling with non-User credentials")
}
