package route53resolver

import (
	"context"

	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// UpdateResolverEndpoint gives an endpoint another name.
func (r *Resolver) UpdateResolverEndpoint(ctx context.Context, in *route53resolver.UpdateResolverEndpointInput) (*route53resolver.UpdateResolverEndpointOutput, error) {
	out := new(route53resolver.UpdateResolverEndpointOutput)
	err := r.db.Update(ctx, func(tx *store.Tx) error {
		e, err := changeable(ctx, tx, "route53resolver:UpdateResolverEndpoint", in.ResolverEndpointId)
		if err != nil {
			return err
		}
		if len(in.UpdateIpAddresses) > 0 {
			return unsupported("IPv6")
		}
		err = checkOptions(in.ResolverEndpointType, in.Protocols, in.RniEnhancedMetricsEnabled, in.TargetNameServerMetricsEnabled, in.Dns64Enabled, in.Ipv6InternetAccessEnabled)
		if err != nil {
			return err
		}
		if in.Name != nil {
			e.Data.Name = in.Name
		}
		e.Data.ModificationTime = now(ctx)
		out.ResolverEndpoint = &e.Data.ResolverEndpoint
		return resource.ResolverEndpoints.Put(ctx, tx, e)
	})
	return out, err
}
