package route53resolver

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// TagResource adds tags to an endpoint or a rule, or changes their values.
func (r *Resolver) TagResource(ctx context.Context, in *route53resolver.TagResourceInput) (*route53resolver.TagResourceOutput, error) {
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	err = r.db.Update(ctx, func(tx *store.Tx) error {
		item, err := tagged(ctx, tx, "route53resolver:TagResource", in.ResourceArn, iam.RequestTags(tags))
		if err != nil {
			return err
		}
		all := maps.Clone(item.Tags)
		maps.Copy(all, tags)
		if len(all) > mostTags {
			return exceeded(ctx, "max-tags-per-resource", item.Kind)
		}
		return item.Retag(ctx, tx, tags, nil)
	})
	return new(route53resolver.TagResourceOutput), err
}

// tagged finds the endpoint or the rule of an ARN, for a caller who may do an action to it.
func tagged(ctx context.Context, tx *store.Tx, action, of string, about ...iam.About) (*resource.Item, error) {
	call := api.CallFrom(ctx)
	service, region, account, name, ok := api.SplitARN(of)
	kind, id, _ := strings.Cut(name, "/")
	if !ok || service != "route53resolver" || !slices.Contains([]string{kindEndpoint, kindRule}, kind) {
		if err := iam.Allow(ctx, action, arn(ctx, kindEndpoint, "*"), about...); err != nil {
			return nil, err
		}
		return nil, badParameter("ResourceArn", "The resource ARN '%s' is invalid", of) // source: guess
	}
	var item *resource.Item
	var err error
	switch {
	case region != call.Region || account != call.Account:
	case kind == kindEndpoint:
		item, err = itemOf(ctx, tx, resource.ResolverEndpoints, id)
	case kind == kindRule:
		item, err = itemOf(ctx, tx, resource.ResolverRules, id)
	}
	if err != nil {
		return nil, err
	}
	if item != nil {
		about = append(about, iam.ResourceTags(item.Tags))
	}
	if err := iam.Allow(ctx, action, arn(ctx, kind, id), about...); err != nil {
		return nil, err
	}
	if item == nil {
		return nil, missing(kind, "Resource '%s' does not exist", of) // source: guess
	}
	return item, nil
}

// itemOf finds a record of the caller's, as something that has tags; nil when it is not there.
func itemOf[T any](ctx context.Context, tx *store.Tx, k *resource.Kind[T], id string) (*resource.Item, error) {
	r, err := k.Get(ctx, tx, id)
	if err != nil || !mine(ctx, r) {
		return nil, err
	}
	return &resource.Item{ID: r.ID, Account: r.Account, Region: r.Region, Kind: k.Name, VPC: r.VPC, Tags: r.Tags}, nil
}
