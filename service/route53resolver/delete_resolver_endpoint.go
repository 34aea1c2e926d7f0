package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteResolverEndpoint removes an endpoint that no rule needs. It is gone when no host carries it any longer.
func (r *Resolver) DeleteResolverEndpoint(ctx context.Context, in *route53resolver.DeleteResolverEndpointInput) (*route53resolver.DeleteResolverEndpointOutput, error) {
	out := new(route53resolver.DeleteResolverEndpointOutput)
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		e, err := endpointFor(ctx, tx, "route53resolver:DeleteResolverEndpoint", in.ResolverEndpointId)
		if err != nil {
			return err
		}
		rules, err := resource.ResolverRules.List(ctx, tx)
		if err != nil {
			return err
		}
		for _, l := range rules {
			if api.Or(l.Data.ResolverEndpointId, "") == e.ID {
				return invalid("Resolver endpoint '%s' is in use by Resolver rule '%s'", e.ID, l.ID) // source: guess
			}
		}
		if err := remove(ctx, tx, e, ""); err != nil {
			return err
		}
		e.Data.Status, e.Data.StatusMessage = new(route53resolver.ResolverEndpointStatusDELETING), new("Deleting the Resolver Endpoint")
		e.Data.ModificationTime = now(ctx)
		out.ResolverEndpoint = &e.Data.ResolverEndpoint
		return resource.ResolverEndpoints.Put(ctx, tx, e)
	})
	return out, err
}
