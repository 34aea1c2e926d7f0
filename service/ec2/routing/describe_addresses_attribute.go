package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// searchAttributes is DescribeAddressesAttribute. source: model
var searchAttributes = resource.Search[resource.Address]{
	Kind: resource.Addresses, Operation: "DescribeAddressesAttribute", Hidden: searchAddresses.Hidden, Least: 1, Most: 1000,
}

// DescribeAddressesAttribute tells the domain names of Elastic IP addresses: they have none.
func (o *Routing) DescribeAddressesAttribute(ctx context.Context, in *ec2.DescribeAddressesAttributeInput) (*ec2.DescribeAddressesAttributeOutput, error) {
	page, next, err := searchAttributes.Run(ctx, o.db, resource.Query{DryRun: in.DryRun, IDs: in.AllocationIds, Max: in.MaxResults, After: in.NextToken})
	out := &ec2.DescribeAddressesAttributeOutput{Addresses: []ec2.AddressAttribute{}, NextToken: next}
	for _, a := range page {
		out.Addresses = append(out.Addresses, ec2.AddressAttribute{AllocationId: &a.ID, PublicIp: a.Data.PublicIp})
	}
	return out, err
}
