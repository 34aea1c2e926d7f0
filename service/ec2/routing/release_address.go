package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// ReleaseAddress gives back an Elastic IP address that is mapped to nothing.
func (o *Routing) ReleaseAddress(ctx context.Context, in *ec2.ReleaseAddressInput) (*ec2.ReleaseAddressOutput, error) {
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		a, err := addressFor(ctx, tx, "ec2:ReleaseAddress", in.AllocationId, in.PublicIp)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if a.Data.AssociationId != nil {
			return resource.Errorf("InvalidIPAddress.InUse", "Address %s is in use.", *a.Data.PublicIp) // source: aws
		}
		return resource.Addresses.Delete(ctx, tx, a)
	})
	return new(ec2.ReleaseAddressOutput), err
}
