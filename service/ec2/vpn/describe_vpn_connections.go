package vpn

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DescribeVpnConnections lists connections.
func (v *VPNs) DescribeVpnConnections(ctx context.Context, in *ec2.DescribeVpnConnectionsInput) (*ec2.DescribeVpnConnectionsOutput, error) {
	numbers := map[string]string{} // of the customer gateways
	search := &resource.Search[resource.VpnConnection]{
		Kind: resource.VpnConnections, Operation: "DescribeVpnConnections",
		Complete: func(ctx context.Context, tx *store.Tx, list []*connection) error {
			customers, err := resource.CustomerGateways.List(ctx, tx)
			if err != nil {
				return err
			}
			for _, c := range customers {
				numbers[c.ID] = number(&c.Data)
			}
			return complete(ctx, tx, list)
		},
		Filters: resource.Filters[resource.VpnConnection]{
			"bgp-asn":                        func(c *connection) []string { return []string{numbers[*c.Data.CustomerGatewayId]} },
			"customer-gateway-configuration": func(c *connection) []string { return resource.One(c.Data.CustomerGatewayConfiguration) },
			"customer-gateway-id":            func(c *connection) []string { return resource.One(c.Data.CustomerGatewayId) },
			"option.static-routes-only":      func(c *connection) []string { return resource.Bool(c.Data.Options.StaticRoutesOnly) },
			"route.destination-cidr-block": func(c *connection) []string {
				return resource.Each(c.Data.Routes, func(r *ec2.VpnStaticRoute) *string { return r.DestinationCidrBlock })
			},
			"state":              func(c *connection) []string { return resource.One(c.Data.State) },
			"transit-gateway-id": func(*connection) []string { return nil },
			"type":               func(c *connection) []string { return resource.One(c.Data.Type) },
			"vpn-connection-id":  func(c *connection) []string { return []string{c.ID} },
			"vpn-gateway-id":     func(c *connection) []string { return resource.One(c.Data.VpnGatewayId) },
		}, // source: userguide, the operation's page
	}
	list, _, err := search.Run(ctx, v.db, resource.Query{DryRun: in.DryRun, IDs: in.VpnConnectionIds, Filters: in.Filters})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeVpnConnectionsOutput{VpnConnections: []ec2.VpnConnection{}}
	for _, c := range list {
		out.VpnConnections = append(out.VpnConnections, c.Data.VpnConnection)
	}
	return out, nil
}
