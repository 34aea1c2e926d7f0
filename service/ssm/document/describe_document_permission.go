package document

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/document/internal/rows"
	"github.com/vennel/vennel/store"
)

// DescribeDocumentPermission tells with whom a document is shared.
func (d *Documents) DescribeDocumentPermission(ctx context.Context, in *ssm.DescribeDocumentPermissionInput) (*ssm.DescribeDocumentPermissionOutput, error) {
	most := int(api.Or(in.MaxResults, 200))
	out := new(ssm.DescribeDocumentPermissionOutput)
	err := d.db.View(ctx, func(tx *store.Tx) error {
		doc, err := openOwn(ctx, tx, "ssm:DescribeDocumentPermission", in.Name)
		if err != nil {
			return err
		}
		*out = ssm.DescribeDocumentPermissionOutput{AccountIds: []string{}, AccountSharingInfoList: []ssm.AccountSharingInfo{}}
		list, err := rows.New(tx).ListShares(ctx, rows.ListSharesParams{
			Account: doc.account, Region: doc.region, Document: doc.name, After: api.Or(in.NextToken, ""), Most: int32(most + 1),
		})
		for i := range list {
			if i == most {
				out.NextToken = new(list[most-1].Grantee) // a copy, since it is sealed on its way out
				break
			}
			out.AccountIds = append(out.AccountIds, list[i].Grantee)
			out.AccountSharingInfoList = append(out.AccountSharingInfoList, ssm.AccountSharingInfo{
				AccountId: &list[i].Grantee, SharedDocumentVersion: &list[i].Version,
			})
		}
		return err
	})
	return out, err
}
