package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// CreateRouteTable makes a route table of a VPC.
func (o *Routing) CreateRouteTable(ctx context.Context, in *ec2.CreateRouteTableInput) (*ec2.CreateRouteTableOutput, error) {
	const operation = "CreateRouteTable"
	id := resource.RouteTables.NewID()
	out := &ec2.CreateRouteTableOutput{ClientToken: in.ClientToken}
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		vpc, err := resource.VPCs.FindFor(ctx, tx, "ec2:"+operation, in.VpcId)
		if err != nil {
			return err
		}
		tags, err := resource.TagsFor(in.TagSpecifications, resource.RouteTables.Name)
		if err != nil {
			return err
		}
		if err := resource.RouteTables.AllowNew(ctx, "ec2:"+operation, tags); err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		made, err := resource.Once(ctx, tx, operation, in.ClientToken, in)
		if err != nil {
			return err
		}
		if made == "" {
			made = id
			number, err := freeNumber(ctx, tx, vpc.ID)
			if err != nil {
				return err
			}
			t := resource.RouteTables.New(ctx, id, vpc.ID, blank(id, vpc.ID, vpc.Account, number))
			t.Tags = tags
			if err := resource.RouteTables.Create(ctx, tx, t); err != nil {
				return err
			}
			if err := resource.Made(ctx, tx, operation, in.ClientToken, in, id); err != nil {
				return err
			}
		}
		t, err := resource.RouteTables.Find(ctx, tx, made)
		if err != nil {
			return err
		}
		if err := Complete(ctx, tx, []*table{t}); err != nil {
			return err
		}
		out.RouteTable = new(answer(t))
		return nil
	})
	return out, err
}

// answer is a route table, which has been completed, as answers have it.
func answer(t *table) ec2.RouteTable {
	r := t.Data.RouteTable
	r.Tags = resource.TagList(t.Tags)
	if r.Associations == nil {
		r.Associations = []ec2.RouteTableAssociation{}
	}
	if r.PropagatingVgws == nil {
		r.PropagatingVgws = []ec2.PropagatingVgw{}
	}
	return r
}
