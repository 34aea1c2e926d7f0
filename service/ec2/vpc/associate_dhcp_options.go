package vpc

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// noOptions stands for no option set at all.
const noOptions = "default"

// AssociateDhcpOptions gives a VPC another DHCP option set, or none: "default".
func (v *VPCs) AssociateDhcpOptions(ctx context.Context, in *ec2.AssociateDhcpOptionsInput) (*ec2.AssociateDhcpOptionsOutput, error) {
	const action = "ec2:AssociateDhcpOptions"
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		if in.DhcpOptionsId != noOptions {
			if _, err := resource.DhcpOptions.FindFor(ctx, tx, action, in.DhcpOptionsId); err != nil {
				return err
			}
		}
		r, err := resource.VPCs.FindFor(ctx, tx, action, in.VpcId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		r.Data.DhcpOptionsId = &in.DhcpOptionsId
		return resource.VPCs.Put(ctx, tx, r)
	})
	return new(ec2.AssociateDhcpOptionsOutput), err
}
