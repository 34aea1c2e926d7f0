package document

import (
	"context"
	"strconv"

	"github.com/vennel/vennel/api/ssmdoc"
	"github.com/vennel/vennel/store"
)

// Content is a version of a document, ready to be used.
type Content struct {
	Name, Version, Type, Format, Owner, ARN string            // Format is what Text was written in, Owner an account or Amazon
	Hash                                    string            // hex SHA-256 of the text as stored
	Text                                    []byte            // the content in JSON form
	Parsed                                  *ssmdoc.Document  // of a Session document its parameters only
	Tags                                    map[string]string // of the document; nil if it is not the account's own
}

// Resolve finds a version of a document that an account may use: its own, a shared one (by ARN), or
// Amazon's. name may be a name or an ARN, version "" or "$DEFAULT", "$LATEST", or a number. Errors:
// InvalidDocument, InvalidDocumentVersion. It authorizes nothing. What it gives is shared: it must
// not be changed.
func Resolve(ctx context.Context, tx *store.Tx, account, region, name, version string) (*Content, error) {
	d, err := find(ctx, tx, account, parse(account, region, name))
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, missing(name)
	}
	v, err := d.version(ctx, tx, &version, nil)
	if err != nil {
		return nil, err
	}
	text, err := d.text(ctx, tx, v)
	if err != nil {
		return nil, err
	}
	r, err := read(d.row.Type, v.Format, v.Hash, text)
	if err != nil {
		return nil, err
	}
	return &Content{
		Name: d.name, Version: strconv.FormatInt(v.Version, 10), Type: d.row.Type, Format: v.Format, Owner: d.owner(), ARN: d.arn,
		Hash: v.Hash, Text: r.json, Parsed: r.doc, Tags: d.tags,
	}, nil
}
