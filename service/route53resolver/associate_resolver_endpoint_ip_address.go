package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// AssociateResolverEndpointIpAddress gives an endpoint one more address.
func (r *Resolver) AssociateResolverEndpointIpAddress(ctx context.Context, in *route53resolver.AssociateResolverEndpointIpAddressInput) (*route53resolver.AssociateResolverEndpointIpAddressOutput, error) {
	ids, out := newAddressIDs(1), new(route53resolver.AssociateResolverEndpointIpAddressOutput)
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		e, err := changeable(ctx, tx, "route53resolver:AssociateResolverEndpointIpAddress", in.ResolverEndpointId)
		if err != nil {
			return err
		}
		switch a := in.IpAddress; {
		case a.IpId != nil:
			return badParameter("IpId", "IpId cannot be specified for an address that is to be added") // source: guess
		case a.SubnetId == nil:
			return badParameter("SubnetId", "The subnet ID must be specified") // source: guess
		case len(e.Data.Addresses) >= mostAddresses:
			return exceeded(ctx, "max-ip-addresses-per-endpoint", kindEndpoint)
		}
		settle(e)
		if err := addAddress(ctx, tx, e, ids[0], *in.IpAddress.SubnetId, in.IpAddress.Ip, in.IpAddress.Ipv6); err != nil {
			return err
		}
		touch(ctx, e)
		out.ResolverEndpoint = &e.Data.ResolverEndpoint
		return resource.ResolverEndpoints.Put(ctx, tx, e)
	})
	return out, err
}
