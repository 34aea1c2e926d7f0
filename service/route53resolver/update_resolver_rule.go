package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// UpdateResolverRule changes a rule's name, and where it forwards questions to. What is not said stays.
func (r *Resolver) UpdateResolverRule(ctx context.Context, in *route53resolver.UpdateResolverRuleInput) (*route53resolver.UpdateResolverRuleOutput, error) {
	out := new(route53resolver.UpdateResolverRuleOutput)
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		l, err := ruleFor(ctx, tx, "route53resolver:UpdateResolverRule", in.ResolverRuleId)
		if err != nil {
			return err
		}
		to := in.Config
		if to.Name != nil {
			l.Data.Name = to.Name
		}
		if to.TargetIps != nil || to.ResolverEndpointId != nil {
			targets, through := to.TargetIps, to.ResolverEndpointId
			if targets == nil {
				targets = l.Data.TargetIps
			}
			if through == nil {
				through = l.Data.ResolverEndpointId
			}
			if err := direct(ctx, tx, l, targets, through); err != nil {
				return err
			}
		}
		l.Data.ModificationTime, l.Data.StatusMessage = now(ctx), new("Successfully updated Resolver Rule.")
		out.ResolverRule = &l.Data.ResolverRule
		return resource.ResolverRules.Put(ctx, tx, l)
	})
	return out, err
}
