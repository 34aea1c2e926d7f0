package vpc

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/networkacl"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/routing"
	"github.com/vennel/vennel/store"
)

// DeleteSubnet removes a subnet in which no interface is.
func (v *VPCs) DeleteSubnet(ctx context.Context, in *ec2.DeleteSubnetInput) (*ec2.DeleteSubnetOutput, error) {
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		s, err := resource.Subnets.FindFor(ctx, tx, "ec2:DeleteSubnet", in.SubnetId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		interfaces, err := resource.NetworkInterfaces.Of(ctx, tx, s.VPC)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(interfaces, func(n *resource.Record[resource.NetworkInterface]) bool { return api.Or(n.Data.SubnetId, "") == s.ID }) {
			return inUse("subnet", s.ID)
		}
		if err := networkacl.Leave(ctx, tx, s.VPC, s.ID); err != nil {
			return err
		}
		if err := routing.Leave(ctx, tx, s.VPC, s.ID); err != nil {
			return err
		}
		return resource.Subnets.Delete(ctx, tx, s)
	})
	return new(ec2.DeleteSubnetOutput), err
}
