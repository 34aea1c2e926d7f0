package document

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
	"github.com/vennel/vennel/service/ssm/document/internal/rows"
	"github.com/vennel/vennel/service/ssm/tag"
	"github.com/vennel/vennel/store"
)

// description is a version of a document as answers have it.
func (d *document) description(ctx context.Context, tx *store.Tx, v *rows.SsmDocumentVersion, status string) (*ssm.DocumentDescription, error) {
	text, err := d.text(ctx, tx, v)
	if err != nil {
		return nil, err
	}
	r, err := read(d.row.Type, v.Format, v.Hash, text)
	if err != nil {
		return nil, err
	}
	requires, err := required(d.row.Requires)
	if err != nil {
		return nil, err
	}
	return &ssm.DocumentDescription{
		Hash: &v.Hash, HashType: new(ssm.DocumentHashTypeSha256), Name: new(d.called()), DisplayName: api.Given(v.DisplayName),
		VersionName: api.Given(v.VersionName), Owner: new(d.owner()), CreatedDate: when(v.Created), Status: &status,
		DocumentVersion: numeral(v.Version), Description: api.Given(r.doc.Description), Parameters: parameters(r.doc), PlatformTypes: platforms(v),
		DocumentType: &d.row.Type, SchemaVersion: &v.SchemaVersion, LatestVersion: numeral(d.row.LatestVersion),
		DefaultVersion: numeral(d.row.DefaultVersion), DocumentFormat: &v.Format, TargetType: api.Given(v.TargetType),
		Tags: tag.List(d.tags), Requires: requires,
	}, nil
}

// parameters are a document's parameters as answers have them.
func parameters(doc *ssmdoc.Document) (out []ssm.DocumentParameter) {
	for _, p := range doc.Parameters {
		described := ssm.DocumentParameter{Name: new(p.Name), Type: new(p.Type), Description: api.Given(p.Description)}
		if p.Default != nil {
			described.DefaultValue = new(ssmdoc.Text(p.Default))
		}
		out = append(out, described)
	}
	return out
}

// platforms are those of a version.
func platforms(v *rows.SsmDocumentVersion) []string { return strings.Split(v.Platforms, ",") }

// required is the list of documents that a document requires.
func required(stored string) (out []ssm.DocumentRequires, err error) {
	if stored == "" {
		return nil, nil
	}
	err = json.Unmarshal([]byte(stored), &out)
	return out, err
}

// when is a time as answers have it.
func when(milliseconds int64) *time.Time { return new(time.UnixMilli(milliseconds).UTC()) }

// numeral is the number of a version as answers have it.
func numeral(n int64) *string { return new(strconv.FormatInt(n, 10)) }
