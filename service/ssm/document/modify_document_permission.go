package document

import (
	"context"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/document/internal/rows"
	"github.com/vennel/vennel/store"
)

// everybody is the grantee that means every account.
const everybody = "all"

// With how many accounts a document may be shared, and how many documents with all of them. source:
// model, quotas
const (
	mostShares = 1000
	mostPublic = 5
)

// ModifyDocumentPermission shares a document with accounts or with all, or ends that. Who is both
// added and removed is removed.
func (d *Documents) ModifyDocumentPermission(ctx context.Context, in *ssm.ModifyDocumentPermissionInput) (*ssm.ModifyDocumentPermissionOutput, error) {
	add, remove := grantees(in.AccountIdsToAdd), grantees(in.AccountIdsToRemove)
	err := d.db.Update(ctx, func(tx *store.Tx) error {
		doc, err := openOwn(ctx, tx, "ssm:ModifyDocumentPermission", in.Name)
		if err != nil {
			return err
		}
		if len(add) == 0 && len(remove) == 0 {
			return api.Errorf(api.Invalid, "You must specify a value for AccountIdsToAdd or AccountIdsToRemove")
		}
		for _, list := range [][]string{add, remove} {
			if len(list) > 1 && slices.Contains(list, everybody) {
				return ssm.ErrDocumentPermissionLimit("Accounts can either be all or a group of AWS accounts") // source: aws
			}
		}
		for _, grantee := range add {
			err := rows.New(tx).PutShare(ctx, rows.PutShareParams{
				Account: doc.account, Region: doc.region, Document: doc.name, Grantee: grantee, Version: api.Or(in.SharedDocumentVersion, versionDefault),
			})
			if err != nil {
				return err
			}
		}
		for _, grantee := range remove {
			err := rows.New(tx).DeleteShare(ctx, rows.DeleteShareParams{
				Account: doc.account, Region: doc.region, Document: doc.name, Grantee: grantee,
			})
			if err != nil {
				return err
			}
		}
		return checkShares(ctx, tx, doc)
	})
	return &ssm.ModifyDocumentPermissionOutput{}, err
}

// grantees reads a list of accounts. All is written in lower case, as answers have it.
func grantees(list []string) (out []string) {
	for _, grantee := range list {
		if grantee = strings.ToLower(grantee); !slices.Contains(out, grantee) {
			out = append(out, grantee)
		}
	}
	return out
}

// checkShares refuses what is more than a document or an account may share.
func checkShares(ctx context.Context, tx *store.Tx, d *document) error {
	accounts, err := rows.New(tx).CountShares(ctx, rows.CountSharesParams{Account: d.account, Region: d.region, Document: d.name})
	if err != nil {
		return err
	}
	if accounts > mostShares {
		return ssm.ErrDocumentPermissionLimit("The document can't be shared with more than %d AWS accounts.", mostShares)
	}
	public, err := rows.New(tx).CountPublic(ctx, rows.CountPublicParams{Region: d.region, Account: d.account})
	if err == nil && public > mostPublic {
		err = ssm.ErrDocumentPermissionLimit("You can share at most %d documents publicly.", mostPublic)
	}
	return err
}
