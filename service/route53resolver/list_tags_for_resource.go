package route53resolver

import (
	"context"
	"maps"
	"slices"

	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// ListTagsForResource lists the tags of an endpoint or a rule, by name.
func (r *Resolver) ListTagsForResource(ctx context.Context, in *route53resolver.ListTagsForResourceInput) (*route53resolver.ListTagsForResourceOutput, error) {
	out := new(route53resolver.ListTagsForResourceOutput)
	err := r.db.View(ctx, func(tx *store.Tx) error {
		item, err := tagged(ctx, tx, "route53resolver:ListTagsForResource", in.ResourceArn)
		if err != nil {
			return err
		}
		list := []route53resolver.Tag{}
		for _, name := range slices.Sorted(maps.Keys(item.Tags)) {
			list = append(list, route53resolver.Tag{Key: name, Value: item.Tags[name]})
		}
		out.Tags, out.NextToken, err = resource.Page(list, in.MaxResults, in.NextToken, 1, mostPage)
		return err
	})
	return out, err
}
