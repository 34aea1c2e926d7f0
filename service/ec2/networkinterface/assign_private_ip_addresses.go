package networkinterface

import (
	"context"
	"net/netip"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// AssignPrivateIpAddresses gives an interface more addresses of its subnet.
func (n *NetworkInterfaces) AssignPrivateIpAddresses(ctx context.Context, in *ec2.AssignPrivateIpAddressesInput) (*ec2.AssignPrivateIpAddressesOutput, error) {
	var out *ec2.AssignPrivateIpAddressesOutput
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		out = &ec2.AssignPrivateIpAddressesOutput{NetworkInterfaceId: &in.NetworkInterfaceId, AssignedPrivateIpAddresses: []ec2.AssignedPrivateIpAddress{}}
		r, err := findFor(ctx, tx, "ec2:AssignPrivateIpAddresses", in.NetworkInterfaceId)
		if err != nil {
			return err
		}
		if err := owned(r); err != nil {
			return err
		}
		switch {
		case in.Ipv4Prefixes != nil, in.Ipv4PrefixCount != nil:
			return resource.Unsupported("Prefix delegation")
		case len(in.PrivateIpAddresses) == 0 == (in.SecondaryPrivateIpAddressCount == nil):
			// source: guess
			return resource.Errorf("InvalidParameterCombination", "Specify either privateIpAddresses or secondaryPrivateIpAddressCount")
		}
		list, err := assign(ctx, tx, r, in)
		if err != nil {
			return err
		}
		for _, a := range list {
			give(&r.Data.NetworkInterface, a)
			out.AssignedPrivateIpAddresses = append(out.AssignedPrivateIpAddresses, ec2.AssignedPrivateIpAddress{PrivateIpAddress: new(a.String())})
		}
		return resource.NetworkInterfaces.Put(ctx, tx, r)
	})
	return out, err
}

// assign gives the addresses that an interface is to have, and takes them from others where the request allows it.
func assign(ctx context.Context, tx *store.Tx, r *record, in *ec2.AssignPrivateIpAddressesInput) (list []netip.Addr, err error) {
	used, err := taken(ctx, tx, r.VPC, *r.Data.SubnetId)
	if err != nil {
		return nil, err
	}
	sub, err := resource.Subnets.Find(ctx, tx, *r.Data.SubnetId)
	if err != nil {
		return nil, err
	}
	cidr := resource.Prefix(sub.Data.CidrBlock)
	count, err := more(in.SecondaryPrivateIpAddressCount)
	if err != nil {
		return nil, err
	}
	if err := checkCount(len(r.Data.PrivateIpAddresses) + len(in.PrivateIpAddresses) + count); err != nil {
		return nil, err
	}
	for _, text := range in.PrivateIpAddresses {
		a, err := parse(text)
		if err == nil {
			err = usable(cidr, a)
		}
		if err != nil {
			return nil, err
		}
		if other := used[a]; other != nil {
			if !api.Or(in.AllowReassignment, false) || other.ID == r.ID || resource.Addr(other.Data.PrivateIpAddress) == a {
				return nil, resource.Errorf("InvalidParameterValue", "[%s] assigned, but move is not allowed.", a) // source: aws
			}
			if err := owned(other); err != nil {
				return nil, err
			}
			if err := take(ctx, tx, other, []string{a.String()}); err != nil {
				return nil, err
			}
		}
		if slices.Contains(list, a) {
			return nil, invalid("Duplicate address %s", a) // source: guess
		}
		list = append(list, a)
	}
	return free(list, cidr, used, r.ID, count)
}

// take takes addresses from an interface, and frees their public ones.
func take(ctx context.Context, tx *store.Tx, n *record, addresses []string) error {
	if err := unbind(ctx, tx, n, addresses); err != nil {
		return err
	}
	n.Data.PrivateIpAddresses = slices.DeleteFunc(n.Data.PrivateIpAddresses, func(a ec2.NetworkInterfacePrivateIpAddress) bool {
		return slices.Contains(addresses, *a.PrivateIpAddress)
	})
	return resource.NetworkInterfaces.Put(ctx, tx, n)
}
