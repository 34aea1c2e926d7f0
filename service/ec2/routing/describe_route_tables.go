package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// searchTables is DescribeRouteTables. source: userguide, the operation's page
var searchTables = resource.Search[resource.RouteTable]{
	Kind: resource.RouteTables, Operation: "DescribeRouteTables", Complete: Complete, Least: 5, Most: 100,
	Filters: resource.Filters[resource.RouteTable]{
		"association.gateway-id":                 ofAssociations(func(a *ec2.RouteTableAssociation) *string { return a.GatewayId }),
		"association.main":                       ofAssociations(func(a *ec2.RouteTableAssociation) *string { return &resource.Bool(a.Main)[0] }),
		"association.route-table-association-id": ofAssociations(func(a *ec2.RouteTableAssociation) *string { return a.RouteTableAssociationId }),
		"association.route-table-id":             ofAssociations(func(a *ec2.RouteTableAssociation) *string { return a.RouteTableId }),
		"association.subnet-id":                  ofAssociations(func(a *ec2.RouteTableAssociation) *string { return a.SubnetId }),
		"owner-id":                               func(t *table) []string { return []string{t.Account} },
		"route-table-id":                         func(t *table) []string { return []string{t.ID} },
		"route.destination-cidr-block":           ofRoutes(func(r *ec2.Route) *string { return r.DestinationCidrBlock }),
		"route.destination-ipv6-cidr-block":      ofRoutes(func(r *ec2.Route) *string { return r.DestinationIpv6CidrBlock }),
		"route.destination-prefix-list-id":       ofRoutes(func(r *ec2.Route) *string { return r.DestinationPrefixListId }),
		"route.egress-only-internet-gateway-id":  ofRoutes(func(r *ec2.Route) *string { return r.EgressOnlyInternetGatewayId }),
		"route.gateway-id":                       ofRoutes(func(r *ec2.Route) *string { return r.GatewayId }),
		"route.instance-id":                      ofRoutes(func(r *ec2.Route) *string { return r.InstanceId }),
		"route.nat-gateway-id":                   ofRoutes(func(r *ec2.Route) *string { return r.NatGatewayId }),
		"route.origin":                           ofRoutes(func(r *ec2.Route) *string { return r.Origin }),
		"route.state":                            ofRoutes(func(r *ec2.Route) *string { return r.State }),
		"route.transit-gateway-id":               ofRoutes(func(r *ec2.Route) *string { return r.TransitGatewayId }),
		"route.vpc-peering-connection-id":        ofRoutes(func(r *ec2.Route) *string { return r.VpcPeeringConnectionId }),
		"vpc-id":                                 func(t *table) []string { return []string{t.VPC} },
	},
}

// ofAssociations filters by a member of the associations.
func ofAssociations(value func(*ec2.RouteTableAssociation) *string) func(*table) []string {
	return func(t *table) []string { return resource.Each(t.Data.Associations, value) }
}

// ofRoutes filters by a member of the routes.
func ofRoutes(value func(*ec2.Route) *string) func(*table) []string {
	return func(t *table) []string { return resource.Each(t.Data.Routes, value) }
}

// DescribeRouteTables lists route tables.
func (o *Routing) DescribeRouteTables(ctx context.Context, in *ec2.DescribeRouteTablesInput) (*ec2.DescribeRouteTablesOutput, error) {
	page, next, err := searchTables.Run(ctx, o.db, resource.Query{DryRun: in.DryRun, IDs: in.RouteTableIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken})
	out := &ec2.DescribeRouteTablesOutput{RouteTables: []ec2.RouteTable{}, NextToken: next}
	for _, t := range page {
		out.RouteTables = append(out.RouteTables, answer(t))
	}
	return out, err
}
