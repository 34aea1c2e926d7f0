package peering

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteVpcPeeringConnection ends a connection, from either side, or takes back a request. Routes to it become black holes.
func (p *Peerings) DeleteVpcPeeringConnection(ctx context.Context, in *ec2.DeleteVpcPeeringConnectionInput) (*ec2.DeleteVpcPeeringConnectionOutput, error) {
	err := p.db.Update(ctx, func(tx *store.Tx) error {
		r, err := find(ctx, tx, "ec2:DeleteVpcPeeringConnection", in.VpcPeeringConnectionId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		call := api.CallFrom(ctx)
		state := r.Data.State(call.Time)
		switch {
		case state == active, state == provisioning, state == pending && r.Account == call.Account:
		case state == pending:
			return resource.Errorf("OperationNotPermitted", "User %s cannot delete peering %s", call.Account, r.ID) // source: guess
		default:
			return badState(r, state, deleted)
		}
		end(r, deleted, "Deleted by "+call.Account, call.Account, call.Time)
		return resource.Peerings.Put(ctx, tx, r)
	})
	return &ec2.DeleteVpcPeeringConnectionOutput{Return: new(true)}, err
}
