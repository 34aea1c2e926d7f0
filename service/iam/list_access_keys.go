package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// ListAccessKeys lists the keys of a user, the caller where none is named.
func (i *IAM) ListAccessKeys(ctx context.Context, in *iam.ListAccessKeysInput) (*iam.ListAccessKeysOutput, error) {
	name, err := userName(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	out := new(iam.ListAccessKeysOutput)
	err = i.read(ctx, "iam:ListAccessKeys", kindUser, name, func(tx *store.Tx, e *entity) error {
		list, err := rows.New(tx).ListAccessKeys(ctx, e.ID)
		list, out.Marker, out.IsTruncated = page(newPager(in.Marker, in.MaxItems), list, func(k *rows.IamAccessKey) string { return k.ID })
		out.AccessKeyMetadata = each(list, func(k *rows.IamAccessKey) iam.AccessKeyMetadata {
			return iam.AccessKeyMetadata{UserName: &e.Name, AccessKeyId: &k.ID, Status: &k.Status, CreateDate: new(when(k.Created))}
		})
		return err
	})
	return out, err
}
