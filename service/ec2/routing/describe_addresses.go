package routing

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// searchAddresses is DescribeAddresses. source: userguide, the operation's page
var searchAddresses = resource.Search[resource.Address]{
	Kind: resource.Addresses, Operation: "DescribeAddresses", Complete: completeAddresses,
	Hidden: func(_ context.Context, a *address) bool { return a.Data.Automatic },
	Filters: resource.Filters[resource.Address]{
		"allocation-id":              func(a *address) []string { return []string{a.ID} },
		"association-id":             func(a *address) []string { return resource.One(a.Data.AssociationId) },
		"domain":                     func(a *address) []string { return resource.One(a.Data.Domain) },
		"instance-id":                func(a *address) []string { return resource.One(a.Data.InstanceId) },
		"network-border-group":       func(a *address) []string { return resource.One(a.Data.NetworkBorderGroup) },
		"network-interface-id":       func(a *address) []string { return resource.One(a.Data.NetworkInterfaceId) },
		"network-interface-owner-id": func(a *address) []string { return resource.One(a.Data.NetworkInterfaceOwnerId) },
		"private-ip-address":         func(a *address) []string { return resource.One(a.Data.PrivateIpAddress) },
		"public-ip":                  func(a *address) []string { return resource.One(a.Data.PublicIp) },
	},
}

// completeAddresses works out which instances have the interfaces that addresses are mapped to.
func completeAddresses(ctx context.Context, tx *store.Tx, list []*address) error {
	for _, a := range list {
		a.Data.InstanceId = nil
		if a.Data.NetworkInterfaceId == nil {
			continue
		}
		n, err := resource.NetworkInterfaces.Get(ctx, tx, *a.Data.NetworkInterfaceId)
		if err != nil {
			return err
		}
		if n != nil {
			a.Data.SubnetId = n.Data.SubnetId
		}
		if n != nil && n.Data.Attachment != nil {
			a.Data.InstanceId = n.Data.Attachment.InstanceId
		}
	}
	return nil
}

// DescribeAddresses lists Elastic IP addresses.
func (o *Routing) DescribeAddresses(ctx context.Context, in *ec2.DescribeAddressesInput) (*ec2.DescribeAddressesOutput, error) {
	search, filters := searchAddresses, in.Filters
	if len(in.PublicIps) > 0 {
		filters = append(slices.Clone(filters), ec2.Filter{Name: new("public-ip"), Values: in.PublicIps})
		search.Allow = func(ctx context.Context, tx *store.Tx) error {
			err := iam.Allow(ctx, "ec2:DescribeAddresses", "*", iam.Key("ec2:region", api.CallFrom(ctx).Region))
			for i := 0; i < len(in.PublicIps) && err == nil; i++ {
				_, err = byPublic(ctx, tx, &in.PublicIps[i])
			}
			return err
		}
	}
	page, _, err := search.Run(ctx, o.db, resource.Query{DryRun: in.DryRun, IDs: in.AllocationIds, Filters: filters})
	out := &ec2.DescribeAddressesOutput{Addresses: []ec2.Address{}}
	for _, a := range page {
		d := a.Data.Address
		d.Tags = resource.TagList(a.Tags)
		out.Addresses = append(out.Addresses, d)
	}
	return out, err
}
