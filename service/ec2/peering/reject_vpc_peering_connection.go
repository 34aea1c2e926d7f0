package peering

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// RejectVpcPeeringConnection refuses a request.
func (p *Peerings) RejectVpcPeeringConnection(ctx context.Context, in *ec2.RejectVpcPeeringConnectionInput) (*ec2.RejectVpcPeeringConnectionOutput, error) {
	err := p.db.Update(ctx, func(tx *store.Tx) error {
		r, err := find(ctx, tx, "ec2:RejectVpcPeeringConnection", in.VpcPeeringConnectionId)
		if err != nil {
			return err
		}
		if err := accepting(ctx, r); err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		call := api.CallFrom(ctx)
		if state := r.Data.State(call.Time); state != pending {
			return badState(r, state, rejected)
		}
		end(r, rejected, "Rejected by "+call.Account, call.Account, call.Time)
		return resource.Peerings.Put(ctx, tx, r)
	})
	return &ec2.RejectVpcPeeringConnectionOutput{Return: new(true)}, err
}
