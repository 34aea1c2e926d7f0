package iam

import (
	"context"
	"strings"

	vocabulary "github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// mostTags is how many tags an entity may have. source: userguide, quotas
const mostTags = 50

// tagsOf gives an entity's tags, for conditions.
func tagsOf(ctx context.Context, tx *store.Tx, owner string) (map[string]string, error) {
	list, err := rows.New(tx).ListTags(ctx, owner)
	tags := make(map[string]string, len(list))
	for _, t := range list {
		tags[t.Name] = t.Value
	}
	return tags, err
}

// tagMap is the tags of a request, for conditions.
func tagMap(tags []vocabulary.Tag) map[string]string {
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		out[t.Key] = t.Value
	}
	return out
}

// putTags adds tags to an entity or changes them. Their names are compared whatever their case, and
// kept as they were last written. source: userguide, "Tagging IAM resources"
func putTags(ctx context.Context, tx *store.Tx, e *entity, tags []vocabulary.Tag) error {
	q := rows.New(tx)
	seen := map[string]bool{}
	for _, t := range tags {
		if strings.HasPrefix(key(t.Key), "aws:") {
			return vocabulary.ErrInvalidInputException("Tag keys that begin with aws: are reserved for AWS") // source: guess
		}
		if seen[key(t.Key)] {
			return vocabulary.ErrInvalidInputException("Duplicate tag keys found. Please note that Tag keys are case insensitive.") // source: aws
		}
		seen[key(t.Key)] = true
		if err := q.PutTag(ctx, rows.PutTagParams{Owner: e.ID, Key: key(t.Key), Name: t.Key, Value: t.Value}); err != nil {
			return err
		}
	}
	list, err := q.ListTags(ctx, e.ID)
	if err == nil && len(list) > mostTags {
		err = exceeds("TagsPer"+kinds[e.Kind].label, mostTags)
	}
	return err
}

// tagList is an entity's tags as answers have them; never nil.
func tagList(ctx context.Context, tx *store.Tx, e *entity) ([]vocabulary.Tag, error) {
	list, err := rows.New(tx).ListTags(ctx, e.ID)
	return each(list, func(t *rows.ListTagsRow) vocabulary.Tag { return vocabulary.Tag{Key: t.Name, Value: t.Value} }), err
}

// orNone is a list as those answers have it that leave out an empty one.
func orNone[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// tag does a Tag operation.
func (i *IAM) tag(ctx context.Context, action, kind, name string, tags []vocabulary.Tag) error {
	return i.change(ctx, action, kind, name, func(tx *store.Tx, e *entity) error {
		return putTags(ctx, tx, e, tags)
	}, RequestTags(tagMap(tags)))
}

// untag does an Untag operation. Tags that are not there are passed over.
func (i *IAM) untag(ctx context.Context, action, kind, name string, names []string) error {
	return i.change(ctx, action, kind, name, func(tx *store.Tx, e *entity) error {
		for _, name := range names {
			if err := rows.New(tx).DeleteTag(ctx, rows.DeleteTagParams{Owner: e.ID, Key: key(name)}); err != nil {
				return err
			}
		}
		return nil
	}, TagKeys(names))
}

// listTags does a List…Tags operation.
func (i *IAM) listTags(ctx context.Context, action, kind, name string, marker *string, most *int64) (tags []vocabulary.Tag, next *string, truncated *bool, err error) {
	err = i.read(ctx, action, kind, name, func(tx *store.Tx, e *entity) error {
		all, err := tagList(ctx, tx, e)
		tags, next, truncated = page(newPager(marker, most), all, func(t *vocabulary.Tag) string { return key(t.Key) })
		return err
	})
	return tags, next, truncated, err
}
