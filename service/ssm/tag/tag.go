// Package tag keeps the tags of Systems Manager's resources. The capabilities whose resources have
// tags call its functions inside their own transactions; the operations on tags ask them, through
// Resources, which resources there are.
//
// It uses no sibling.
package tag

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/tag/internal/rows"
	"github.com/vennel/vennel/store"
)

// MostTags is how many tags a resource may have. source: userguide, "Tagging Systems Manager resources"
const MostTags = 50

// Target is a resource that has tags.
type Target struct{ Account, Region, Kind, ID string }

// Parse reads the tags of a request. Names that begin with aws: are AWS's own.
func Parse(tags []ssm.Tag) (map[string]string, error) {
	out := map[string]string{}
	for _, t := range tags {
		if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return nil, api.Errorf(api.Invalid, "Tag keys starting with aws: are reserved for internal use")
		}
		if _, twice := out[t.Key]; twice {
			return nil, api.Errorf(api.Invalid, "Duplicate tag key %s", t.Key)
		}
		out[t.Key] = t.Value
	}
	if len(out) > MostTags {
		return nil, ssm.ErrTooManyTagsError("A resource can have at most %d tags", MostTags)
	}
	return out, nil
}

// List writes tags as an answer has them, by name.
func List(tags map[string]string) []ssm.Tag {
	out := []ssm.Tag{}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, ssm.Tag{Key: name, Value: tags[name]})
	}
	return out
}

// Of gives a resource's tags.
func Of(ctx context.Context, tx *store.Tx, t Target) (map[string]string, error) {
	list, err := rows.New(tx).ListTags(ctx, rows.ListTagsParams(t))
	out := make(map[string]string, len(list))
	for _, row := range list {
		out[row.Name] = row.Value
	}
	return out, err
}

// Put adds tags to a resource, or changes their values.
func Put(ctx context.Context, tx *store.Tx, t Target, tags map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		err := rows.New(tx).PutTag(ctx, rows.PutTagParams{
			Account: t.Account, Region: t.Region, Kind: t.Kind, ID: t.ID, Name: name, Value: tags[name],
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Drop removes all tags of a resource that is gone.
func Drop(ctx context.Context, tx *store.Tx, t Target) error {
	return rows.New(tx).DeleteTags(ctx, rows.DeleteTagsParams(t))
}

// Find gives the ids of the resources of a kind that have a tag with a value, in order, after an id.
func Find(ctx context.Context, tx *store.Tx, of Target, name, value, after string, most int) ([]string, error) {
	return rows.New(tx).ListTagged(ctx, rows.ListTaggedParams{
		Account: of.Account, Region: of.Region, Kind: of.Kind, Name: name, Value: value, After: after, Most: int32(most),
	})
}

// FindKey gives the ids of the resources of a kind that have a tag of a name, in order, after an id.
func FindKey(ctx context.Context, tx *store.Tx, of Target, name, after string, most int) ([]string, error) {
	return rows.New(tx).ListTaggedKey(ctx, rows.ListTaggedKeyParams{
		Account: of.Account, Region: of.Region, Kind: of.Kind, Name: name, After: after, Most: int32(most),
	})
}

// Resource is what the operations on tags must know of a kind of resource.
type Resource struct {
	ARN    func(region, account, id string) string
	Exists func(ctx context.Context, tx *store.Tx, account, region, id string) (bool, error)
}

// Tags are the operations on tags.
type Tags struct {
	db        *store.DB
	resources map[string]Resource // by ResourceType
}

// New gives the operations for the kinds of resource that there are.
func New(db *store.DB, resources map[string]Resource) *Tags { return &Tags{db, resources} }

// target finds the resource of a request.
func (t *Tags) target(ctx context.Context, kind, id string) (Resource, Target, error) {
	call := api.CallFrom(ctx)
	r, ok := t.resources[kind]
	if !ok {
		return r, Target{}, ssm.ErrInvalidResourceType("The resource type %s has no resources that can be tagged here", kind)
	}
	return r, Target{call.Account, call.Region, kind, id}, nil
}

// exists refuses a resource that is not there.
func exists(ctx context.Context, tx *store.Tx, r Resource, t Target) error {
	ok, err := r.Exists(ctx, tx, t.Account, t.Region, t.ID)
	if err == nil && !ok {
		err = ssm.ErrInvalidResourceId("The resource ID %s is not valid. Verify that you entered the correct ID and try again.", t.ID)
	}
	return err
}
