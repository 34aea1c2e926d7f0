package vpn

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteVpnConnectionRoute takes back that a range is at the customer's side of a connection.
func (v *VPNs) DeleteVpnConnectionRoute(ctx context.Context, in *ec2.DeleteVpnConnectionRouteInput) (*ec2.DeleteVpnConnectionRouteOutput, error) {
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		c, err := resource.VpnConnections.FindFor(ctx, tx, "ec2:DeleteVpnConnectionRoute", in.VpnConnectionId)
		if err != nil {
			return err
		}
		if err := changeable(c); err != nil {
			return err
		}
		cidr, err := resource.Range(in.DestinationCidrBlock, "destinationCidrBlock")
		if err != nil {
			return err
		}
		i := routeTo(c, cidr.String())
		if i < 0 {
			// source: guess
			return resource.Errorf("InvalidRoute.NotFound", "The route with destination-cidr-block %s does not exist in the VPN connection %s", cidr, c.ID)
		}
		c.Data.Routes = slices.Delete(c.Data.Routes, i, i+1)
		return resource.VpnConnections.Put(ctx, tx, c)
	})
	return new(ec2.DeleteVpnConnectionRouteOutput), err
}
