package document

import (
	"context"
	"math"
	"strconv"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/document/internal/rows"
	"github.com/vennel/vennel/store"
)

// ListDocumentVersions lists a document's versions, newest first. Of a document of another account
// only what is shared is listed.
func (d *Documents) ListDocumentVersions(ctx context.Context, in *ssm.ListDocumentVersionsInput) (*ssm.ListDocumentVersionsOutput, error) {
	most, before := int(api.Or(in.MaxResults, 50)), int64(math.MaxInt64)
	if in.NextToken != nil {
		var err error
		if before, err = strconv.ParseInt(*in.NextToken, 10, 64); err != nil {
			return nil, ssm.ErrInvalidNextToken("The specified token isn't valid.")
		}
	}
	out := new(ssm.ListDocumentVersionsOutput)
	err := d.db.View(ctx, func(tx *store.Tx) error {
		doc, err := open(ctx, tx, "ssm:ListDocumentVersions", in.Name)
		if err != nil {
			return err
		}
		out.DocumentVersions, out.NextToken = []ssm.DocumentVersionInfo{}, nil
		list, err := doc.versions(ctx, tx, before, most+1)
		for i := range list {
			if i == most {
				out.NextToken = numeral(list[most-1].Version)
				break
			}
			v := &list[i]
			out.DocumentVersions = append(out.DocumentVersions, ssm.DocumentVersionInfo{
				Name: new(doc.called()), DisplayName: api.Given(v.DisplayName), DocumentVersion: numeral(v.Version),
				VersionName: api.Given(v.VersionName), CreatedDate: when(v.Created), IsDefaultVersion: new(v.Version == doc.row.DefaultVersion),
				DocumentFormat: &v.Format, Status: new(ssm.DocumentStatusActive),
			})
		}
		return err
	})
	return out, err
}

// versions gives the versions that the account may use, newest first, before a number.
func (d *document) versions(ctx context.Context, tx *store.Tx, before int64, most int) ([]rows.SsmDocumentVersion, error) {
	if d.own || d.grant == versionAll {
		return rows.New(tx).ListVersions(ctx, rows.ListVersionsParams{
			Account: d.account, Region: d.region, Document: d.name, Before: before, Most: int32(most),
		})
	}
	v, err := d.version(ctx, tx, nil, nil)
	if err != nil || v.Version >= before {
		return nil, err
	}
	return []rows.SsmDocumentVersion{*v}, nil
}
