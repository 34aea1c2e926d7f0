package peering

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// AcceptVpcPeeringConnection agrees to a request. The connection is active when the hosts carry it.
func (p *Peerings) AcceptVpcPeeringConnection(ctx context.Context, in *ec2.AcceptVpcPeeringConnectionInput) (*ec2.AcceptVpcPeeringConnectionOutput, error) {
	const action = "ec2:AcceptVpcPeeringConnection"
	out := new(ec2.AcceptVpcPeeringConnectionOutput)
	err := p.db.Update(ctx, func(tx *store.Tx) error {
		r, err := find(ctx, tx, action, in.VpcPeeringConnectionId)
		if err != nil {
			return err
		}
		if err := accepting(ctx, r); err != nil {
			return err
		}
		own, err := resource.VPCs.FindFor(ctx, tx, action, *r.Data.AccepterVpcInfo.VpcId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if state := r.Data.State(api.CallFrom(ctx).Time); state != pending {
			return badState(r, state, active)
		}
		asking, err := resource.VPCs.Get(ctx, tx, r.VPC)
		if err != nil {
			return err
		}
		if asking == nil || overlap(asking, own) {
			return resource.Errorf("OperationNotPermitted", "The VPCs of peering %s are not there any longer, or have overlapping CIDR ranges", r.ID) // source: guess
		}
		if err := joinable(ctx, tx, r); err != nil {
			return err
		}
		turn(r, provisioning, "Provisioning")
		r.Data.ExpirationTime = nil
		setRanges(r.Data.RequesterVpcInfo, asking)
		setRanges(r.Data.AccepterVpcInfo, own)
		if err := resource.Peerings.Put(ctx, tx, r); err != nil {
			return err
		}
		seen := view(ctx, r)
		if err := complete(ctx, tx, []*record{seen}); err != nil {
			return err
		}
		out.VpcPeeringConnection = &seen.Data.VpcPeeringConnection
		return nil
	})
	return out, err
}

// accepting refuses who has not been asked, or asks in another Region than the accepter's. source: aws
func accepting(ctx context.Context, r *record) error {
	call, to := api.CallFrom(ctx), r.Data.AccepterVpcInfo
	switch {
	case *to.OwnerId != call.Account:
		return resource.Errorf("OperationNotPermitted", "User %s cannot accept or reject peering %s", call.Account, r.ID)
	case *to.Region != call.Region:
		return resource.Errorf("OperationNotPermitted",
			"Incorrect region (%s) specified for this request. VPC peering connection %s must be accepted or rejected in region %s", call.Region, r.ID, *to.Region)
	}
	return nil
}

// joinable refuses VPCs that are joined already, or have too many connections.
func joinable(ctx context.Context, tx *store.Tx, r *record) error {
	now := api.CallFrom(ctx).Time
	all, err := resource.Peerings.All(ctx, tx)
	if err != nil {
		return err
	}
	sides := []string{*r.Data.RequesterVpcInfo.VpcId, *r.Data.AccepterVpcInfo.VpcId}
	count := map[string]int{}
	for _, other := range all {
		state := other.Data.State(now)
		if other.ID == r.ID || state != active && state != provisioning {
			continue
		}
		if joins(other, sides[0], sides[1]) {
			return exists(r)
		}
		count[*other.Data.RequesterVpcInfo.VpcId]++
		count[*other.Data.AccepterVpcInfo.VpcId]++
	}
	for _, id := range sides {
		if err := perVPC.Check(count[id]); err != nil {
			return err
		}
	}
	return nil
}
