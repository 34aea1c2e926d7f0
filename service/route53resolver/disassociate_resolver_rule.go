package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DisassociateResolverRule takes a rule from a VPC. The association is gone when its resolver knows.
func (r *Resolver) DisassociateResolverRule(ctx context.Context, in *route53resolver.DisassociateResolverRuleInput) (*route53resolver.DisassociateResolverRuleOutput, error) {
	out := new(route53resolver.DisassociateResolverRuleOutput)
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		l, err := ruleFor(ctx, tx, "route53resolver:DisassociateResolverRule", in.ResolverRuleId)
		if err != nil {
			return err
		}
		links, err := resource.ResolverLinks.List(ctx, tx)
		if err != nil {
			return err
		}
		for _, k := range links {
			if !holds(k) || k.VPC != in.VPCId || *k.Data.ResolverRuleId != l.ID {
				continue
			}
			k.Data.Status, k.Data.StatusMessage = new(route53resolver.ResolverRuleAssociationStatusDELETING), new("Deleting Association")
			out.ResolverRuleAssociation = &k.Data.ResolverRuleAssociation
			return resource.ResolverLinks.Put(ctx, tx, k)
		}
		// source: aws
		return missing(kindLink, "Resolver Rule Association between Resolver Rule '%s' and VPC '%s' does not exist", l.ID, in.VPCId)
	})
	return out, err
}
