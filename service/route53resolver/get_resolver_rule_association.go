package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// GetResolverRuleAssociation gives an association of a rule with a VPC, to whoever may see it of the rule.
func (r *Resolver) GetResolverRuleAssociation(ctx context.Context, in *route53resolver.GetResolverRuleAssociationInput) (*route53resolver.GetResolverRuleAssociationOutput, error) {
	const action = "route53resolver:GetResolverRuleAssociation"
	out := new(route53resolver.GetResolverRuleAssociationOutput)
	err := r.db.View(ctx, func(tx *store.Tx) error {
		k, err := resource.ResolverLinks.Get(ctx, tx, in.ResolverRuleAssociationId)
		if err != nil {
			return err
		}
		id := "*"
		if mine(ctx, k) {
			id = *k.Data.ResolverRuleId
		}
		if err := iam.Allow(ctx, action, arn(ctx, kindRule, id)); err != nil {
			return err
		}
		if !mine(ctx, k) {
			return missing(kindLink, "ResolverRuleAssociation '%s' does not Exist", in.ResolverRuleAssociationId) // source: aws
		}
		out.ResolverRuleAssociation = &k.Data.ResolverRuleAssociation
		return nil
	})
	return out, err
}
