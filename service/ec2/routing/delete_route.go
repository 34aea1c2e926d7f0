package routing

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteRoute removes a route. The local ones stay, and those to gateway endpoints belong to the endpoints.
func (o *Routing) DeleteRoute(ctx context.Context, in *ec2.DeleteRouteInput) (*ec2.DeleteRouteOutput, error) {
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		t, err := resource.RouteTables.FindFor(ctx, tx, "ec2:DeleteRoute", in.RouteTableId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		to, err := destinationOf(in.DestinationCidrBlock, in.DestinationIpv6CidrBlock, in.DestinationPrefixListId)
		if err != nil {
			return err
		}
		if i, ok := to.find(t); ok {
			t.Data.Routes = slices.Delete(t.Data.Routes, i, i+1)
			return resource.RouteTables.Put(ctx, tx, t)
		}
		if local, err := to.local(ctx, tx, t); err != nil {
			return err
		} else if local {
			return resource.Errorf("InvalidParameterValue", "cannot remove local route %s in route table %s", to, t.ID) // source: aws
		}
		if err := Complete(ctx, tx, []*table{t}); err != nil {
			return err
		}
		for _, r := range t.Data.Routes {
			if to.list != "" && api.Or(r.DestinationPrefixListId, "") == to.list {
				// source: aws
				return resource.Errorf("InvalidParameterValue", "cannot remove VPC endpoint route %s in route table %s", to, t.ID)
			}
		}
		return to.missing(t)
	})
	return new(ec2.DeleteRouteOutput), err
}

// local says whether a destination is all of a range of the table's VPC.
func (to destination) local(ctx context.Context, tx *store.Tx, t *table) (bool, error) {
	vpc, err := resource.VPCs.Get(ctx, tx, t.VPC)
	return vpc != nil && to.list == "" && slices.Contains(vpc.Data.Ranges(), to.cidr), err
}
