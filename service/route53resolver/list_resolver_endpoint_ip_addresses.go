package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// ListResolverEndpointIpAddresses lists the addresses of an endpoint.
func (r *Resolver) ListResolverEndpointIpAddresses(ctx context.Context, in *route53resolver.ListResolverEndpointIpAddressesInput) (*route53resolver.ListResolverEndpointIpAddressesOutput, error) {
	out := &route53resolver.ListResolverEndpointIpAddressesOutput{MaxResults: new(api.Or(in.MaxResults, mostPage))}
	err := r.db.View(ctx, func(tx *store.Tx) error {
		e, err := endpointFor(ctx, tx, "route53resolver:ListResolverEndpointIpAddresses", in.ResolverEndpointId)
		if err != nil {
			return err
		}
		settle(e)
		out.IpAddresses, out.NextToken, err = resource.Page(e.Data.Addresses, in.MaxResults, in.NextToken, 1, mostPage)
		return err
	})
	return out, err
}
