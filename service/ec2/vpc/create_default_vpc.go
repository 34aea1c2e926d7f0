package vpc

import (
	"context"
	"net/netip"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/routing"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// The ranges of a default VPC and its subnets. source: userguide, "Default VPC components"
var defaultRange = netip.MustParsePrefix("172.31.0.0/16")

// defaultSize is the length of the prefixes of default subnets.
const defaultSize = 20

// CreateDefaultVpc makes the VPC in which instances are started that name none: with a public subnet in each zone, an internet
// gateway and the route to it.
func (v *VPCs) CreateDefaultVpc(ctx context.Context, in *ec2.CreateDefaultVpcInput) (*ec2.CreateDefaultVpcOutput, error) {
	call := api.CallFrom(ctx)
	if err := iam.Allow(ctx, "ec2:CreateDefaultVpc", "*", iam.Key("ec2:region", call.Region)); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	ids, gateway := newIDs(), resource.InternetGateways.NewID()
	zones := resource.Zones(call.Region)
	subnets := make([]subnetIDs, len(zones))
	for i := range subnets {
		subnets[i] = newSubnetIDs()
	}
	out := new(ec2.CreateDefaultVpcOutput)
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		if has, err := defaultVPC(ctx, tx); err != nil {
			return err
		} else if has != nil {
			return resource.Errorf("DefaultVpcAlreadyExists", "A Default VPC already exists for this account in this region.") // source: aws
		}
		r, err := create(ctx, tx, ids, defaultRange, nil, true)
		if err != nil {
			return err
		}
		if err := routing.OpenMain(ctx, tx, r.ID, gateway); err != nil {
			return err
		}
		for i, zone := range zones {
			if err := createDefaultSubnet(ctx, tx, subnets[i], r, zone); err != nil {
				return err
			}
		}
		out.Vpc = new(answer(r))
		return nil
	})
	return out, err
}

// createDefaultSubnet makes the default subnet of a zone in the first range that is free.
func createDefaultSubnet(ctx context.Context, tx *store.Tx, ids subnetIDs, vpc *record, zone string) error {
	cidr, err := freeRange(ctx, tx, vpc)
	if err != nil {
		return err
	}
	_, err = createSubnet(ctx, tx, ids, vpc, cidr, zone, nil, true)
	return err
}

// freeRange gives the first range of a default subnet's size that overlaps with no subnet.
func freeRange(ctx context.Context, tx *store.Tx, vpc *record) (netip.Prefix, error) {
	subnets, err := resource.Subnets.Of(ctx, tx, vpc.ID)
	if err != nil {
		return netip.Prefix{}, err
	}
	for third := 0; third < 256; third += 1 << (24 - defaultSize) {
		a := defaultRange.Addr().As4()
		a[2] = byte(third)
		cidr, free := netip.PrefixFrom(netip.AddrFrom4(a), defaultSize), true
		for _, s := range subnets {
			free = free && !resource.Prefix(s.Data.CidrBlock).Overlaps(cidr)
		}
		if free {
			return cidr, nil
		}
	}
	return netip.Prefix{}, resource.Errorf("InvalidSubnet.Conflict", "The default VPC %s has no room for another default subnet", vpc.ID) // source: guess
}
