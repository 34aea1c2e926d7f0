package vpc

import (
	"context"
	"net/netip"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/networkacl"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// CreateSubnet makes a subnet of a VPC in an Availability Zone.
func (v *VPCs) CreateSubnet(ctx context.Context, in *ec2.CreateSubnetInput) (*ec2.CreateSubnetOutput, error) {
	ids := newSubnetIDs()
	out := new(ec2.CreateSubnetOutput)
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		r, err := resource.VPCs.FindFor(ctx, tx, "ec2:CreateSubnet", in.VpcId)
		if err != nil {
			return err
		}
		tags, err := resource.TagsFor(in.TagSpecifications, resource.Subnets.Name)
		if err != nil {
			return err
		}
		if err := resource.Subnets.AllowNew(ctx, "ec2:CreateSubnet", tags); err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		switch {
		case in.Ipv6CidrBlock != nil || api.Or(in.Ipv6Native, false) || in.Ipv6IpamPoolId != nil:
			return resource.NoIPv6()
		case in.Ipv4IpamPoolId != nil:
			return resource.Unsupported("IPAM")
		case in.OutpostArn != nil:
			return resource.Unsupported("AWS Outposts")
		case in.CidrBlock == nil:
			return api.Errorf(api.Missing, "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.") // source: aws
		}
		cidr, err := resource.Range(*in.CidrBlock, "cidrBlock")
		if err != nil {
			return err
		}
		zone, err := zoneOf(ctx, in.AvailabilityZone, in.AvailabilityZoneId)
		if err != nil {
			return err
		}
		s, err := createSubnet(ctx, tx, ids, r, cidr, zone, tags, false)
		if err != nil {
			return err
		}
		answers, err := answerSubnets(ctx, tx, []*subnet{s})
		if err != nil {
			return err
		}
		out.Subnet = &answers[0]
		return nil
	})
	return out, err
}

// subnetIDs are the ids of a subnet and its association with the default network ACL, which are made outside of closures.
type subnetIDs struct{ subnet, association string }

// newSubnetIDs makes the ids of a subnet.
func newSubnetIDs() subnetIDs {
	return subnetIDs{resource.Subnets.NewID(), networkacl.NewAssociationID()}
}

// createSubnet makes a subnet.
func createSubnet(ctx context.Context, tx *store.Tx, ids subnetIDs, vpc *record, cidr netip.Prefix, zone string, tags map[string]string, byDefault bool) (*subnet, error) {
	inside := func(p netip.Prefix) bool { return resource.Contains(p, cidr) }
	if cidr.Bits() < largest || cidr.Bits() > smallest || !slices.ContainsFunc(vpc.Data.Ranges(), inside) {
		return nil, resource.Errorf("InvalidSubnet.Range", "The CIDR '%s' is invalid.", cidr) // source: aws
	}
	others, err := resource.Subnets.Of(ctx, tx, vpc.ID)
	if err != nil {
		return nil, err
	}
	for _, other := range others {
		if resource.Prefix(other.Data.CidrBlock).Overlaps(cidr) {
			return nil, resource.Errorf("InvalidSubnet.Conflict", "The CIDR '%s' conflicts with another subnet", cidr) // source: aws
		}
	}
	s := resource.Subnets.New(ctx, ids.subnet, vpc.ID, resource.Subnet{})
	s.Tags = tags
	s.Data.Subnet = ec2.Subnet{
		SubnetId: &s.ID, VpcId: &vpc.ID, OwnerId: &s.Account, SubnetArn: new(resource.Subnets.ARN(s.Region, s.Account, s.ID)), State: new(ec2.SubnetStatePending),
		CidrBlock: new(cidr.String()), AvailabilityZone: &zone, AvailabilityZoneId: new(resource.ZoneID(zone)),
		DefaultForAz: &byDefault, MapPublicIpOnLaunch: &byDefault, MapCustomerOwnedIpOnLaunch: new(false), AssignIpv6AddressOnCreation: new(false),
		EnableDns64: new(false), Ipv6Native: new(false), PrivateDnsNameOptionsOnLaunch: &ec2.PrivateDnsNameOptionsOnLaunch{
			HostnameType: new(ec2.HostnameTypeIpName), EnableResourceNameDnsARecord: new(false), EnableResourceNameDnsAAAARecord: new(false),
		},
	}
	if err := resource.Subnets.Create(ctx, tx, s); err != nil {
		return nil, err
	}
	return s, networkacl.Enter(ctx, tx, vpc.ID, s.ID, ids.association)
}

// zoneOf finds an Availability Zone by name or id; without either it is the first one.
func zoneOf(ctx context.Context, name, id *string) (string, error) {
	zones := resource.Zones(api.CallFrom(ctx).Region)
	switch {
	case name != nil && id != nil:
		return "", resource.Errorf("InvalidParameterCombination", "Only one of availabilityZone and availabilityZoneId may be given") // source: guess
	case name != nil:
		if slices.Contains(zones, *name) {
			return *name, nil
		}
		return "", noZone("availabilityZone", *name, zones)
	case id != nil:
		i := slices.IndexFunc(zones, func(zone string) bool { return resource.ZoneID(zone) == *id })
		if i < 0 {
			return "", noZone("availabilityZoneId", *id, zones)
		}
		return zones[i], nil
	}
	return zones[0], nil
}
