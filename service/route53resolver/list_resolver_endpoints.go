package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
)

// endpoints is ListResolverEndpoints. source: userguide, "Filter"
var endpoints = &search[resource.ResolverEndpoint]{
	kind: resource.ResolverEndpoints, action: "route53resolver:ListResolverEndpoints",
	filters: filters[resource.ResolverEndpoint]{
		"creatorrequestid": func(e *endpoint) []string { return resource.One(e.Data.CreatorRequestId) },
		"direction":        func(e *endpoint) []string { return resource.One(e.Data.Direction) },
		"hostvpcid":        func(e *endpoint) []string { return resource.One(e.Data.HostVPCId) },
		"ipaddresscount":   func(e *endpoint) []string { return resource.One(resource.Int(e.Data.IpAddressCount)) },
		"name":             func(e *endpoint) []string { return resource.One(e.Data.Name) },
		"securitygroupids": func(e *endpoint) []string { return e.Data.SecurityGroupIds },
		"status":           func(e *endpoint) []string { return resource.One(e.Data.Status) },
	},
}

// ListResolverEndpoints lists endpoints.
func (r *Resolver) ListResolverEndpoints(ctx context.Context, in *route53resolver.ListResolverEndpointsInput) (*route53resolver.ListResolverEndpointsOutput, error) {
	page, next, err := endpoints.run(ctx, r.db, in.Filters, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &route53resolver.ListResolverEndpointsOutput{
		NextToken: next, MaxResults: new(api.Or(in.MaxResults, mostPage)), ResolverEndpoints: []route53resolver.ResolverEndpoint{},
	}
	for _, e := range page {
		out.ResolverEndpoints = append(out.ResolverEndpoints, e.Data.ResolverEndpoint)
	}
	return out, nil
}
