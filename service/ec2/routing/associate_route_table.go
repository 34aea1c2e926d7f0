package routing

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// AssociateRouteTable gives a subnet a route table of its own.
func (o *Routing) AssociateRouteTable(ctx context.Context, in *ec2.AssociateRouteTableInput) (*ec2.AssociateRouteTableOutput, error) {
	const action = "ec2:AssociateRouteTable"
	id := newAssociationID()
	out := &ec2.AssociateRouteTableOutput{AssociationState: associated()}
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		t, err := resource.RouteTables.FindFor(ctx, tx, action, in.RouteTableId)
		if err != nil {
			return err
		}
		switch {
		case in.GatewayId != nil || in.PublicIpv4Pool != nil:
			return resource.Unsupported("The association of a route table with a gateway")
		case in.SubnetId == nil:
			return api.Errorf(api.Missing, "The request must contain exactly one of subnetId or gatewayId") // source: aws
		}
		subnet, err := resource.Subnets.FindFor(ctx, tx, action, *in.SubnetId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if subnet.VPC != t.VPC {
			return differ("route table "+t.ID, "subnet "+subnet.ID)
		}
		tables, err := resource.RouteTables.Of(ctx, tx, t.VPC)
		if err != nil {
			return err
		}
		for _, other := range tables {
			for _, a := range other.Data.Associations {
				if api.Or(a.SubnetId, "") != subnet.ID {
					continue
				}
				if other.ID == t.ID {
					out.AssociationId = a.RouteTableAssociationId // it is so already
					return nil
				}
				return resource.Errorf("Resource.AlreadyAssociated", "the specified association for route table %s conflicts with an existing association", t.ID) // source: aws
			}
		}
		associate(t, id, &subnet.ID)
		out.AssociationId = &id
		return resource.RouteTables.Put(ctx, tx, t)
	})
	return out, err
}

// allowAssociated asks whether the caller may do an action to what an association joins.
func allowAssociated(ctx context.Context, tx *store.Tx, action string, t *table, i int) error {
	if err := resource.RouteTables.Allow(ctx, action, t); err != nil {
		return err
	}
	id := t.Data.Associations[i].SubnetId
	if id == nil {
		return nil
	}
	_, err := resource.Subnets.FindFor(ctx, tx, action, *id)
	return err
}

// leave takes an association from a route table.
func leave(t *table, i int) { t.Data.Associations = slices.Delete(t.Data.Associations, i, i+1) }
