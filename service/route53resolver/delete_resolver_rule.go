package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteResolverRule removes a rule that no VPC has.
func (r *Resolver) DeleteResolverRule(ctx context.Context, in *route53resolver.DeleteResolverRuleInput) (*route53resolver.DeleteResolverRuleOutput, error) {
	out := new(route53resolver.DeleteResolverRuleOutput)
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		l, err := ruleFor(ctx, tx, "route53resolver:DeleteResolverRule", in.ResolverRuleId)
		if err != nil {
			return err
		}
		links, err := resource.ResolverLinks.List(ctx, tx)
		if err != nil {
			return err
		}
		for _, k := range links {
			if holds(k) && *k.Data.ResolverRuleId == l.ID {
				// source: aws
				return route53resolver.ErrResourceInUseException("Please disassociate this resolver rule from VPC first before deleting").With("ResourceType", kindRule)
			}
		}
		l.Data.Status, l.Data.StatusMessage = new(route53resolver.ResolverRuleStatusDELETING), new("Deleting the Resolver Rule.")
		out.ResolverRule = &l.Data.ResolverRule
		return resource.ResolverRules.Delete(ctx, tx, l)
	})
	return out, err
}
