package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// searchNATs is DescribeNatGateways. source: userguide, the operation's page
var searchNATs = resource.Search[resource.NatGateway]{
	Kind: resource.NatGateways, Operation: "DescribeNatGateways", Hidden: over,
	Filters: resource.Filters[resource.NatGateway]{
		"nat-gateway-id": func(n *nat) []string { return []string{n.ID} },
		"state":          func(n *nat) []string { return resource.One(n.Data.State) },
		"subnet-id":      func(n *nat) []string { return resource.One(n.Data.SubnetId) },
		"vpc-id":         func(n *nat) []string { return []string{n.VPC} },
	},
}

// DescribeNatGateways lists NAT gateways.
func (o *Routing) DescribeNatGateways(ctx context.Context, in *ec2.DescribeNatGatewaysInput) (*ec2.DescribeNatGatewaysOutput, error) {
	page, next, err := searchNATs.Run(ctx, o.db, resource.Query{DryRun: in.DryRun, IDs: in.NatGatewayIds, Filters: in.Filter, Max: in.MaxResults, After: in.NextToken})
	out := &ec2.DescribeNatGatewaysOutput{NatGateways: []ec2.NatGateway{}, NextToken: next}
	for _, n := range page {
		out.NatGateways = append(out.NatGateways, answerNAT(n))
	}
	return out, err
}
