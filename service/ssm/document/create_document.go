package document

import (
	"context"
	"encoding/json"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/document/internal/rows"
	"github.com/vennel/vennel/service/ssm/tag"
	"github.com/vennel/vennel/store"
)

// How many documents an account may have in a Region, and how many versions one may have. source:
// userguide, quotas
const (
	mostDocuments = 500
	mostVersions  = 1000
)

// CreateDocument makes a document. It can be used at once, but the answer calls it Creating, as AWS's
// does: clients wait for Active.
func (d *Documents) CreateDocument(ctx context.Context, in *ssm.CreateDocumentInput) (*ssm.CreateDocumentOutput, error) {
	call := api.CallFrom(ctx)
	tags, err := tag.Parse(in.Tags)
	if err != nil {
		return nil, err
	}
	kind := api.Or(in.DocumentType, ssm.DocumentTypeCommand)
	arn := ARN(call.Region, call.Account, in.Name)
	if err := iam.Allow(ctx, "ssm:CreateDocument", arn, iam.RequestTags(tags), iam.Key("ssm:documenttype", kind)); err != nil {
		return nil, err
	}
	if reserved(in.Name) {
		return nil, api.Errorf(api.Invalid, "Invalid document name %s", in.Name) // source: aws
	}
	if err := checkType(kind); err != nil {
		return nil, err
	}
	if err := checkAttachments(in.Attachments); err != nil {
		return nil, err
	}
	format := api.Or(in.DocumentFormat, ssmdoc.JSON)
	facts, err := check(kind, format, in.Content)
	if err != nil {
		return nil, err
	}
	requires := ""
	if in.Requires != nil {
		text, err := json.Marshal(in.Requires)
		if err != nil {
			return nil, err
		}
		requires = string(text)
	}
	version := rows.PutVersionParams{
		Account: call.Account, Region: call.Region, Document: in.Name, Version: 1, VersionName: api.Or(in.VersionName, ""),
		DisplayName: api.Or(in.DisplayName, ""), TargetType: api.Or(in.TargetType, ""), Format: format, SchemaVersion: facts.schema,
		Platforms: facts.platforms, Hash: hash(in.Content), Created: call.Time.UnixMilli(),
	}
	out := new(ssm.CreateDocumentOutput)
	err = d.db.Update(ctx, func(tx *store.Tx) error {
		q := rows.New(tx)
		n, err := q.PutDocument(ctx, rows.PutDocumentParams{
			Account: call.Account, Region: call.Region, Name: in.Name, Type: kind, Requires: requires, Created: version.Created,
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return ssm.ErrDocumentAlreadyExists("Document with same name %s already exists", in.Name) // source: aws
		}
		count, err := q.CountDocuments(ctx, rows.CountDocumentsParams{Account: call.Account, Region: call.Region})
		if err != nil {
			return err
		}
		if count > mostDocuments {
			return ssm.ErrDocumentLimitExceeded("You can have at most %d active SSM documents.", mostDocuments) // source: model
		}
		if err := putVersion(ctx, tx, version, in.Content); err != nil {
			return err
		}
		created := ref{account: call.Account, region: call.Region, name: in.Name, arn: arn, here: true}
		target := (&document{ref: created}).target()
		if err := tag.Put(ctx, tx, target, tags); err != nil {
			return err
		}
		out.DocumentDescription, err = describe(ctx, tx, created, version.Version, ssm.DocumentStatusCreating)
		return err
	})
	return out, err
}

// putVersion stores a version with its content.
func putVersion(ctx context.Context, tx *store.Tx, v rows.PutVersionParams, content string) error {
	if err := rows.New(tx).PutVersion(ctx, v); err != nil {
		return err
	}
	return rows.New(tx).PutContent(ctx, rows.PutContentParams{
		Account: v.Account, Region: v.Region, Document: v.Document, Version: v.Version, Content: content,
	})
}

// describe describes a version of the caller's own that has just been stored.
func describe(ctx context.Context, tx *store.Tx, r ref, version int64, status string) (*ssm.DocumentDescription, error) {
	d, err := find(ctx, tx, r.account, r)
	if err != nil {
		return nil, err
	}
	v, err := d.version(ctx, tx, numeral(version), nil)
	if err != nil {
		return nil, err
	}
	return d.description(ctx, tx, v, status)
}
