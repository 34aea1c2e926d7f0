package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// rules is ListResolverRules. source: userguide, "Filter"
var rules = &search[resource.ResolverRule]{
	kind: resource.ResolverRules, action: "route53resolver:ListResolverRules",
	beside: func(ctx context.Context, _ *store.Tx) ([]*rule, error) { return []*rule{internet(ctx)}, nil },
	filters: filters[resource.ResolverRule]{
		"creatorrequestid":   func(l *rule) []string { return resource.One(l.Data.CreatorRequestId) },
		"domainname":         func(l *rule) []string { return resource.One(l.Data.DomainName) },
		"name":               func(l *rule) []string { return resource.One(l.Data.Name) },
		"resolverendpointid": func(l *rule) []string { return resource.One(l.Data.ResolverEndpointId) },
		"status":             func(l *rule) []string { return resource.One(l.Data.Status) },
		"type":               func(l *rule) []string { return resource.One(l.Data.RuleType) },
	},
}

// ListResolverRules lists rules, the caller's and AWS's.
func (r *Resolver) ListResolverRules(ctx context.Context, in *route53resolver.ListResolverRulesInput) (*route53resolver.ListResolverRulesOutput, error) {
	page, next, err := rules.run(ctx, r.db, in.Filters, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &route53resolver.ListResolverRulesOutput{
		NextToken: next, MaxResults: new(api.Or(in.MaxResults, mostPage)), ResolverRules: []route53resolver.ResolverRule{},
	}
	for _, l := range page {
		out.ResolverRules = append(out.ResolverRules, l.Data.ResolverRule)
	}
	return out, nil
}
