package routing

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteNatGateway ends a NAT gateway: its interface is gone, its Elastic IP address is free, and routes to it are black holes.
// It is listed for an hour more.
func (o *Routing) DeleteNatGateway(ctx context.Context, in *ec2.DeleteNatGatewayInput) (*ec2.DeleteNatGatewayOutput, error) {
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		n, err := resource.NatGateways.FindFor(ctx, tx, "ec2:DeleteNatGateway", in.NatGatewayId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if *n.Data.State == ec2.NatGatewayStateDeleted {
			return resource.NatGateways.Missing(n.ID)
		}
		for i := range n.Data.NatGatewayAddresses {
			a := &n.Data.NatGatewayAddresses[i]
			if a.NetworkInterfaceId != nil {
				if err := networkinterface.Remove(ctx, tx, *a.NetworkInterfaceId); err != nil {
					return err
				}
			}
			a.AssociationId, a.Status = nil, nil
		}
		n.Data.State, n.Data.DeleteTime = new(ec2.NatGatewayStateDeleted), new(api.CallFrom(ctx).Time)
		return resource.NatGateways.Put(ctx, tx, n)
	})
	return &ec2.DeleteNatGatewayOutput{NatGatewayId: &in.NatGatewayId}, err
}
