package document

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
	"github.com/vennel/vennel/service/ssm/document/internal/rows"
	"github.com/vennel/vennel/store"
)

// UpdateDocument makes a new version of a document, which becomes the latest but not the default. The
// names and target type that the request does not give are those of the version before, but for the
// version's name. The answer calls it Updating, as AWS's does.
func (d *Documents) UpdateDocument(ctx context.Context, in *ssm.UpdateDocumentInput) (*ssm.UpdateDocumentOutput, error) {
	call := api.CallFrom(ctx)
	format := api.Or(in.DocumentFormat, ssmdoc.JSON)
	check := checkAhead(format, in.Content)
	out := new(ssm.UpdateDocumentOutput)
	err := d.db.Update(ctx, func(tx *store.Tx) error {
		doc, err := openOwn(ctx, tx, "ssm:UpdateDocument", in.Name)
		if err != nil {
			return err
		}
		if err := checkAttachments(in.Attachments); err != nil {
			return err
		}
		n, err := doc.number(ctx, tx, api.Or(in.DocumentVersion, versionLatest), "")
		if err != nil {
			return err
		}
		if n != doc.row.LatestVersion {
			// source: aws
			return ssm.ErrInvalidDocumentVersion("Version provided for document %s is not latest. Please provide the latest version to update document %s", in.Name, in.Name)
		}
		latest, err := doc.version(ctx, tx, new(versionLatest), nil)
		if err != nil {
			return err
		}
		facts, err := check(doc.row.Type)
		if err != nil {
			return err
		}
		if err := checkUpdate(ctx, tx, doc, latest, facts, in); err != nil {
			return err
		}
		next := doc.row.Versions + 1
		err = putVersion(ctx, tx, rows.PutVersionParams{
			Account: doc.account, Region: doc.region, Document: doc.name, Version: next, VersionName: api.Or(in.VersionName, ""),
			DisplayName: api.Or(in.DisplayName, latest.DisplayName), TargetType: cmp.Or(api.Or(in.TargetType, ""), latest.TargetType),
			Format: format, SchemaVersion: facts.schema, Platforms: facts.platforms, Hash: hash(in.Content), Created: call.Time.UnixMilli(),
		}, in.Content)
		if err != nil {
			return err
		}
		if err := setVersions(ctx, tx, doc, doc.row.DefaultVersion, next, next); err != nil {
			return err
		}
		out.DocumentDescription, err = describe(ctx, tx, doc.ref, next, ssm.DocumentStatusUpdating)
		return err
	})
	return out, err
}

// checkUpdate refuses versions that a document cannot have beside the others.
func checkUpdate(ctx context.Context, tx *store.Tx, d *document, latest *rows.SsmDocumentVersion, next *facts, in *ssm.UpdateDocumentInput) error {
	if d.row.Type != ssm.DocumentTypeSession {
		// source: userguide, "Schemas, features, and examples" (such a document is saved under another
		// name); the words are a guess
		for _, schema := range []string{latest.SchemaVersion, next.schema} {
			if strings.HasPrefix(schema, "1.") {
				return ssm.ErrInvalidDocumentSchemaVersion("Documents with the schema version %s cannot be updated. Save the document under another name.", schema)
			}
		}
	}
	if hash(in.Content) == latest.Hash && !changes(in.VersionName, latest.VersionName) && !changes(in.DisplayName, latest.DisplayName) &&
		!changes(in.TargetType, latest.TargetType) {
		// source: model (the words), aws (that another target type alone is no duplicate)
		return ssm.ErrDuplicateDocumentContent("The content of the association document matches another document. Change the content of the document and try again.")
	}
	q := rows.New(tx)
	if in.VersionName != nil {
		_, err := q.FindVersionName(ctx, rows.FindVersionNameParams{
			Account: d.account, Region: d.region, Document: d.name, VersionName: *in.VersionName,
		})
		if err == nil {
			// source: model
			return ssm.ErrDuplicateDocumentVersionName("The version name has already been used in this document. Specify a different version name, and then try again.")
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	count, err := q.CountVersions(ctx, rows.CountVersionsParams{Account: d.account, Region: d.region, Document: d.name})
	if err != nil {
		return err
	}
	if count >= mostVersions {
		// source: model
		return ssm.ErrDocumentVersionLimitExceeded("The document has too many versions. Delete one or more document versions and try again.")
	}
	return nil
}

// changes says whether a request gives something that differs from what there is.
func changes(given *string, is string) bool { return given != nil && *given != is }

// setVersions says which versions of a document mean something.
func setVersions(ctx context.Context, tx *store.Tx, d *document, defaultVersion, latest, newest int64) error {
	return rows.New(tx).SetVersions(ctx, rows.SetVersionsParams{
		Account: d.account, Region: d.region, Name: d.name, DefaultVersion: defaultVersion, LatestVersion: latest, Versions: newest,
	})
}
