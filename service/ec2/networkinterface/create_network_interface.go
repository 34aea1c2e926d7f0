package networkinterface

import (
	"context"
	"net/netip"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// CreateNetworkInterface makes an interface in a subnet, which nobody holds yet.
func (n *NetworkInterfaces) CreateNetworkInterface(ctx context.Context, in *ec2.CreateNetworkInterfaceInput) (*ec2.CreateNetworkInterfaceOutput, error) {
	const action, operation = "ec2:CreateNetworkInterface", "CreateNetworkInterface"
	tags, err := resource.TagsFor(in.TagSpecifications, resource.NetworkInterfaces.Name)
	if err != nil {
		return nil, err
	}
	if err := resource.NetworkInterfaces.AllowNew(ctx, action, tags); err != nil {
		return nil, err
	}
	id, out := resource.NetworkInterfaces.NewID(), &ec2.CreateNetworkInterfaceOutput{ClientToken: in.ClientToken}
	err = n.db.Update(ctx, func(tx *store.Tx) error {
		sub, err := SubnetFor(ctx, tx, action, in.SubnetId)
		if err != nil {
			return err
		}
		for _, g := range in.Groups {
			if _, err := resource.SecurityGroups.FindFor(ctx, tx, action, g); err != nil {
				return err
			}
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		spec := &Spec{ID: id, Subnet: sub, Groups: in.Groups, Kind: dataplane.Guest, Description: api.Or(in.Description, ""), Tags: tags}
		if err := spec.read(in); err != nil {
			return err
		}
		made, err := resource.Once(ctx, tx, operation, in.ClientToken, in)
		if err != nil {
			return err
		}
		if made == "" {
			made = id
			if _, err := Make(ctx, tx, spec); err != nil {
				return err
			}
			if err := resource.Made(ctx, tx, operation, in.ClientToken, in, id); err != nil {
				return err
			}
		}
		r, err := resource.NetworkInterfaces.Find(ctx, tx, made)
		if err == nil {
			err = Complete(ctx, tx, []*record{r})
		}
		if err != nil {
			return err
		}
		out.NetworkInterface = &r.Data.NetworkInterface
		return nil
	})
	return out, err
}

// SubnetFor finds a subnet to which the caller may do an action.
func SubnetFor(ctx context.Context, tx *store.Tx, action, id string) (*resource.Record[resource.Subnet], error) {
	sub, err := resource.Subnets.Find(ctx, tx, id)
	if err != nil {
		return resource.Subnets.FindFor(ctx, tx, action, id)
	}
	return sub, resource.Subnets.Allow(ctx, action, sub, iam.Key("ec2:availabilityzone", api.Or(sub.Data.AvailabilityZone, "")))
}

// mostText is the most of a description.
const mostText = 255

// read reads the rest of a request.
func (s *Spec) read(in *ec2.CreateNetworkInterfaceInput) (err error) {
	switch {
	case in.Ipv6Addresses != nil, in.Ipv6AddressCount != nil, in.Ipv6Prefixes != nil, in.Ipv6PrefixCount != nil, api.Or(in.EnablePrimaryIpv6, false):
		return resource.NoIPv6()
	case in.Ipv4Prefixes != nil, in.Ipv4PrefixCount != nil:
		return resource.Unsupported("Prefix delegation")
	case in.InterfaceType != nil && *in.InterfaceType != plain:
		return resource.Unsupported("The interface type " + *in.InterfaceType)
	case len(s.Description) > mostText:
		return invalid("Invalid value for parameter description: the most is %d characters", mostText) // source: guess
	case in.SecondaryPrivateIpAddressCount != nil && len(in.PrivateIpAddresses) > 0:
		// source: model, "CreateNetworkInterfaceRequest"
		return resource.Errorf("InvalidParameterCombination", "The parameter privateIpAddresses cannot be used with the parameter secondaryPrivateIpAddressCount")
	}
	if s.Addresses, err = Requested(in.PrivateIpAddress, in.PrivateIpAddresses); err != nil {
		return err
	}
	s.Secondary, err = more(in.SecondaryPrivateIpAddressCount)
	return err
}

// more reads how many more addresses a request wants.
func more(n *int64) (int, error) {
	count := api.Or(n, 0)
	if count < 0 || n != nil && count == 0 {
		return 0, invalid("Invalid value '%d' for secondaryPrivateIpAddressCount", count) // source: guess
	}
	return int(min(count, mostAddresses+1)), nil
}

// Requested reads the addresses that a request wants, and puts the primary one first.
func Requested(primary *string, list []ec2.PrivateIpAddressSpecification) ([]netip.Addr, error) {
	var addresses []netip.Addr
	if primary != nil {
		a, err := parse(*primary)
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, a)
	}
	for _, s := range list {
		a, err := parse(api.Or(s.PrivateIpAddress, ""))
		switch {
		case err != nil:
			return nil, err
		case !api.Or(s.Primary, false):
			addresses = append(addresses, a)
		case primary == nil:
			addresses, primary = append([]netip.Addr{a}, addresses...), s.PrivateIpAddress
		case *primary != a.String():
			return nil, invalid("Only one primary private IP address can be specified.") // source: aws
		}
	}
	if len(addresses) > 0 && primary == nil {
		return nil, invalid("A primary private IP address must be specified.") // source: guess
	}
	return addresses, nil
}

// parse reads an address of a request.
func parse(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return a, invalid("Invalid IPv4 address: %s", text) // source: guess
	}
	return a, nil
}
