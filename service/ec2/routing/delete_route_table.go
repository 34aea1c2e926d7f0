package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteRouteTable removes a route table that nothing is associated with.
func (o *Routing) DeleteRouteTable(ctx context.Context, in *ec2.DeleteRouteTableInput) (*ec2.DeleteRouteTableOutput, error) {
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		t, err := resource.RouteTables.FindFor(ctx, tx, "ec2:DeleteRouteTable", in.RouteTableId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if len(t.Data.Associations) > 0 {
			return resource.Errorf("DependencyViolation", "The routeTable '%s' has dependencies and cannot be deleted.", t.ID) // source: aws
		}
		return resource.RouteTables.Delete(ctx, tx, t)
	})
	return new(ec2.DeleteRouteTableOutput), err
}
