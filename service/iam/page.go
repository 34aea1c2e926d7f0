package iam

import (
	"context"
	"errors"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// defaultPage is how many items a list gives unless it is asked for another number. source: model
const defaultPage = 100

// pager is where a list begins and how long it may be: the Marker and MaxItems of a request.
type pager struct {
	after string
	most  int
}

// newPager reads a request's Marker and MaxItems.
func newPager(marker *string, most *int64) pager {
	return pager{after: api.Or(marker, ""), most: int(api.Or(most, defaultPage))}
}

// limit is how many rows to read: one more than is given, to know whether there are more.
func (p pager) limit() int32 { return int32(p.most) + 1 }

// page cuts a list that is in the order of its keys to the page that was asked for. A marker is the
// key of the last item of the page before.
func page[T any](p pager, list []T, key func(*T) string) (items []T, marker *string, truncated *bool) {
	items = []T{}
	for n := range list {
		if p.after != "" && key(&list[n]) <= p.after {
			continue
		}
		if len(items) == p.most {
			return items, new(key(&items[p.most-1])), new(true)
		}
		items = append(items, list[n])
	}
	return items, nil, new(false)
}

// itself is the key of a list of names.
func itself(s *string) string { return *s }

// entityKey is the key of a list of entities.
func entityKey(e *entity) string { return e.Key }

// last is more than every path that begins with a prefix, since paths are ASCII.
const last = "\U0010FFFF"

// list reads a page of an account's entities of a kind, and in the same transaction what belongs to
// them.
func (i *IAM) list(ctx context.Context, action, kind string, prefix, marker *string, most *int64, more ...func(*store.Tx, []entity) error) (items []entity, next *string, truncated *bool, err error) {
	if err := Allow(ctx, action, "*"); err != nil {
		return nil, nil, nil, err
	}
	p := newPager(marker, most)
	from := api.Or(prefix, "/")
	err = i.db.View(ctx, func(tx *store.Tx) error {
		found, err := rows.New(tx).ListEntities(ctx, rows.ListEntitiesParams{
			Account: api.CallFrom(ctx).Account, Kind: kind, After: p.after, PathFrom: from, PathTo: from + last, Most: p.limit(),
		})
		items, next, truncated = page(p, found, entityKey)
		for _, do := range more {
			err = errors.Join(err, do(tx, items))
		}
		return err
	})
	return items, next, truncated, err
}

// each turns the rows of a page into what an answer has.
func each[T, Row any](list []Row, turn func(*Row) T) []T {
	out := make([]T, len(list))
	for n := range list {
		out[n] = turn(&list[n])
	}
	return out
}
