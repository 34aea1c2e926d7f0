package vpc

import (
	"context"
	"net/netip"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// mostRanges is how many ranges a VPC may have. source: userguide, "Amazon VPC quotas"
const mostRanges = 5

// AssociateVpcCidrBlock adds a range to a VPC.
func (v *VPCs) AssociateVpcCidrBlock(ctx context.Context, in *ec2.AssociateVpcCidrBlockInput) (*ec2.AssociateVpcCidrBlockOutput, error) {
	id := newAssociationID()
	out := new(ec2.AssociateVpcCidrBlockOutput)
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		r, err := resource.VPCs.FindFor(ctx, tx, "ec2:AssociateVpcCidrBlock", in.VpcId)
		if err != nil {
			return err
		}
		switch {
		case api.Or(in.AmazonProvidedIpv6CidrBlock, false) || in.Ipv6CidrBlock != nil || in.Ipv6Pool != nil || in.Ipv6IpamPoolId != nil:
			return resource.NoIPv6()
		case in.Ipv4IpamPoolId != nil:
			return resource.Unsupported("IPAM")
		case in.CidrBlock == nil:
			return api.Errorf(api.Missing, "Either 'cidrBlock' or 'ipv4IpamPoolId' should be provided.") // source: aws
		}
		cidr, err := rangeOf(*in.CidrBlock)
		if err != nil {
			return err
		}
		has := r.Data.Ranges()
		switch {
		case len(has) >= mostRanges:
			return resource.Errorf("CidrLimitExceeded", "This network '%s' has met its maximum number of allowed CIDRs: %d", r.ID, mostRanges) // source: aws
		case slices.ContainsFunc(has, cidr.Overlaps):
			return badRange("The CIDR '%s' overlaps with another CIDR of the VPC.", cidr) // source: guess
		case restricted(has, cidr):
			// source: aws
			return badRange("The CIDR '%s' is restricted. Use a CIDR from the same private address range as the current VPC CIDR, or use a publicly-routable CIDR. "+
				"For additional restrictions, see https://docs.aws.amazon.com/vpc/latest/userguide/VPC_Subnets.html", cidr)
		}
		if err := unrouted(ctx, tx, r.ID, cidr); err != nil {
			return err
		}
		if err := unpeered(ctx, tx, r.ID, cidr); err != nil {
			return err
		}
		a := association(id, cidr)
		r.Data.CidrBlockAssociationSet = append(r.Data.CidrBlockAssociationSet, a)
		out.CidrBlockAssociation, out.VpcId = &a, &r.ID
		return resource.VPCs.Put(ctx, tx, r)
	})
	return out, err
}

// private are the ranges of RFC 1918, of which a VPC has one only when it was made with it.
var private = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16")}

// The ranges within private ones that may not be added. source: userguide, "IPv4 CIDR block association restrictions"
var (
	low    = netip.MustParsePrefix("10.0.0.0/15")
	lowest = netip.MustParsePrefix("10.0.0.0/16")
)

// restricted says whether AWS refuses to add a range to a VPC because of those it has. source: userguide, "IPv4 CIDR block
// association restrictions"
func restricted(has []netip.Prefix, cidr netip.Prefix) bool {
	for _, p := range private {
		if p.Overlaps(cidr) && !p.Overlaps(has[0]) {
			return true
		}
	}
	return lowest.Overlaps(cidr) && slices.ContainsFunc(has, low.Overlaps) || defaultRange.Overlaps(cidr)
}

// unrouted refuses a range in which a route of the VPC leads somewhere. source: userguide, "Manage IPv4 CIDR blocks for a VPC"
func unrouted(ctx context.Context, tx *store.Tx, vpcID string, cidr netip.Prefix) error {
	tables, err := resource.RouteTables.Of(ctx, tx, vpcID)
	if err != nil {
		return err
	}
	for _, t := range tables {
		for _, route := range t.Data.Routes {
			if to := resource.Prefix(route.DestinationCidrBlock); to.IsValid() && resource.Contains(cidr, to) {
				return badRange("The CIDR '%s' conflicts with the route to %s in route table %s.", cidr, to, t.ID) // source: guess
			}
		}
	}
	return nil
}

// unpeered refuses a range that a peered VPC has, or any for the requester of a peering connection that is not accepted yet.
// source: userguide, "Manage IPv4 CIDR blocks for a VPC"
func unpeered(ctx context.Context, tx *store.Tx, vpcID string, cidr netip.Prefix) error {
	list, err := peerings(ctx, tx, vpcID)
	if err != nil {
		return err
	}
	for _, p := range list {
		if *p.Data.Status.Code != ec2.VpcPeeringConnectionStateReasonCodeActive {
			if sideOf(p, vpcID) == p.Data.RequesterVpcInfo {
				return resource.Errorf("OperationNotPermitted", "The VPC peering connection %s is not accepted yet.", p.ID) // source: guess
			}
			continue
		}
		for _, side := range []*ec2.VpcPeeringConnectionVpcInfo{p.Data.RequesterVpcInfo, p.Data.AccepterVpcInfo} {
			other, err := resource.VPCs.Get(ctx, tx, api.Or(side.VpcId, ""))
			if err != nil {
				return err
			}
			if other != nil && other.ID != vpcID && slices.ContainsFunc(other.Data.Ranges(), cidr.Overlaps) {
				return badRange("The CIDR '%s' overlaps with a CIDR of the peer VPC %s.", cidr, other.ID) // source: guess
			}
		}
	}
	return nil
}
