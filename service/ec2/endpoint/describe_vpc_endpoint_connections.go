package endpoint

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
)

// connectionFilters are what connections can be filtered by. source: model, "DescribeVpcEndpointConnectionsRequest"
var connectionFilters = map[string]func(*ec2.VpcEndpointConnection) []string{
	"ip-address-type":    func(c *ec2.VpcEndpointConnection) []string { return resource.One(c.IpAddressType) },
	"service-id":         func(c *ec2.VpcEndpointConnection) []string { return resource.One(c.ServiceId) },
	"vpc-endpoint-id":    func(c *ec2.VpcEndpointConnection) []string { return resource.One(c.VpcEndpointId) },
	"vpc-endpoint-owner": func(c *ec2.VpcEndpointConnection) []string { return resource.One(c.VpcEndpointOwner) },
	"vpc-endpoint-state": func(c *ec2.VpcEndpointConnection) []string { return resource.One(c.VpcEndpointState) },
}

// DescribeVpcEndpointConnections lists the endpoints that were made for services of the caller's own: there can be none,
// because all services are AWS's.
func (e *Endpoints) DescribeVpcEndpointConnections(ctx context.Context, in *ec2.DescribeVpcEndpointConnectionsInput) (*ec2.DescribeVpcEndpointConnectionsOutput, error) {
	if err := iam.Allow(ctx, "ec2:DescribeVpcEndpointConnections", "*"); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	list, err := resource.Select([]ec2.VpcEndpointConnection{}, in.Filters, connectionFilters)
	return &ec2.DescribeVpcEndpointConnectionsOutput{VpcEndpointConnections: list}, err
}
