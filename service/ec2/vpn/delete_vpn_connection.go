package vpn

import (
	"context"
	"time"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteVpnConnection ends a connection. It is gone when no host carries it any longer.
func (v *VPNs) DeleteVpnConnection(ctx context.Context, in *ec2.DeleteVpnConnectionInput) (*ec2.DeleteVpnConnectionOutput, error) {
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		c, err := resource.VpnConnections.FindFor(ctx, tx, "ec2:DeleteVpnConnection", in.VpnConnectionId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		c.Data.State = new(deleting)
		return resource.VpnConnections.Put(ctx, tx, c)
	})
	return new(ec2.DeleteVpnConnectionOutput), err
}

// milliseconds is a time that a record keeps.
func milliseconds(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
