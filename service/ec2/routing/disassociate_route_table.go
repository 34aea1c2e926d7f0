package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// DisassociateRouteTable takes a subnet's own route table from it: it has the main one again.
func (o *Routing) DisassociateRouteTable(ctx context.Context, in *ec2.DisassociateRouteTableInput) (*ec2.DisassociateRouteTableOutput, error) {
	const action = "ec2:DisassociateRouteTable"
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		t, i, err := byAssociation(ctx, tx, in.AssociationId)
		if err != nil {
			if denied := iam.Allow(ctx, action, "*"); denied != nil {
				return denied
			}
			return err
		}
		if err := allowAssociated(ctx, tx, action, t, i); err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if *t.Data.Associations[i].Main {
			return resource.Errorf("InvalidParameterValue", "cannot disassociate the main route table association %s", in.AssociationId) // source: aws
		}
		leave(t, i)
		return resource.RouteTables.Put(ctx, tx, t)
	})
	return new(ec2.DisassociateRouteTableOutput), err
}
