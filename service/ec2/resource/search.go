package resource

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// Filters are what a Describe operation can filter by, beside tags: for a resource the values it has under a name.
type Filters[T any] map[string]func(*Record[T]) []string

// Search is a Describe operation.
type Search[T any] struct {
	Kind      *Kind[T]
	Operation string // DescribeVpcs
	Filters   Filters[T]
	// Complete works out what follows from other resources, before the filters look. It may be nil.
	Complete func(ctx context.Context, tx *store.Tx, list []*Record[T]) error
	// Beside gives those that are no records, or not the caller's own. It may be nil.
	Beside func(ctx context.Context, tx *store.Tx) ([]*Record[T], error)
	// Hidden says which records are not listed, nor found. It may be nil.
	Hidden func(ctx context.Context, r *Record[T]) bool
	// Only says which of those that are found are described. It may be nil.
	Only func(r *Record[T]) bool
	// Allow authorizes operations that are about more than a list of everything. It may be nil.
	Allow func(ctx context.Context, tx *store.Tx) error
	// Least and Most are the limits of MaxResults, 5 and 1000 when they are zero.
	Least, Most int64
}

// Query is what a request asks for.
type Query struct {
	DryRun  *bool
	IDs     []string
	Filters []ec2.Filter
	Max     *int64
	After   *string // the id of the last resource of the page before
}

// Run authorizes and answers a query: a page of resources in order of their ids, and where the next begins.
func (s *Search[T]) Run(ctx context.Context, db *store.DB, q Query) (page []*Record[T], next *string, err error) {
	err = db.View(ctx, func(tx *store.Tx) error {
		page, next = []*Record[T]{}, nil
		if err := s.allow(ctx, tx); err != nil {
			return err
		}
		if err := DryRun(q.DryRun); err != nil {
			return err
		}
		most, err := s.limit(q)
		if err != nil {
			return err
		}
		if err := s.check(q.Filters); err != nil {
			return err
		}
		list, err := s.candidates(ctx, tx, q.IDs)
		if err != nil {
			return err
		}
		if q.After != nil {
			list = slices.DeleteFunc(list, func(r *Record[T]) bool { return r.ID <= *q.After })
		}
		if s.Complete != nil && len(list) > 0 {
			if err := s.Complete(ctx, tx, list); err != nil {
				return err
			}
		}
		for _, r := range list {
			if s.Only != nil && !s.Only(r) || !s.passes(r, q.Filters) {
				continue
			}
			if most > 0 && len(page) == most {
				next = new(page[most-1].ID)
				break
			}
			page = append(page, r)
		}
		return nil
	})
	return page, next, err
}

// allow asks whether the caller may.
func (s *Search[T]) allow(ctx context.Context, tx *store.Tx) error {
	if s.Allow != nil {
		return s.Allow(ctx, tx)
	}
	return iam.Allow(ctx, "ec2:"+s.Operation, "*", iam.Key("ec2:region", api.CallFrom(ctx).Region))
}

// limit is how many resources a page may have; 0 for all.
func (s *Search[T]) limit(q Query) (int, error) {
	if q.Max == nil {
		return 0, nil
	}
	least, most := int64(5), int64(1000)
	if s.Most > 0 {
		least, most = s.Least, s.Most
	}
	switch {
	case len(q.IDs) > 0:
		return 0, Errorf("InvalidParameterCombination", "The parameter MaxResults cannot be used with the parameter %s IDs", s.Kind.Name) // source: userguide
	case *q.Max < least:
		return 0, Errorf("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than or equal to %d.", *q.Max, least) // source: aws
	}
	return int(min(*q.Max, most)), nil
}

// check refuses filters that there are not.
func (s *Search[T]) check(filters []ec2.Filter) error {
	if err := few(filters); err != nil {
		return err
	}
	for _, f := range filters {
		name := api.Or(f.Name, "")
		if _, ok := s.Filters[name]; ok || name == "tag-key" || name == "tag-value" || strings.HasPrefix(name, "tag:") {
			continue
		}
		return noFilter(name)
	}
	return nil
}

// candidates are the resources that are asked for by id, or all, in order of their ids.
func (s *Search[T]) candidates(ctx context.Context, tx *store.Tx, ids []string) ([]*Record[T], error) {
	var list []*Record[T]
	if s.Beside != nil {
		var err error
		if list, err = s.Beside(ctx, tx); err != nil {
			return nil, err
		}
	}
	if len(ids) == 0 {
		records, err := s.Kind.List(ctx, tx)
		if s.Hidden != nil {
			records = slices.DeleteFunc(records, func(r *Record[T]) bool { return s.Hidden(ctx, r) })
		}
		list = append(list, records...)
		slices.SortFunc(list, func(a, b *Record[T]) int { return strings.Compare(a.ID, b.ID) })
		return list, err
	}
	beside := list
	list = nil
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		if i := slices.IndexFunc(beside, func(r *Record[T]) bool { return r.ID == id }); i >= 0 {
			list = append(list, beside[i])
			continue
		}
		r, err := s.Kind.Find(ctx, tx, id)
		if err == nil && s.Hidden != nil && s.Hidden(ctx, r) {
			err = s.Kind.Missing(id)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// passes says whether a resource passes all filters; the values of one are alternatives.
func (s *Search[T]) passes(r *Record[T], filters []ec2.Filter) bool {
	for _, f := range filters {
		if !matches(f, s.values(r, *f.Name)) {
			return false
		}
	}
	return true
}

// values are what a resource has under a filter's name.
func (s *Search[T]) values(r *Record[T], name string) (values []string) {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		if value, ok := r.Tags[key]; ok {
			return []string{value}
		}
		return nil
	}
	switch name {
	case "tag-key":
		for key := range r.Tags {
			values = append(values, key)
		}
		return values
	case "tag-value":
		for _, value := range r.Tags {
			values = append(values, value)
		}
		return values
	}
	return s.Filters[name](r)
}

// Like compares a text with a filter's value, in which * stands for any text, ? for any character, and \ takes their meaning
// away. source: userguide, "Filtering resources"
func Like(pattern, text string) bool {
	p, t := []rune(pattern), []rune(text)
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(t) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && p[i] == '?':
			i, j = i+1, j+1
		case i+1 < len(p) && p[i] == '\\' && p[i+1] == t[j]:
			i, j = i+2, j+1
		case i < len(p) && p[i] != '\\' && p[i] == t[j]:
			i, j = i+1, j+1
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// One is the value of a member, for Filters.
func One(s *string) []string {
	if s == nil {
		return nil
	}
	return []string{*s}
}

// Bool is a truth value as filters write it.
func Bool(b *bool) []string {
	if api.Or(b, false) {
		return []string{"true"}
	}
	return []string{"false"}
}

// Each gives the values of a member of all items of a list, for Filters.
func Each[T any](list []T, value func(*T) *string) (values []string) {
	for i := range list {
		if v := value(&list[i]); v != nil {
			values = append(values, *v)
		}
	}
	return values
}

// Int is a number as filters write it.
func Int(n *int64) *string {
	if n == nil {
		return nil
	}
	return new(strconv.FormatInt(*n, 10))
}

// Select keeps what passes filters of a list of things that are no records.
func Select[T any](list []T, filters []ec2.Filter, by map[string]func(*T) []string) ([]T, error) {
	if err := few(filters); err != nil {
		return nil, err
	}
	for _, f := range filters {
		values, ok := by[api.Or(f.Name, "")]
		if !ok {
			return nil, noFilter(api.Or(f.Name, ""))
		}
		list = slices.DeleteFunc(list, func(v T) bool { return !matches(f, values(&v)) })
	}
	return list, nil
}

// matches says whether any of some values passes a filter; the values of the filter are alternatives.
func matches(f ec2.Filter, values []string) bool {
	return slices.ContainsFunc(values, func(has string) bool {
		return slices.ContainsFunc(f.Values, func(want string) bool { return Like(want, has) })
	})
}

// The limits of filters. source: userguide, "Filtering using the AWS CLI"
const (
	mostFilters = 50
	mostValues  = 200
)

// few refuses too many filters. source: userguide
func few(filters []ec2.Filter) error {
	for _, f := range filters {
		if len(filters) > mostFilters || len(f.Values) > mostValues {
			return Errorf("FilterLimitExceeded", "A request can have up to %d filters with up to %d values each", mostFilters, mostValues)
		}
	}
	return nil
}

// noFilter is the error for a filter that there is not. source: aws
func noFilter(name string) error {
	return Errorf("InvalidParameterValue", "The filter '%s' is invalid", name)
}

// Page gives the part of a list that a request asks for, and where the next begins.
func Page[T any](list []T, limit *int64, after *string, least, most int64) (page []T, next *string, err error) {
	if limit != nil && *limit < least {
		return nil, nil, Errorf("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than or equal to %d.", *limit, least) // source: aws
	}
	first, err := strconv.Atoi(api.Or(after, "0"))
	if err != nil {
		return nil, nil, err
	}
	page = append([]T{}, list[min(first, len(list)):]...)
	if n := int(min(api.Or(limit, most), most)); len(page) > n {
		page, next = page[:n], new(strconv.Itoa(first+n))
	}
	return page, next, nil
}
