// Package route53resolver is Amazon Route 53 Resolver: endpoints through which names are asked for from outside a VPC, or outside
// is asked from within, and the rules that say which names.
//
// What is kept are EC2's resources, so that one plan has all of the network; hosts that carry an endpoint make it operational. It
// uses EC2's networkinterface for the addresses of endpoints, and iam.
package route53resolver

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// Resolver is the service.
type Resolver struct {
	unclaimed
	db *store.DB
}

// unclaimed holds the operations that are not built.
type unclaimed struct{ route53resolver.Unimplemented }

var _ route53resolver.Server = (*Resolver)(nil)

// New gives the service.
func New(db *store.DB) *Resolver { return &Resolver{db: db} }

// The records of the service.
type (
	endpoint = resource.Record[resource.ResolverEndpoint]
	rule     = resource.Record[resource.ResolverRule]
	link     = resource.Record[resource.ResolverLink]
)

// The words for resources in ARNs and errors.
const (
	kindEndpoint = "resolver-endpoint"
	kindRule     = "resolver-rule"
	kindLink     = "resolver-rule-association"
)

// arn is the name of a resource as policies know it, and of all that the caller has when the id is *.
func arn(ctx context.Context, kind, id string) string {
	call := api.CallFrom(ctx)
	return api.ARN("route53resolver", call.Region, call.Account, kind+"/"+id)
}

// timeForm is how the service writes times.
const timeForm = "2006-01-02T15:04:05.000Z"

// now is the time of a call as the service writes it.
func now(ctx context.Context) *string { return new(api.CallFrom(ctx).Time.UTC().Format(timeForm)) }

// invalid is the error for most that is wrong with a request.
func invalid(format string, args ...any) error {
	return route53resolver.ErrInvalidRequestException(format, args...)
}

// badParameter is the error for a parameter that says what there is not.
func badParameter(name, format string, args ...any) error {
	return route53resolver.ErrInvalidParameterException(format, args...).With("FieldName", name)
}

// unsupported is the error for what AWS offers and nothing here would do.
func unsupported(what string) error { return invalid("%s is not supported", what) }

// exceeded is the error for one too many. source: aws
func exceeded(ctx context.Context, limit, kind string) error {
	return route53resolver.ErrLimitExceededException("Account '%s' has exceeded '%s'", api.CallFrom(ctx).Account, limit).With("ResourceType", kind)
}

// missing is the error for what is not there. source: aws
func missing(kind, format string, args ...any) error {
	return route53resolver.ErrResourceNotFoundException(format, args...).With("ResourceType", kind)
}

// The limits of tags. source: model, "TagList"; userguide, "Tag restrictions"
const mostTags = 200

// readTags reads the tags of a request.
func readTags(list []route53resolver.Tag) (map[string]string, error) {
	tags := map[string]string{}
	for _, t := range list {
		if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return nil, route53resolver.ErrInvalidTagException("Tag keys that begin with aws: are reserved: %s", t.Key)
		}
		tags[t.Key] = t.Value
	}
	return tags, nil
}

// mine says whether a record is the caller's, here.
func mine[T any](ctx context.Context, r *resource.Record[T]) bool {
	call := api.CallFrom(ctx)
	return r != nil && r.Account == call.Account && r.Region == call.Region
}

// find finds a record to which the caller may do an action. Whoever may not is not told whether there is such a record.
func find[T any](ctx context.Context, tx *store.Tx, k *resource.Kind[T], action, id string, absent error) (*resource.Record[T], error) {
	r, err := k.Get(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if !mine(ctx, r) {
		if denied := iam.Allow(ctx, action, arn(ctx, k.Name, id)); denied != nil {
			return nil, denied
		}
		return nil, absent
	}
	return r, iam.Allow(ctx, action, arn(ctx, k.Name, id), iam.ResourceTags(r.Tags))
}

// endpointFor finds an endpoint to which the caller may do an action.
func endpointFor(ctx context.Context, tx *store.Tx, action, id string) (*endpoint, error) {
	absent := missing(kindEndpoint, "Resolver endpoint with ID '%s' does not exist", id) // source: aws
	return find(ctx, tx, resource.ResolverEndpoints, action, id, absent)
}

// ruleFor finds a rule to which the caller may do an action.
func ruleFor(ctx context.Context, tx *store.Tx, action, id string) (*rule, error) {
	return find(ctx, tx, resource.ResolverRules, action, id, noRule(id))
}

// noRule is the error for a rule that is not there. source: aws
func noRule(id string) error {
	return missing(kindRule, "Resolver rule with ID '%s' does not exist", id)
}

// changeable finds an endpoint to which the caller may do an action, and that is not being deleted.
func changeable(ctx context.Context, tx *store.Tx, action, id string) (*endpoint, error) {
	e, err := endpointFor(ctx, tx, action, id)
	if err == nil && *e.Data.Status == route53resolver.ResolverEndpointStatusDELETING {
		err = invalid("Resolver endpoint with ID '%s' is being deleted", id) // source: guess
	}
	return e, err
}

// filters are what a list can be filtered by: for a record the values it has under a name, in small letters.
type filters[T any] map[string]func(*resource.Record[T]) []string

// plain makes one spelling of the two that filters' names have: CreatorRequestId, and CREATOR_REQUEST_ID.
func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }

// pass keeps the records that pass all filters of a request; the values of one are alternatives.
func (f filters[T]) pass(list []*resource.Record[T], asked []route53resolver.Filter) ([]*resource.Record[T], error) {
	for _, a := range asked {
		values, ok := f[plain(api.Or(a.Name, ""))]
		if !ok {
			return nil, badParameter("Filters", "The filter '%s' is invalid", api.Or(a.Name, "")) // source: guess
		}
		list = slices.DeleteFunc(list, func(r *resource.Record[T]) bool {
			return !slices.ContainsFunc(values(r), func(v string) bool { return slices.Contains(a.Values, v) })
		})
	}
	return list, nil
}

// mostPage is how many items a page has when a request does not say. source: model, "MaxResults"
const mostPage = 100

// search is a List operation of records, beside which there are some that AWS keeps.
type search[T any] struct {
	kind    *resource.Kind[T]
	action  string
	filters filters[T]
	beside  func(ctx context.Context, tx *store.Tx) ([]*resource.Record[T], error)
}

// run gives a page of what a request asks for, in the order of the ids, and where the next begins.
func (s *search[T]) run(ctx context.Context, db *store.DB, asked []route53resolver.Filter, limit *int64, after *string) (page []*resource.Record[T], next *string, err error) {
	if err := iam.Allow(ctx, s.action, "*"); err != nil {
		return nil, nil, err
	}
	err = db.View(ctx, func(tx *store.Tx) error {
		list, err := s.kind.List(ctx, tx)
		if err == nil && s.beside != nil {
			var more []*resource.Record[T]
			more, err = s.beside(ctx, tx)
			list = append(list, more...)
		}
		if err != nil {
			return err
		}
		slices.SortFunc(list, func(a, b *resource.Record[T]) int { return strings.Compare(a.ID, b.ID) })
		if list, err = s.filters.pass(list, asked); err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(r *resource.Record[T]) bool { return r.ID <= api.Or(after, "") })
		page, next = list, nil
		if n := int(api.Or(limit, mostPage)); len(list) > n {
			page, next = list[:n], new(list[n-1].ID)
		}
		return nil
	})
	return page, next, err
}

// own turns an error of EC2's into one of the service's.
func own(err error) error {
	e, ok := errors.AsType[*api.Error](err)
	if !ok || e.Code == "" || e.Fault {
		return err
	}
	switch {
	case e.Code == "InvalidIPAddress.InUse":
		return route53resolver.ErrResourceExistsException("%s", e.Message)
	case strings.HasSuffix(e.Code, "LimitExceeded"):
		return route53resolver.ErrLimitExceededException("%s", e.Message)
	case strings.Contains(e.Code, ".NotFound"), strings.Contains(e.Code, ".Malformed"):
		return route53resolver.ErrInvalidParameterException("%s", e.Message)
	}
	return invalid("%s", e.Message)
}
