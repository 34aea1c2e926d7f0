package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// ReplaceRouteTableAssociation gives a subnet, which an association stands for, another route table; or makes another one the
// VPC's main route table.
func (o *Routing) ReplaceRouteTableAssociation(ctx context.Context, in *ec2.ReplaceRouteTableAssociationInput) (*ec2.ReplaceRouteTableAssociationOutput, error) {
	const action = "ec2:ReplaceRouteTableAssociation"
	id := newAssociationID()
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		to, err := resource.RouteTables.FindFor(ctx, tx, action, in.RouteTableId)
		if err != nil {
			return err
		}
		from, i, err := byAssociation(ctx, tx, in.AssociationId)
		if err != nil {
			return err
		}
		if err := allowAssociated(ctx, tx, action, from, i); err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if from.VPC != to.VPC {
			return differ("route table "+to.ID, "association "+in.AssociationId)
		}
		if from.ID == to.ID {
			to = from // one record, not two of the same
		}
		subnet := from.Data.Associations[i].SubnetId
		leave(from, i)
		if err := resource.RouteTables.Put(ctx, tx, from); err != nil {
			return err
		}
		associate(to, id, subnet)
		return resource.RouteTables.Put(ctx, tx, to)
	})
	return &ec2.ReplaceRouteTableAssociationOutput{NewAssociationId: &id, AssociationState: associated()}, err
}
