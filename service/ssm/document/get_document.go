package document

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
	"github.com/vennel/vennel/store"
)

// GetDocument gives the content of a version of a document, in JSON unless the request wants YAML. In
// the format in which it was given it is as it was given, to the byte.
func (d *Documents) GetDocument(ctx context.Context, in *ssm.GetDocumentInput) (*ssm.GetDocumentOutput, error) {
	format := api.Or(in.DocumentFormat, ssmdoc.JSON)
	out := new(ssm.GetDocumentOutput)
	err := d.db.View(ctx, func(tx *store.Tx) error {
		doc, err := open(ctx, tx, "ssm:GetDocument", in.Name)
		if err != nil {
			return err
		}
		v, err := doc.version(ctx, tx, in.DocumentVersion, in.VersionName)
		if err != nil {
			return err
		}
		text, err := doc.text(ctx, tx, v)
		if err != nil {
			return err
		}
		requires, err := required(doc.row.Requires)
		if err != nil {
			return err
		}
		if format == ssmdoc.TEXT {
			return api.Errorf(api.Invalid, "The document %s is written in %s, and can be had in JSON or YAML only", in.Name, v.Format)
		}
		content, err := ssmdoc.Convert([]byte(text), v.Format, format)
		if err != nil {
			return err
		}
		*out = ssm.GetDocumentOutput{
			Name: new(doc.called()), CreatedDate: when(v.Created), DisplayName: api.Given(v.DisplayName), VersionName: api.Given(v.VersionName),
			DocumentVersion: numeral(v.Version), Status: new(ssm.DocumentStatusActive), Content: new(string(content)), DocumentType: &doc.row.Type,
			DocumentFormat: &format, Requires: requires, AttachmentsContent: []ssm.AttachmentContent{},
		}
		return nil
	})
	return out, err
}
