package document

import (
	"context"
	"maps"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/document/internal/rows"
	"github.com/vennel/vennel/service/ssm/tag"
	"github.com/vennel/vennel/store"
)

// ListDocuments lists the documents that an account may use, by name, each with its default version.
func (d *Documents) ListDocuments(ctx context.Context, in *ssm.ListDocumentsInput) (*ssm.ListDocumentsOutput, error) {
	call := api.CallFrom(ctx)
	if err := iam.Allow(ctx, "ssm:ListDocuments", "*"); err != nil {
		return nil, err
	}
	s, err := newSearch(call.Account, call.Region, in)
	if err != nil {
		return nil, err
	}
	most, after := int(api.Or(in.MaxResults, 50)), api.Or(in.NextToken, "")
	out := new(ssm.ListDocumentsOutput)
	err = d.db.View(ctx, func(tx *store.Tx) error {
		out.DocumentIdentifiers, out.NextToken = []ssm.DocumentIdentifier{}, nil
		found, err := s.run(ctx, tx)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(found)) {
			if name <= after {
				continue
			}
			if len(out.DocumentIdentifiers) == most {
				out.NextToken = new(*out.DocumentIdentifiers[most-1].Name) // a copy, since it is sealed on its way out
				break
			}
			item, err := found[name].identifier(ctx, tx)
			if err != nil {
				return err
			}
			out.DocumentIdentifiers = append(out.DocumentIdentifiers, *item)
		}
		return nil
	})
	return out, err
}

// entry is a document with the version that a list shows.
type entry struct {
	*document
	version *rows.SsmDocumentVersion
}

// identifier is a document as lists have it.
func (e *entry) identifier(ctx context.Context, tx *store.Tx) (*ssm.DocumentIdentifier, error) {
	var tags map[string]string
	if e.own {
		var err error
		if tags, err = tag.Of(ctx, tx, e.target()); err != nil {
			return nil, err
		}
	}
	requires, err := required(e.row.Requires)
	v := e.version
	return &ssm.DocumentIdentifier{
		Name: new(e.called()), CreatedDate: when(e.row.Created), DisplayName: api.Given(v.DisplayName), Owner: new(e.owner()),
		VersionName: api.Given(v.VersionName), PlatformTypes: platforms(v), DocumentVersion: numeral(v.Version), DocumentType: &e.row.Type,
		SchemaVersion: &v.SchemaVersion, DocumentFormat: &v.Format, TargetType: api.Given(v.TargetType), Tags: tag.List(tags), Requires: requires,
	}, err
}
