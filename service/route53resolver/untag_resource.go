package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// UntagResource takes tags from an endpoint or a rule.
func (r *Resolver) UntagResource(ctx context.Context, in *route53resolver.UntagResourceInput) (*route53resolver.UntagResourceOutput, error) {
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		item, err := tagged(ctx, tx, "route53resolver:UntagResource", in.ResourceArn, iam.TagKeys(in.TagKeys))
		if err != nil {
			return err
		}
		return item.Retag(ctx, tx, nil, in.TagKeys)
	})
	return new(route53resolver.UntagResourceOutput), err
}
