package peering

import (
	"context"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// search is DescribeVpcPeeringConnections. source: userguide, the operation's page
var search = &resource.Search[resource.Peering]{
	Kind: resource.Peerings, Operation: "DescribeVpcPeeringConnections", Complete: complete, Beside: accepted,
	Hidden: func(ctx context.Context, r *record) bool { return view(ctx, r) == nil },
	Filters: resource.Filters[resource.Peering]{
		"accepter-vpc-info.cidr-block":  func(r *record) []string { return ranges(r.Data.AccepterVpcInfo) },
		"accepter-vpc-info.owner-id":    func(r *record) []string { return resource.One(r.Data.AccepterVpcInfo.OwnerId) },
		"accepter-vpc-info.vpc-id":      func(r *record) []string { return resource.One(r.Data.AccepterVpcInfo.VpcId) },
		"requester-vpc-info.cidr-block": func(r *record) []string { return ranges(r.Data.RequesterVpcInfo) },
		"requester-vpc-info.owner-id":   func(r *record) []string { return resource.One(r.Data.RequesterVpcInfo.OwnerId) },
		"requester-vpc-info.vpc-id":     func(r *record) []string { return resource.One(r.Data.RequesterVpcInfo.VpcId) },
		"expiration-time": func(r *record) []string {
			if r.Data.ExpirationTime == nil {
				return nil
			}
			return []string{r.Data.ExpirationTime.UTC().Format(time.RFC3339)}
		},
		"status-code":               func(r *record) []string { return resource.One(r.Data.Status.Code) },
		"status-message":            func(r *record) []string { return resource.One(r.Data.Status.Message) },
		"vpc-peering-connection-id": func(r *record) []string { return []string{r.ID} },
	},
}

// ranges are those of a side.
func ranges(side *info) []string {
	return resource.Each(side.CidrBlockSet, func(c *ec2.CidrBlock) *string { return c.CidrBlock })
}

// accepted gives the connections that others, or the caller in other Regions, have asked the caller for.
func accepted(ctx context.Context, tx *store.Tx) (list []*record, err error) {
	all, err := resource.Peerings.All(ctx, tx)
	call := api.CallFrom(ctx)
	for _, r := range all {
		if isSide(call, r.Data.RequesterVpcInfo) {
			continue
		}
		if seen := view(ctx, r); seen != nil {
			list = append(list, seen)
		}
	}
	return list, err
}

// DescribeVpcPeeringConnections lists the connections of both sides.
func (p *Peerings) DescribeVpcPeeringConnections(ctx context.Context, in *ec2.DescribeVpcPeeringConnectionsInput) (*ec2.DescribeVpcPeeringConnectionsOutput, error) {
	page, next, err := search.Run(ctx, p.db, resource.Query{
		DryRun: in.DryRun, IDs: in.VpcPeeringConnectionIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeVpcPeeringConnectionsOutput{NextToken: next, VpcPeeringConnections: []ec2.VpcPeeringConnection{}}
	for _, r := range page {
		out.VpcPeeringConnections = append(out.VpcPeeringConnections, r.Data.VpcPeeringConnection)
	}
	return out, nil
}
