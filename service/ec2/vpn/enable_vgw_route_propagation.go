package vpn

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// EnableVgwRoutePropagation lets a route table take the routes of the connections of a virtual private gateway.
func (v *VPNs) EnableVgwRoutePropagation(ctx context.Context, in *ec2.EnableVgwRoutePropagationInput) (*ec2.EnableVgwRoutePropagationOutput, error) {
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		t, g, err := tableAndGateway(ctx, tx, "ec2:EnableVgwRoutePropagation", in.RouteTableId, in.GatewayId, in.DryRun)
		if err != nil {
			return err
		}
		if g.VPC != t.VPC {
			return resource.Errorf("Gateway.NotAttached", "resource %s is not attached to network %s", g.ID, t.VPC) // source: aws
		}
		if propagating(t, g.ID) {
			return nil
		}
		t.Data.PropagatingVgws = append(t.Data.PropagatingVgws, ec2.PropagatingVgw{GatewayId: &g.ID})
		return resource.RouteTables.Put(ctx, tx, t)
	})
	return new(ec2.EnableVgwRoutePropagationOutput), err
}

// tableAndGateway finds the two that an action is about.
func tableAndGateway(ctx context.Context, tx *store.Tx, action, tableID, gatewayID string, dry *bool) (*table, *gateway, error) {
	t, err := resource.RouteTables.FindFor(ctx, tx, action, tableID)
	if err != nil {
		return nil, nil, err
	}
	g, err := resource.VpnGateways.FindFor(ctx, tx, action, gatewayID)
	if err != nil {
		return nil, nil, err
	}
	return t, g, resource.DryRun(dry)
}
