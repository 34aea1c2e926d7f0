package document

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/store"
)

// UpdateDocumentDefaultVersion says which version is meant when none is named.
func (d *Documents) UpdateDocumentDefaultVersion(ctx context.Context, in *ssm.UpdateDocumentDefaultVersionInput) (*ssm.UpdateDocumentDefaultVersionOutput, error) {
	out := new(ssm.UpdateDocumentDefaultVersionOutput)
	err := d.db.Update(ctx, func(tx *store.Tx) error {
		doc, err := openOwn(ctx, tx, "ssm:UpdateDocumentDefaultVersion", in.Name)
		if err != nil {
			return err
		}
		v, err := doc.version(ctx, tx, &in.DocumentVersion, nil)
		if err != nil {
			return err
		}
		out.Description = &ssm.DocumentDefaultVersionDescription{
			Name: &doc.name, DefaultVersion: numeral(v.Version), DefaultVersionName: api.Given(v.VersionName),
		}
		return setVersions(ctx, tx, doc, v.Version, doc.row.LatestVersion, doc.row.Versions)
	})
	return out, err
}
