package document

import (
	"context"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/document/internal/rows"
	"github.com/vennel/vennel/service/ssm/tag"
	"github.com/vennel/vennel/store"
)

// Keys of filters beside tag:…. source: model, but for the last, which only the console names
const (
	keyName          = "Name"
	keyOwner         = "Owner"
	keyPlatformTypes = "PlatformTypes"
	keyDocumentType  = "DocumentType"
	keyTargetType    = "TargetType"
	keySearchKeyword = "SearchKeyword"
)

// Whose documents are wanted, in lower case. source: model; the first, userguide
const (
	ownerAll        = "all"
	ownerSelf       = "self"
	ownerOfAmazon   = "amazon"
	ownerPublic     = "public"
	ownerPrivate    = "private"
	ownerThirdParty = "thirdparty"
)

// owners are all of them.
var owners = []string{ownerAll, ownerSelf, ownerOfAmazon, ownerPublic, ownerPrivate, ownerThirdParty}

// filter is one condition of a search; its values are alternatives.
type filter struct {
	key    string
	values []string
}

// search is what a list is asked for.
type search struct {
	account, region string
	owner           string
	tag             *filter // whose key is the tag's
	filters         []filter
}

// newSearch reads the filters of a request, which come in an older and in a newer form.
func newSearch(account, region string, in *ssm.ListDocumentsInput) (*search, error) {
	if len(in.DocumentFilterList) > 0 && len(in.Filters) > 0 {
		// source: aws (that it is refused); the words are a guess
		return nil, api.Errorf(api.Invalid, "DocumentFilterList and Filters cannot be used in the same request")
	}
	s := &search{account: account, region: region, owner: ownerAll}
	hasOwner := false
	add := func(key string, values []string) error {
		switch name, isTag := strings.CutPrefix(key, "tag:"); {
		case len(values) == 0:
			return api.Errorf(api.Invalid, "The filter %s needs at least one value", key)
		case isTag && s.tag != nil:
			return api.Errorf(api.Invalid, "Documents can be filtered by a single tag key only") // source: model
		case isTag:
			s.tag = &filter{name, values}
		case key == keyOwner && (hasOwner || len(values) > 1):
			return api.Errorf(api.Invalid, "Only one Owner can be specified in a request") // source: model
		case key == keyOwner:
			hasOwner, s.owner = true, strings.ToLower(values[0])
			if !slices.Contains(owners, s.owner) {
				return api.Errorf(api.Invalid, "The value %s is not valid for the filter Owner", values[0])
			}
		case slices.Contains([]string{keyName, keyPlatformTypes, keyDocumentType, keyTargetType, keySearchKeyword}, key):
			s.filters = append(s.filters, filter{key, values})
		default:
			return ssm.ErrInvalidFilterKey("The filter key %s is not valid", key)
		}
		return nil
	}
	for _, f := range in.DocumentFilterList {
		if err := add(f.Key, []string{f.Value}); err != nil {
			return nil, err
		}
	}
	for _, f := range in.Filters {
		if err := add(api.Or(f.Key, ""), f.Values); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// run finds what passes, by the name that answers give it.
func (s *search) run(ctx context.Context, tx *store.Tx) (map[string]*entry, error) {
	out := map[string]*entry{}
	add := func(e *entry) {
		if e.passes(s.filters) {
			out[e.called()] = e
		}
	}
	if s.wants(ownerSelf) {
		if err := s.own(ctx, tx, add); err != nil {
			return nil, err
		}
	}
	if s.tag != nil {
		return out, nil // the tags of others' documents are not for everybody to see
	}
	if s.wants(ownerOfAmazon) || s.wants(ownerPublic) {
		for name, b := range amazon() {
			add(&entry{&document{ref: parse(s.account, s.region, ARN(s.region, "", name)), row: b.document, built: b}, &b.version})
		}
	}
	if s.wants(ownerPublic) {
		if err := s.shared(ctx, tx, everybody, add); err != nil {
			return nil, err
		}
	}
	if s.wants(ownerPrivate) {
		return out, s.shared(ctx, tx, s.account, add)
	}
	return out, nil
}

// wants says whether documents of some owner are wanted.
func (s *search) wants(owner string) bool { return s.owner == ownerAll || s.owner == owner }

// own finds the account's own documents, which alone are searched by tag.
func (s *search) own(ctx context.Context, tx *store.Tx, add func(*entry)) error {
	var tagged map[string]bool
	if s.tag != nil {
		tagged = map[string]bool{}
		for _, value := range s.tag.values {
			target := tag.Target{Account: s.account, Region: s.region, Kind: KindDocument}
			names, err := tag.Find(ctx, tx, target, s.tag.key, value, "", mostDocuments)
			if err != nil {
				return err
			}
			for _, name := range names {
				tagged[name] = true
			}
		}
	}
	list, err := rows.New(tx).ListDocuments(ctx, rows.ListDocumentsParams{Account: s.account, Region: s.region})
	for i := range list {
		row := &list[i]
		if tagged != nil && !tagged[row.SsmDocument.Name] {
			continue
		}
		r := parse(s.account, s.region, row.SsmDocument.Name)
		add(&entry{&document{ref: r, row: row.SsmDocument, own: true}, &row.SsmDocumentVersion})
	}
	return err
}

// shared finds what is shared with an account, or with everybody.
func (s *search) shared(ctx context.Context, tx *store.Tx, grantee string, add func(*entry)) error {
	list, err := rows.New(tx).ListShared(ctx, rows.ListSharedParams{Region: s.region, Grantee: grantee})
	if err != nil {
		return err
	}
	for _, row := range list {
		d, err := find(ctx, tx, s.account, parse(s.account, s.region, ARN(s.region, row.Account, row.Document)))
		if err != nil {
			return err
		}
		if d == nil {
			continue
		}
		v, err := d.version(ctx, tx, nil, nil)
		if err != nil {
			return err
		}
		add(&entry{d, v})
	}
	return nil
}

// passes says whether a document passes all filters.
func (e *entry) passes(filters []filter) bool {
	for _, f := range filters {
		if !slices.ContainsFunc(f.values, func(value string) bool { return e.has(f.key, value) }) {
			return false
		}
	}
	return true
}

// has says whether a document has a value: a name by its beginning, a keyword anywhere in its names.
// source: model; where a keyword is looked for is a guess
func (e *entry) has(key, value string) bool {
	switch key {
	case keyName:
		return strings.HasPrefix(e.name, value)
	case keyPlatformTypes:
		return slices.Contains(platforms(e.version), value)
	case keyDocumentType:
		return e.row.Type == value
	case keyTargetType:
		return e.version.TargetType == value
	}
	return strings.Contains(strings.ToLower(e.name+" "+e.version.DisplayName), strings.ToLower(value))
}
