package vpn

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// searchGateways is DescribeVpnGateways. source: userguide, the operation's page
var searchGateways = &resource.Search[resource.VpnGateway]{
	Kind: resource.VpnGateways, Operation: "DescribeVpnGateways",
	Filters: resource.Filters[resource.VpnGateway]{
		"amazon-side-asn": func(g *gateway) []string { return resource.One(resource.Int(g.Data.AmazonSideAsn)) },
		"attachment.state": func(g *gateway) []string {
			if g.VPC == "" {
				return nil
			}
			return []string{ec2.AttachmentStatusAttached}
		},
		"attachment.vpc-id": func(g *gateway) []string {
			if g.VPC == "" {
				return nil
			}
			return []string{g.VPC}
		},
		"availability-zone": func(g *gateway) []string { return resource.One(g.Data.AvailabilityZone) },
		"state":             func(g *gateway) []string { return resource.One(g.Data.State) },
		"type":              func(g *gateway) []string { return resource.One(g.Data.Type) },
		"vpn-gateway-id":    func(g *gateway) []string { return []string{g.ID} },
	},
}

// DescribeVpnGateways lists virtual private gateways.
func (v *VPNs) DescribeVpnGateways(ctx context.Context, in *ec2.DescribeVpnGatewaysInput) (*ec2.DescribeVpnGatewaysOutput, error) {
	list, _, err := searchGateways.Run(ctx, v.db, resource.Query{DryRun: in.DryRun, IDs: in.VpnGatewayIds, Filters: in.Filters})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeVpnGatewaysOutput{VpnGateways: []ec2.VpnGateway{}}
	for _, g := range list {
		out.VpnGateways = append(out.VpnGateways, *answer(g))
	}
	return out, nil
}
