package document

import (
	"context"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/store"
)

// DescribeDocument describes a version of a document.
func (d *Documents) DescribeDocument(ctx context.Context, in *ssm.DescribeDocumentInput) (*ssm.DescribeDocumentOutput, error) {
	out := new(ssm.DescribeDocumentOutput)
	err := d.db.View(ctx, func(tx *store.Tx) error {
		doc, err := open(ctx, tx, "ssm:DescribeDocument", in.Name)
		if err != nil {
			return err
		}
		v, err := doc.version(ctx, tx, in.DocumentVersion, in.VersionName)
		if err != nil {
			return err
		}
		out.Document, err = doc.description(ctx, tx, v, ssm.DocumentStatusActive)
		return err
	})
	return out, err
}
