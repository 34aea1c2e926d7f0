package vpn

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteCustomerGateway removes a customer gateway that has no connections.
func (v *VPNs) DeleteCustomerGateway(ctx context.Context, in *ec2.DeleteCustomerGatewayInput) (*ec2.DeleteCustomerGatewayOutput, error) {
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		c, err := resource.CustomerGateways.FindFor(ctx, tx, "ec2:DeleteCustomerGateway", in.CustomerGatewayId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		of, err := connections(ctx, tx, c.ID)
		if err != nil {
			return err
		}
		if len(of) > 0 {
			return busy("customerGateway ID", c.ID)
		}
		return resource.CustomerGateways.Delete(ctx, tx, c)
	})
	return new(ec2.DeleteCustomerGatewayOutput), err
}
