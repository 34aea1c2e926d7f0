package document

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/document/internal/rows"
	"github.com/vennel/vennel/store"
)

// Versions that are not numbers. The last is only what a document can be shared as.
const (
	versionDefault = "$DEFAULT"
	versionLatest  = "$LATEST"
	versionAll     = "$ALL"
)

// version finds a version by number, $DEFAULT, $LATEST or "", by its name, or by both, which then
// must mean the same. Of a document of another account only what is shared is found.
func (d *document) version(ctx context.Context, tx *store.Tx, version, versionName *string) (*rows.SsmDocumentVersion, error) {
	n, err := d.number(ctx, tx, api.Or(version, ""), api.Or(versionName, ""))
	if err != nil {
		return nil, err
	}
	if d.built != nil {
		return &d.built.version, nil
	}
	v, err := rows.New(tx).GetVersion(ctx, rows.GetVersionParams{Account: d.account, Region: d.region, Document: d.name, Version: n})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, d.noVersion(api.Or(version, ""))
	}
	return &v, err
}

// number turns what a request calls a version into its number. A number need not exist.
func (d *document) number(ctx context.Context, tx *store.Tx, version, versionName string) (int64, error) {
	if versionName == "" {
		return d.numbered(version)
	}
	if d.built != nil {
		return 0, d.noVersionName(versionName)
	}
	n, err := rows.New(tx).FindVersionName(ctx, rows.FindVersionNameParams{
		Account: d.account, Region: d.region, Document: d.name, VersionName: versionName,
	})
	if errors.Is(err, sql.ErrNoRows) {
		return 0, d.noVersionName(versionName)
	} else if err != nil {
		return 0, err
	}
	if version == "" {
		return d.numbered(strconv.FormatInt(n, 10))
	}
	same, err := d.numbered(version)
	if err == nil && n != same {
		err = d.noVersion(version)
	}
	return n, err
}

// numbered turns a version into its number and holds it to what is shared.
func (d *document) numbered(version string) (n int64, err error) {
	switch version {
	case "":
		n = d.row.DefaultVersion
		if d.grant == versionLatest {
			n = d.row.LatestVersion
		}
	case versionDefault:
		n = d.row.DefaultVersion
	case versionLatest:
		n = d.row.LatestVersion
	default:
		if n, err = strconv.ParseInt(version, 10, 64); err != nil {
			return 0, d.noVersion(version)
		}
	}
	if d.grant == versionDefault && n != d.row.DefaultVersion || d.grant == versionLatest && n != d.row.LatestVersion ||
		d.built != nil && n != d.built.version.Version {
		return 0, d.noVersion(version)
	}
	return n, nil
}

// noVersion is the error for a version that there is not. source: guess (the words are AWS's for a
// version's name)
func (d *document) noVersion(version string) error {
	return ssm.ErrInvalidDocumentVersion("Document with name %s with version %s does not exist.", d.called(), version)
}

// noVersionName is the error for a version's name that there is not. source: aws
func (d *document) noVersionName(name string) error {
	return ssm.ErrInvalidDocument("Document with name %s with version %s does not exist.", d.called(), name)
}

// text gives the content of a version as it was given.
func (d *document) text(ctx context.Context, tx *store.Tx, v *rows.SsmDocumentVersion) (string, error) {
	if d.built != nil {
		return d.built.content, nil
	}
	return rows.New(tx).GetContent(ctx, rows.GetContentParams{Account: d.account, Region: d.region, Document: d.name, Version: v.Version})
}
