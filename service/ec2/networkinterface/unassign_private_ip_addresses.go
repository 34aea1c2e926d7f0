package networkinterface

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// UnassignPrivateIpAddresses takes addresses from an interface, but not the primary one.
func (n *NetworkInterfaces) UnassignPrivateIpAddresses(ctx context.Context, in *ec2.UnassignPrivateIpAddressesInput) (*ec2.UnassignPrivateIpAddressesOutput, error) {
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		r, err := findFor(ctx, tx, "ec2:UnassignPrivateIpAddresses", in.NetworkInterfaceId)
		if err != nil {
			return err
		}
		if err := owned(r); err != nil {
			return err
		}
		switch {
		case in.Ipv4Prefixes != nil:
			return resource.Unsupported("Prefix delegation")
		case len(in.PrivateIpAddresses) == 0:
			return resource.Errorf("MissingParameter", "The request must contain the parameter privateIpAddresses") // source: guess
		}
		for _, text := range in.PrivateIpAddresses {
			at := slices.IndexFunc(r.Data.PrivateIpAddresses, func(a ec2.NetworkInterfacePrivateIpAddress) bool { return *a.PrivateIpAddress == text })
			switch {
			case at < 0:
				return invalid("Some of the specified addresses are not assigned to interface %s", r.ID) // source: aws
			case *r.Data.PrivateIpAddresses[at].Primary:
				return invalid("The primary private IP address %s of interface %s cannot be unassigned", text, r.ID) // source: guess
			}
		}
		return take(ctx, tx, r, in.PrivateIpAddresses)
	})
	return &ec2.UnassignPrivateIpAddressesOutput{}, err
}
