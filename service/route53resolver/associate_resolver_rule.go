package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// mostLinks is how many associations of rules with VPCs there may be. source: userguide, "Quotas on Route 53 VPC Resolver
// endpoints"
const mostLinks = 2000

// holds says whether an association is not being removed.
func holds(k *link) bool {
	return *k.Data.Status != route53resolver.ResolverRuleAssociationStatusDELETING
}

// AssociateResolverRule gives a VPC a rule. It is complete when its resolver knows.
func (r *Resolver) AssociateResolverRule(ctx context.Context, in *route53resolver.AssociateResolverRuleInput) (*route53resolver.AssociateResolverRuleOutput, error) {
	id, out := resource.ResolverLinks.NewID(), new(route53resolver.AssociateResolverRuleOutput)
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		l, err := ruleFor(ctx, tx, "route53resolver:AssociateResolverRule", in.ResolverRuleId)
		if err != nil {
			return err
		}
		vpc, err := resource.VPCs.Get(ctx, tx, in.VPCId)
		if err != nil {
			return err
		}
		if !mine(ctx, vpc) {
			return badParameter("VPCId", "The vpc ID '%s' does not exist", in.VPCId) // source: aws
		}
		links, err := resource.ResolverLinks.List(ctx, tx)
		if err != nil {
			return err
		}
		if len(links) >= mostLinks {
			return exceeded(ctx, "max-rules-association", kindLink)
		}
		for _, k := range links {
			if !holds(k) || k.VPC != vpc.ID {
				continue
			}
			other, err := resource.ResolverRules.Get(ctx, tx, *k.Data.ResolverRuleId)
			if err != nil {
				return err
			}
			if other != nil && *other.Data.DomainName == *l.Data.DomainName {
				// source: aws
				return invalid("Cannot associate rules with same domain name with same VPC. Conflict with resolver rule '%s'", other.ID)
			}
		}
		k := resource.ResolverLinks.New(ctx, id, vpc.ID, resource.ResolverLink{ResolverRuleAssociation: route53resolver.ResolverRuleAssociation{
			Id: &id, ResolverRuleId: &l.ID, Name: in.Name, VPCId: &vpc.ID, Status: new(route53resolver.ResolverRuleAssociationStatusCREATING),
			StatusMessage: new("Creating the association."),
		}})
		out.ResolverRuleAssociation = &k.Data.ResolverRuleAssociation
		return resource.ResolverLinks.Create(ctx, tx, k)
	})
	return out, err
}
