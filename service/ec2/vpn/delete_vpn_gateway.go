package vpn

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteVpnGateway removes a virtual private gateway that is attached to no VPC and has no connections.
func (v *VPNs) DeleteVpnGateway(ctx context.Context, in *ec2.DeleteVpnGatewayInput) (*ec2.DeleteVpnGatewayOutput, error) {
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		g, err := resource.VpnGateways.FindFor(ctx, tx, "ec2:DeleteVpnGateway", in.VpnGatewayId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		of, err := connections(ctx, tx, g.ID)
		if err != nil {
			return err
		}
		if g.VPC != "" || len(of) > 0 {
			return busy("vpnGateway ID", g.ID)
		}
		return resource.VpnGateways.Delete(ctx, tx, g)
	})
	return new(ec2.DeleteVpnGatewayOutput), err
}
