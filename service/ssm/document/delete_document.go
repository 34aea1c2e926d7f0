package document

import (
	"context"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/document/internal/rows"
	"github.com/vennel/vennel/service/ssm/tag"
	"github.com/vennel/vennel/store"
)

// DeleteDocument deletes one version of a document, or the document. None of the types that can be
// created here needs Force.
func (d *Documents) DeleteDocument(ctx context.Context, in *ssm.DeleteDocumentInput) (*ssm.DeleteDocumentOutput, error) {
	err := d.db.Update(ctx, func(tx *store.Tx) error {
		doc, err := openOwn(ctx, tx, "ssm:DeleteDocument", in.Name)
		if err != nil {
			return err
		}
		if in.DocumentVersion == nil && in.VersionName == nil {
			return drop(ctx, tx, doc)
		}
		v, err := doc.version(ctx, tx, in.DocumentVersion, in.VersionName)
		if err != nil {
			return err
		}
		return dropVersion(ctx, tx, doc, v.Version)
	})
	return &ssm.DeleteDocumentOutput{}, err
}

// drop deletes a document with all that belongs to it.
func drop(ctx context.Context, tx *store.Tx, d *document) error {
	q := rows.New(tx)
	shares, err := q.ListShares(ctx, rows.ListSharesParams{Account: d.account, Region: d.region, Document: d.name, Most: 1})
	if err != nil {
		return err
	}
	if len(shares) > 0 {
		// source: model
		return ssm.ErrInvalidDocumentOperation("You attempted to delete a document while it is still shared. You must stop sharing the document before you can delete it.")
	}
	if err := q.DeleteContents(ctx, rows.DeleteContentsParams{Account: d.account, Region: d.region, Document: d.name}); err != nil {
		return err
	}
	if err := q.DeleteVersions(ctx, rows.DeleteVersionsParams{Account: d.account, Region: d.region, Document: d.name}); err != nil {
		return err
	}
	if err := tag.Drop(ctx, tx, d.target()); err != nil {
		return err
	}
	return q.DeleteDocument(ctx, rows.DeleteDocumentParams{Account: d.account, Region: d.region, Name: d.name})
}

// dropVersion deletes a version; the newest of the others becomes the latest.
func dropVersion(ctx context.Context, tx *store.Tx, d *document, version int64) error {
	if version == d.row.DefaultVersion {
		return ssm.ErrInvalidDocumentOperation("Default version of the document can't be deleted.") // source: aws
	}
	q := rows.New(tx)
	if err := q.DeleteContent(ctx, rows.DeleteContentParams{Account: d.account, Region: d.region, Document: d.name, Version: version}); err != nil {
		return err
	}
	if err := q.DeleteVersion(ctx, rows.DeleteVersionParams{Account: d.account, Region: d.region, Document: d.name, Version: version}); err != nil {
		return err
	}
	if version != d.row.LatestVersion {
		return nil
	}
	newest, err := d.versions(ctx, tx, version, 1)
	if err != nil {
		return err
	}
	return setVersions(ctx, tx, d, d.row.DefaultVersion, newest[0].Version, d.row.Versions)
}
