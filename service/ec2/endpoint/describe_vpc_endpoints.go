package endpoint

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// search is DescribeVpcEndpoints. source: model, "DescribeVpcEndpointsRequest"
var search = &resource.Search[resource.Endpoint]{
	Kind: resource.Endpoints, Operation: "DescribeVpcEndpoints", Complete: complete, Least: 1, Most: 1000,
	Filters: resource.Filters[resource.Endpoint]{
		"ip-address-type":    func(r *record) []string { return resource.One(r.Data.IpAddressType) },
		"service-name":       func(r *record) []string { return resource.One(r.Data.ServiceName) },
		"service-region":     func(r *record) []string { return resource.One(r.Data.ServiceRegion) },
		"vpc-id":             func(r *record) []string { return []string{r.VPC} },
		"vpc-endpoint-id":    func(r *record) []string { return []string{r.ID} },
		"vpc-endpoint-state": func(r *record) []string { return resource.One(r.Data.State) },
		"vpc-endpoint-type":  func(r *record) []string { return resource.One(r.Data.VpcEndpointType) },
	},
}

// DescribeVpcEndpoints lists endpoints. One that was deleted is not listed any more.
func (e *Endpoints) DescribeVpcEndpoints(ctx context.Context, in *ec2.DescribeVpcEndpointsInput) (*ec2.DescribeVpcEndpointsOutput, error) {
	page, next, err := search.Run(ctx, e.db, resource.Query{
		DryRun: in.DryRun, IDs: in.VpcEndpointIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeVpcEndpointsOutput{NextToken: next, VpcEndpoints: []ec2.VpcEndpoint{}}
	for _, r := range page {
		out.VpcEndpoints = append(out.VpcEndpoints, r.Data.VpcEndpoint)
	}
	return out, nil
}

// complete works out what follows of endpoints: route tables that were deleted are not theirs any more.
func complete(ctx context.Context, tx *store.Tx, list []*record) error {
	tables := map[string]bool{}
	read := map[string]bool{}
	for _, r := range list {
		r.Data.Tags = resource.TagList(r.Tags)
		if len(r.Data.RouteTableIds) == 0 {
			continue
		}
		if !read[r.VPC] {
			read[r.VPC] = true
			all, err := resource.RouteTables.Of(ctx, tx, r.VPC)
			if err != nil {
				return err
			}
			for _, t := range all {
				tables[t.ID] = true
			}
		}
		r.Data.RouteTableIds = slices.DeleteFunc(r.Data.RouteTableIds, func(id string) bool { return !tables[id] })
	}
	return nil
}
