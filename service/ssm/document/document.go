// Package document keeps Systems Manager documents: what a command runs, what a session is, under
// names with versions, tags and shares. Documents of the types Command and Policy are checked whole
// before they are stored, so that a node never meets one that it would run wrongly; those of the type
// Session are checked as far as their structure goes. Other types are refused, for nothing here would
// run them. The documents that belong to Amazon are part of the program (see amazon).
//
// It uses the sibling tag.
package document

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/document/internal/rows"
	"github.com/vennel/vennel/service/ssm/tag"
	"github.com/vennel/vennel/store"
)

// KindDocument is the kind of documents' tags.
const KindDocument = "Document"

// The owner of Amazon's documents as answers have it, and as the account that conditions on
// aws:ResourceAccount see: none of the caller's.
const (
	ownerAmazon   = "Amazon"
	accountAmazon = "amazon"
)

// Documents is the capability.
type Documents struct{ db *store.DB }

// New gives the capability.
func New(db *store.DB) *Documents { return &Documents{db} }

// ARN is the ARN of a document; Amazon's have no account.
func ARN(region, account, name string) string {
	return api.ARN("ssm", region, account, "document/"+name)
}

// Name gives name and ARN of what a request calls a document, whether it exists or not, for
// authorization.
func Name(account, region, nameOrARN string) (name, arn string) {
	r := parse(account, region, nameOrARN)
	return r.name, r.arn
}

// Exists says whether an account has a document of its own.
func Exists(ctx context.Context, tx *store.Tx, account, region, id string) (bool, error) {
	_, err := rows.New(tx).GetDocument(ctx, rows.GetDocumentParams{Account: account, Region: region, Name: id})
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// ref is what a request calls a document.
type ref struct {
	account, region string // account is empty for Amazon's
	name, arn       string
	here            bool // it can be a document of this Region
}

// parse reads a name or an ARN. Names that nobody else may give are Amazon's.
func parse(account, region, nameOrARN string) ref {
	if !strings.HasPrefix(nameOrARN, "arn:") {
		if reserved(nameOrARN) {
			account = ""
		}
		return ref{account, region, nameOrARN, ARN(region, account, nameOrARN), true}
	}
	r := ref{name: nameOrARN, arn: nameOrARN}
	if _, at, owner, resource, ok := api.SplitARN(nameOrARN); ok {
		if name, ok := strings.CutPrefix(resource, "document/"); ok && nameOrARN == ARN(at, owner, name) {
			r.account, r.region, r.name, r.here = owner, at, name, at == region
		}
	}
	return r
}

// reservedPrefixes are beginnings of names that are Amazon's, whatever the case. source: model (the
// list), aws (the hyphen after aws)
var reservedPrefixes = []string{"aws-", "amazon", "amzn", "awsec2", "awsconfigremediation", "awssupport"}

// reserved says whether a name is one that only Amazon may give.
func reserved(name string) bool {
	name = strings.ToLower(name)
	for _, prefix := range reservedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// document is a document that an account may use.
type document struct {
	ref
	row   rows.SsmDocument
	tags  map[string]string // of the account's own
	grant string            // of another account's: what is shared, as $DEFAULT
	own   bool
	built *builtin // of Amazon's
}

// find finds a document that an account may use: its own, one that is shared with it, or Amazon's.
// It is nil when there is none.
func find(ctx context.Context, tx *store.Tx, account string, r ref) (*document, error) {
	if !r.here {
		return nil, nil
	}
	if r.account == "" {
		b := amazon()[r.name]
		if b == nil {
			return nil, nil
		}
		return &document{ref: r, row: b.document, built: b}, nil
	}
	d := &document{ref: r, own: r.account == account}
	var err error
	if d.row, err = rows.New(tx).GetDocument(ctx, rows.GetDocumentParams{Account: r.account, Region: r.region, Name: r.name}); err == nil {
		if d.own {
			d.tags, err = tag.Of(ctx, tx, d.target())
			return d, err
		}
		d.grant, err = granted(ctx, tx, r, account)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return d, err
}

// granted gives what of a document is shared with an account, or sql.ErrNoRows. A share with the
// account itself says more than one with all.
func granted(ctx context.Context, tx *store.Tx, r ref, account string) (grant string, err error) {
	for _, grantee := range []string{account, everybody} {
		grant, err = rows.New(tx).GetShare(ctx, rows.GetShareParams{Account: r.account, Region: r.region, Document: r.name, Grantee: grantee})
		if !errors.Is(err, sql.ErrNoRows) {
			break
		}
	}
	return grant, err
}

// open finds the document that a request is about and asks whether the caller may do an action to
// it, which comes before any answer that depends on what exists.
func open(ctx context.Context, tx *store.Tx, action, nameOrARN string) (*document, error) {
	call := api.CallFrom(ctx)
	r := parse(call.Account, call.Region, nameOrARN)
	d, err := find(ctx, tx, call.Account, r)
	if err != nil {
		return nil, err
	}
	var about []iam.About
	if d != nil {
		about = append(about, iam.ResourceTags(d.tags), iam.Key("ssm:documenttype", d.row.Type))
	}
	switch r.account {
	case call.Account:
	case "":
		about = append(about, iam.Key("aws:resourceaccount", accountAmazon))
	default:
		about = append(about, iam.Key("aws:resourceaccount", r.account))
	}
	if err := iam.Allow(ctx, action, r.arn, about...); err != nil {
		return nil, err
	}
	if d == nil {
		return nil, missing(nameOrARN)
	}
	return d, nil
}

// openOwn is open for what only the owner of a document can do.
func openOwn(ctx context.Context, tx *store.Tx, action, name string) (*document, error) {
	d, err := open(ctx, tx, action, name)
	if err == nil && !d.own {
		// source: guess
		err = ssm.ErrInvalidDocumentOperation("The document %s belongs to %s, who alone can do this to it", name, d.owner())
	}
	return d, err
}

// missing is the error for a document that there is not. source: aws
func missing(name string) error {
	return ssm.ErrInvalidDocument("Document with name %s does not exist.", name)
}

// target is where the document's tags are kept.
func (d *document) target() tag.Target {
	return tag.Target{Account: d.account, Region: d.region, Kind: KindDocument, ID: d.name}
}

// owner is the owner as answers have it.
func (d *document) owner() string {
	if d.built != nil {
		return ownerAmazon
	}
	return d.account
}

// called is the document's name as answers have it: the whole ARN for what others share, since the
// name alone would be another document's.
func (d *document) called() string {
	if d.own || d.built != nil {
		return d.name
	}
	return d.arn
}
