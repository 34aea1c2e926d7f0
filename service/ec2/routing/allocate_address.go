package routing

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// address is a public address as it is kept; its record's VPC is the one in which it is mapped.
type address = resource.Record[resource.Address]

// elastic limits the Elastic IP addresses of an account in a Region. source: userguide, "Elastic IP address quota"
var elastic = resource.Quota{Most: 5, Code: "AddressLimitExceeded", Nouns: "addresses"}

// amazonPool is the pool of addresses that are not the caller's own.
const amazonPool = "amazon"

// AllocateAddress gives the caller an Elastic IP address.
func (o *Routing) AllocateAddress(ctx context.Context, in *ec2.AllocateAddressInput) (*ec2.AllocateAddressOutput, error) {
	tags, err := resource.TagsFor(in.TagSpecifications, resource.Addresses.Name)
	if err != nil {
		return nil, err
	}
	if err := resource.Addresses.AllowNew(ctx, "ec2:AllocateAddress", tags); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	region := api.CallFrom(ctx).Region
	switch {
	case api.Or(in.Domain, ec2.DomainTypeVpc) != ec2.DomainTypeVpc:
		return nil, resource.Errorf("InvalidParameterValue", "Value (%s) for parameter domain is invalid. Must be vpc", *in.Domain) // source: guess
	case in.PublicIpv4Pool != nil && *in.PublicIpv4Pool != amazonPool || in.CustomerOwnedIpv4Pool != nil || in.IpamPoolId != nil:
		return nil, resource.Unsupported("An address pool of one's own")
	case api.Or(in.NetworkBorderGroup, region) != region:
		return nil, resource.Errorf("InvalidParameterValue", "Value (%s) for parameter networkBorderGroup is invalid.", *in.NetworkBorderGroup) // source: guess
	}
	ids := NewPublicIDs()
	out := &ec2.AllocateAddressOutput{}
	err = o.db.Update(ctx, func(tx *store.Tx) error {
		own, err := resource.Addresses.List(ctx, tx)
		if err != nil {
			return err
		}
		if err := elastic.Check(len(visible(own))); err != nil {
			return err
		}
		var public netip.Addr
		if in.Address != nil {
			public, err = wanted(ctx, tx, *in.Address)
		} else {
			public, err = free(ctx, tx, ids.seed)
		}
		if err != nil {
			return err
		}
		a := resource.Addresses.New(ctx, ids.allocation, "", newAddress(ids.allocation, region, public))
		a.Tags = tags
		out.AllocationId, out.PublicIp, out.Domain = a.Data.AllocationId, a.Data.PublicIp, a.Data.Domain
		out.PublicIpv4Pool, out.NetworkBorderGroup = a.Data.PublicIpv4Pool, a.Data.NetworkBorderGroup
		return resource.Addresses.Create(ctx, tx, a)
	})
	return out, err
}

// PublicIDs are the ids of a public address and its association, and where the search for it begins. They are made outside of
// closures.
type PublicIDs struct {
	allocation, association string
	seed                    uint32
}

// NewPublicIDs makes the ids of a public address.
func NewPublicIDs() PublicIDs {
	return PublicIDs{resource.Addresses.NewID(), newAddressAssociationID(), rand.Uint32()}
}

// newAddressAssociationID makes the id of a public address's association.
func newAddressAssociationID() string { return resource.NewID("eipassoc") }

// newAddress is a public address that is mapped to nothing.
func newAddress(id, region string, public netip.Addr) (a resource.Address) {
	a.AllocationId, a.PublicIp, a.Domain = &id, new(public.String()), new(ec2.DomainTypeVpc)
	a.PublicIpv4Pool, a.NetworkBorderGroup = new(amazonPool), &region
	return a
}

// visible are the Elastic IP addresses among public ones.
func visible(list []*address) (elastic []*address) {
	for _, a := range list {
		if !a.Data.Automatic {
			elastic = append(elastic, a)
		}
	}
	return elastic
}

// taken are all public addresses that somebody has.
func taken(ctx context.Context, tx *store.Tx) (map[netip.Addr]*address, error) {
	all, err := resource.Addresses.All(ctx, tx)
	used := make(map[netip.Addr]*address, len(all))
	for _, a := range all {
		used[resource.Addr(a.Data.PublicIp)] = a
	}
	return used, err
}

// free gives a public address that nobody has, the first one from a seed on.
func free(ctx context.Context, tx *store.Tx, seed uint32) (netip.Addr, error) {
	used, err := taken(ctx, tx)
	if err != nil {
		return netip.Addr{}, err
	}
	base := binary.BigEndian.Uint32(resource.ElasticRange.Addr().AsSlice())
	usable := uint32(1)<<(32-resource.ElasticRange.Bits()) - 2 // not the first, nor the last
	for i := range usable {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], base+1+(seed%usable+i)%usable)
		if a := netip.AddrFrom4(b); used[a] == nil {
			return a, nil
		}
	}
	return netip.Addr{}, resource.Errorf("InsufficientAddressCapacity", "Not enough addresses available") // source: userguide
}

// wanted gives the public address that a request names, if nobody has it.
func wanted(ctx context.Context, tx *store.Tx, text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return a, badAddress(text)
	}
	used, err := taken(ctx, tx)
	switch {
	case err != nil:
		return a, err
	case !resource.ElasticRange.Contains(a):
		return a, noAddress(text)
	case used[a] != nil && used[a].Account == api.CallFrom(ctx).Account:
		return a, resource.Errorf("InvalidIPAddress.InUse", "Address %s is in use.", a) // source: guess
	case used[a] != nil:
		return a, foreign(text)
	}
	return a, nil
}

// badAddress is the error for what is no address. source: userguide
func badAddress(text string) error {
	return resource.Errorf("InvalidAddress.Malformed", "Invalid IPv4 address: %s", text)
}

// noAddress is the error for a public address that is nobody's. source: aws
func noAddress(text string) error {
	return resource.Errorf("InvalidAddress.NotFound", "Address '%s' not found.", text)
}

// foreign is the error for a public address of another account. source: aws
func foreign(text string) error {
	return resource.Errorf("AuthFailure", "The address '%s' does not belong to you.", text)
}

// AssignPublic gives an interface a public address that it loses with its life. An interface that has one already keeps it.
func AssignPublic(ctx context.Context, tx *store.Tx, n *resource.Record[resource.NetworkInterface], ids PublicIDs) error {
	mapped, err := resource.Addresses.Of(ctx, tx, n.VPC)
	if err != nil {
		return err
	}
	if at(mapped, n.ID, api.Or(n.Data.PrivateIpAddress, "")) != nil {
		return nil
	}
	public, err := free(ctx, tx, ids.seed)
	if err != nil {
		return err
	}
	a := &address{ID: ids.allocation, Account: n.Account, Region: n.Region, Data: newAddress(ids.allocation, n.Region, public)}
	a.Data.Automatic = true
	bind(a, n, *n.Data.PrivateIpAddress, ids.association)
	return resource.Addresses.Put(ctx, tx, a)
}

// ReleasePublic takes from an interface the public address that AssignPublic gave it.
func ReleasePublic(ctx context.Context, tx *store.Tx, n *resource.Record[resource.NetworkInterface]) error {
	mapped, err := resource.Addresses.Of(ctx, tx, n.VPC)
	if err != nil {
		return err
	}
	if a := at(mapped, n.ID, api.Or(n.Data.PrivateIpAddress, "")); a != nil && a.Data.Automatic {
		return unbind(ctx, tx, a)
	}
	return nil
}

// at gives the public address of one of an interface's private ones, or nil.
func at(mapped []*address, interfaceID, private string) *address {
	for _, a := range mapped {
		if api.Or(a.Data.NetworkInterfaceId, "") == interfaceID && api.Or(a.Data.PrivateIpAddress, "") == private {
			return a
		}
	}
	return nil
}

// bind maps a public address to one of an interface's private ones.
func bind(a *address, n *resource.Record[resource.NetworkInterface], private, association string) {
	a.VPC = n.VPC
	a.Data.AssociationId, a.Data.NetworkInterfaceId, a.Data.NetworkInterfaceOwnerId = &association, &n.ID, &n.Account
	a.Data.PrivateIpAddress = &private
}

// unbind maps a public address to nothing; one that came with an interface is gone.
func unbind(ctx context.Context, tx *store.Tx, a *address) error {
	if a.Data.Automatic {
		return resource.Addresses.Delete(ctx, tx, a)
	}
	tx.Notify(resource.Topic, a.VPC)
	a.VPC = ""
	a.Data.AssociationId, a.Data.NetworkInterfaceId, a.Data.NetworkInterfaceOwnerId, a.Data.PrivateIpAddress = nil, nil, nil, nil
	return resource.Addresses.Put(ctx, tx, a)
}
