package route53resolver

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DisassociateResolverEndpointIpAddress takes an address from an endpoint, which keeps two at least.
func (r *Resolver) DisassociateResolverEndpointIpAddress(ctx context.Context, in *route53resolver.DisassociateResolverEndpointIpAddressInput) (*route53resolver.DisassociateResolverEndpointIpAddressOutput, error) {
	out := new(route53resolver.DisassociateResolverEndpointIpAddressOutput)
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		e, err := changeable(ctx, tx, "route53resolver:DisassociateResolverEndpointIpAddress", in.ResolverEndpointId)
		if err != nil {
			return err
		}
		asked := in.IpAddress
		if asked.IpId == nil && asked.Ip == nil {
			return badParameter("IpAddress", "The IpId, or the Ip, must be specified") // source: guess
		}
		i := slices.IndexFunc(e.Data.Addresses, func(a route53resolver.IpAddressResponse) bool {
			return api.Or(asked.IpId, *a.IpId) == *a.IpId && api.Or(asked.Ip, *a.Ip) == *a.Ip && api.Or(asked.SubnetId, *a.SubnetId) == *a.SubnetId
		})
		switch {
		case i < 0:
			return missing(kindEndpoint, "The IP address does not exist in Resolver endpoint '%s'", e.ID) // source: guess
		case len(e.Data.Addresses) <= leastAddresses:
			return invalid("Resolver endpoint needs to have at least %d IP addresses", leastAddresses) // source: aws
		}
		settle(e)
		if err := remove(ctx, tx, e, *e.Data.Addresses[i].Ip); err != nil {
			return err
		}
		e.Data.Addresses = slices.Delete(e.Data.Addresses, i, i+1)
		e.Data.IpAddressCount = new(int64(len(e.Data.Addresses)))
		touch(ctx, e)
		out.ResolverEndpoint = &e.Data.ResolverEndpoint
		return resource.ResolverEndpoints.Put(ctx, tx, e)
	})
	return out, err
}

// remove removes an endpoint's interface with an address, or all of its interfaces for "".
func remove(ctx context.Context, tx *store.Tx, e *endpoint, ip string) error {
	list, err := networkinterface.OfOwner(ctx, tx, e.VPC, e.ID)
	if err != nil {
		return err
	}
	for _, n := range list {
		if ip != "" && api.Or(n.Data.PrivateIpAddress, "") != ip {
			continue
		}
		if err := networkinterface.Remove(ctx, tx, n.ID); err != nil {
			return err
		}
	}
	return nil
}
