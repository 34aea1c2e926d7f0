package vpn

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DisableVgwRoutePropagation lets a route table no longer take the routes of a virtual private gateway.
func (v *VPNs) DisableVgwRoutePropagation(ctx context.Context, in *ec2.DisableVgwRoutePropagationInput) (*ec2.DisableVgwRoutePropagationOutput, error) {
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		t, g, err := tableAndGateway(ctx, tx, "ec2:DisableVgwRoutePropagation", in.RouteTableId, in.GatewayId, in.DryRun)
		if err != nil {
			return err
		}
		if !propagating(t, g.ID) {
			// source: aws
			return resource.Errorf("InvalidParameterValue", "Route propagation of %s is not enabled in route table %s", g.ID, t.ID)
		}
		return stop(ctx, tx, t, g.ID)
	})
	return new(ec2.DisableVgwRoutePropagationOutput), err
}
