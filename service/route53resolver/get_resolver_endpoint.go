package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/store"
)

// GetResolverEndpoint gives an endpoint.
func (r *Resolver) GetResolverEndpoint(ctx context.Context, in *route53resolver.GetResolverEndpointInput) (*route53resolver.GetResolverEndpointOutput, error) {
	out := new(route53resolver.GetResolverEndpointOutput)
	err := r.db.View(ctx, func(tx *store.Tx) error {
		e, err := endpointFor(ctx, tx, "route53resolver:GetResolverEndpoint", in.ResolverEndpointId)
		if err == nil {
			out.ResolverEndpoint = &e.Data.ResolverEndpoint
		}
		return err
	})
	return out, err
}
