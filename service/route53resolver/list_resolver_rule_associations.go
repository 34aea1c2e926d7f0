package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// links is ListResolverRuleAssociations. source: userguide, "Filter"
var links = &search[resource.ResolverLink]{
	kind: resource.ResolverLinks, action: "route53resolver:ListResolverRuleAssociations", beside: internets,
	filters: filters[resource.ResolverLink]{
		"name":           func(k *link) []string { return resource.One(k.Data.Name) },
		"resolverruleid": func(k *link) []string { return resource.One(k.Data.ResolverRuleId) },
		"status":         func(k *link) []string { return resource.One(k.Data.Status) },
		"vpcid":          func(k *link) []string { return resource.One(k.Data.VPCId) },
	},
}

// internets are the associations of AWS's own rule with all VPCs of the caller. source: aws
func internets(ctx context.Context, tx *store.Tx) (list []*link, err error) {
	vpcs, err := resource.VPCs.List(ctx, tx)
	for _, v := range vpcs {
		k := &link{ID: "rslvr-autodefined-assoc-" + v.ID + "-internet-resolver", Account: v.Account, Region: v.Region, VPC: v.ID}
		k.Data.ResolverRuleAssociation = route53resolver.ResolverRuleAssociation{
			Id: &k.ID, ResolverRuleId: new(internetRule), VPCId: &k.VPC, Name: new("System Rule Association"),
			Status: new(route53resolver.ResolverRuleAssociationStatusCOMPLETE), StatusMessage: new(""),
		}
		list = append(list, k)
	}
	return list, err
}

// ListResolverRuleAssociations lists the associations of rules with VPCs.
func (r *Resolver) ListResolverRuleAssociations(ctx context.Context, in *route53resolver.ListResolverRuleAssociationsInput) (*route53resolver.ListResolverRuleAssociationsOutput, error) {
	page, next, err := links.run(ctx, r.db, in.Filters, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &route53resolver.ListResolverRuleAssociationsOutput{
		NextToken: next, MaxResults: new(api.Or(in.MaxResults, mostPage)), ResolverRuleAssociations: []route53resolver.ResolverRuleAssociation{},
	}
	for _, k := range page {
		out.ResolverRuleAssociations = append(out.ResolverRuleAssociations, k.Data.ResolverRuleAssociation)
	}
	return out, nil
}
