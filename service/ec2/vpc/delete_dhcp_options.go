package vpc

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteDhcpOptions removes a DHCP option set that no VPC has.
func (v *VPCs) DeleteDhcpOptions(ctx context.Context, in *ec2.DeleteDhcpOptionsInput) (*ec2.DeleteDhcpOptionsOutput, error) {
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		o, err := resource.DhcpOptions.FindFor(ctx, tx, "ec2:DeleteDhcpOptions", in.DhcpOptionsId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		vpcs, err := resource.VPCs.List(ctx, tx)
		if err != nil {
			return err
		}
		for _, r := range vpcs {
			if api.Or(r.Data.DhcpOptionsId, "") == o.ID {
				return inUse("dhcpOptions", o.ID)
			}
		}
		return resource.DhcpOptions.Delete(ctx, tx, o)
	})
	return new(ec2.DeleteDhcpOptionsOutput), err
}
