package vpn

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DetachVpnGateway takes a virtual private gateway from its VPC. No route table takes its routes any longer.
func (v *VPNs) DetachVpnGateway(ctx context.Context, in *ec2.DetachVpnGatewayInput) (*ec2.DetachVpnGatewayOutput, error) {
	const action = "ec2:DetachVpnGateway"
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		g, err := resource.VpnGateways.FindFor(ctx, tx, action, in.VpnGatewayId)
		if err != nil {
			return err
		}
		vpc, err := resource.VPCs.FindFor(ctx, tx, action, in.VpcId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if g.VPC != vpc.ID {
			// source: userguide, "Error codes for the Amazon EC2 API"
			return resource.Errorf("InvalidVpnGatewayAttachment.NotFound", "The attachment with vpn gateway ID '%s' and vpc ID '%s' does not exist", g.ID, vpc.ID)
		}
		tables, err := resource.RouteTables.Of(ctx, tx, vpc.ID)
		if err != nil {
			return err
		}
		for _, t := range tables {
			if !propagating(t, g.ID) {
				continue
			}
			if err := stop(ctx, tx, t, g.ID); err != nil {
				return err
			}
		}
		tx.Notify(resource.Topic, g.VPC)
		g.VPC = ""
		return resource.VpnGateways.Put(ctx, tx, g)
	})
	return new(ec2.DetachVpnGatewayOutput), err
}
