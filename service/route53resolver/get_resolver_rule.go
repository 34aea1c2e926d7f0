package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// internetRule is the id of the rule that is for what no other rule is about. It is AWS's own. source: aws
const internetRule = "rslvr-autodefined-rr-internet-resolver"

// internet is that rule.
func internet(ctx context.Context) *rule {
	region := api.CallFrom(ctx).Region
	r := &rule{ID: internetRule, Region: region}
	r.Data.ResolverRule = route53resolver.ResolverRule{
		Id: &r.ID, Arn: new(internetARN(region)), DomainName: new("."), Name: new("Internet Resolver"), OwnerId: new("Route 53 Resolver"), CreatorRequestId: new(""),
		RuleType: new(route53resolver.RuleTypeOptionRECURSIVE), Status: new(route53resolver.ResolverRuleStatusCOMPLETE), ShareStatus: new(route53resolver.ShareStatusNOTSHARED),
	}
	return r
}

// internetARN is that rule's name as policies know it.
func internetARN(region string) string {
	return api.ARN("route53resolver", region, "", "autodefined-rule/"+internetRule)
}

// GetResolverRule gives a rule.
func (r *Resolver) GetResolverRule(ctx context.Context, in *route53resolver.GetResolverRuleInput) (*route53resolver.GetResolverRuleOutput, error) {
	const action = "route53resolver:GetResolverRule"
	if in.ResolverRuleId == internetRule {
		if err := iam.Allow(ctx, action, internetARN(api.CallFrom(ctx).Region)); err != nil {
			return nil, err
		}
		return &route53resolver.GetResolverRuleOutput{ResolverRule: &internet(ctx).Data.ResolverRule}, nil
	}
	out := new(route53resolver.GetResolverRuleOutput)
	err := r.db.View(ctx, func(tx *store.Tx) error {
		l, err := ruleFor(ctx, tx, action, in.ResolverRuleId)
		if err == nil {
			out.ResolverRule = &l.Data.ResolverRule
		}
		return err
	})
	return out, err
}
