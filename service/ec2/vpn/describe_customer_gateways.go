package vpn

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// searchCustomers is DescribeCustomerGateways. source: userguide, the operation's page
var searchCustomers = &resource.Search[resource.CustomerGateway]{
	Kind: resource.CustomerGateways, Operation: "DescribeCustomerGateways",
	Filters: resource.Filters[resource.CustomerGateway]{
		"bgp-asn":             func(c *customer) []string { return []string{number(&c.Data)} },
		"customer-gateway-id": func(c *customer) []string { return []string{c.ID} },
		"ip-address":          func(c *customer) []string { return resource.One(c.Data.IpAddress) },
		"state":               func(c *customer) []string { return resource.One(c.Data.State) },
		"type":                func(c *customer) []string { return resource.One(c.Data.Type) },
	},
}

// DescribeCustomerGateways lists customer gateways.
func (v *VPNs) DescribeCustomerGateways(ctx context.Context, in *ec2.DescribeCustomerGatewaysInput) (*ec2.DescribeCustomerGatewaysOutput, error) {
	list, _, err := searchCustomers.Run(ctx, v.db, resource.Query{DryRun: in.DryRun, IDs: in.CustomerGatewayIds, Filters: in.Filters})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeCustomerGatewaysOutput{CustomerGateways: []ec2.CustomerGateway{}}
	for _, c := range list {
		out.CustomerGateways = append(out.CustomerGateways, *answerCustomer(c))
	}
	return out, nil
}
