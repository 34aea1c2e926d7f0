package routing

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// DisassociateAddress maps an Elastic IP address to nothing.
func (o *Routing) DisassociateAddress(ctx context.Context, in *ec2.DisassociateAddressInput) (*ec2.DisassociateAddressOutput, error) {
	const action = "ec2:DisassociateAddress"
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		a, err := mappedAddress(ctx, tx, in)
		if err != nil {
			if denied := iam.Allow(ctx, action, "*"); denied != nil {
				return denied
			}
			return err
		}
		if err := resource.Addresses.Allow(ctx, action, a); err != nil {
			return err
		}
		if id := a.Data.NetworkInterfaceId; id != nil {
			if _, err := resource.NetworkInterfaces.FindFor(ctx, tx, action, *id); err != nil {
				return err
			}
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if a.Data.AssociationId == nil {
			return nil // it is so already
		}
		if err := releasable(ctx, tx, a); err != nil {
			return err
		}
		return unbind(ctx, tx, a)
	})
	return new(ec2.DisassociateAddressOutput), err
}

// mappedAddress finds an Elastic IP address by its association or the address itself.
func mappedAddress(ctx context.Context, tx *store.Tx, in *ec2.DisassociateAddressInput) (*address, error) {
	if in.AssociationId == nil {
		return byPublic(ctx, tx, in.PublicIp)
	}
	own, err := resource.Addresses.List(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, a := range visible(own) {
		if api.Or(a.Data.AssociationId, "") == *in.AssociationId {
			return a, nil
		}
	}
	return nil, noAssociation(*in.AssociationId)
}
