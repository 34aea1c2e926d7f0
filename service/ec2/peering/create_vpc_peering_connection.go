package peering

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// mistaken is why a request fails after it has been made; AWS does not say which it was. source: aws
const mistaken = "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range"

// CreateVpcPeeringConnection asks the owner of a VPC, who may be the caller, to join it to one of the caller's.
func (p *Peerings) CreateVpcPeeringConnection(ctx context.Context, in *ec2.CreateVpcPeeringConnectionInput) (*ec2.CreateVpcPeeringConnectionOutput, error) {
	const action = "ec2:CreateVpcPeeringConnection"
	call := api.CallFrom(ctx)
	tags, err := resource.TagsFor(in.TagSpecifications, resource.Peerings.Name)
	if err != nil {
		return nil, err
	}
	var asked resource.Peering
	asked.RequesterVpcInfo = side(call.Account, call.Region, in.VpcId)
	asked.AccepterVpcInfo = side(api.Or(in.PeerOwnerId, call.Account), api.Or(in.PeerRegion, call.Region), api.Or(in.PeerVpcId, ""))
	if err := resource.Peerings.AllowNew(ctx, action, tags, about(&asked)...); err != nil {
		return nil, err
	}
	id, out := resource.Peerings.NewID(), new(ec2.CreateVpcPeeringConnectionOutput)
	err = p.db.Update(ctx, func(tx *store.Tx) error {
		own, err := resource.VPCs.FindFor(ctx, tx, action, in.VpcId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if in.PeerVpcId == nil {
			return api.Errorf(api.Missing, "The request must contain the parameter peerVpcId")
		}
		r := resource.Peerings.New(ctx, id, own.ID, asked)
		r.Data.RequesterVpcInfo, r.Data.AccepterVpcInfo = new(*asked.RequesterVpcInfo), new(*asked.AccepterVpcInfo)
		r.Tags, r.Data.VpcPeeringConnectionId = tags, &id
		peer, err := peerOf(ctx, tx, r)
		if err != nil {
			return err
		}
		if err := room(ctx, tx, r); err != nil {
			return err
		}
		setRanges(r.Data.RequesterVpcInfo, own)
		if peer == nil || overlap(own, peer) {
			end(r, failed, mistaken, "", call.Time)
		} else {
			turn(r, pending, "Pending Acceptance by "+*r.Data.AccepterVpcInfo.OwnerId)
			r.Data.ExpirationTime = new(call.Time.Add(requestLife))
			if r.Data.Number, err = resource.LinkNumber(ctx, tx); err != nil {
				return err
			}
		}
		if err := resource.Peerings.Create(ctx, tx, r); err != nil {
			return err
		}
		if err := complete(ctx, tx, []*record{r}); err != nil {
			return err
		}
		if *r.Data.Status.Code == pending {
			turn(r, initiating, "Initiating Request to "+*r.Data.AccepterVpcInfo.OwnerId)
		}
		out.VpcPeeringConnection = &r.Data.VpcPeeringConnection
		return nil
	})
	return out, err
}

// side is a side of a new connection.
func side(account, region, vpcID string) *info {
	return &info{OwnerId: &account, Region: &region, VpcId: &vpcID, PeeringOptions: &ec2.VpcPeeringConnectionOptionsDescription{
		AllowDnsResolutionFromRemoteVpc:            new(false),
		AllowEgressFromLocalClassicLinkToRemoteVpc: new(false),
		AllowEgressFromLocalVpcToRemoteClassicLink: new(false),
	}}
}

// peerOf finds the VPC that a request is for. One of the caller's own must be there; whether somebody else's is, the caller is not
// told: the request fails.
func peerOf(ctx context.Context, tx *store.Tx, r *record) (*vpc, error) {
	call, to := api.CallFrom(ctx), r.Data.AccepterVpcInfo
	if isSide(call, to) {
		return resource.VPCs.Find(ctx, tx, *to.VpcId)
	}
	if err := resource.VPCs.Check(*to.VpcId); err != nil {
		return nil, err
	}
	peer, err := resource.VPCs.Get(ctx, tx, *to.VpcId)
	if err != nil || peer == nil || peer.Account != *to.OwnerId || peer.Region != *to.Region {
		return nil, err
	}
	return peer, nil
}

// room refuses a request that there is already, or one too many. It forgets those that nobody sees any longer.
func room(ctx context.Context, tx *store.Tx, r *record) error {
	now := api.CallFrom(ctx).Time
	all, err := resource.Peerings.All(ctx, tx)
	if err != nil {
		return err
	}
	open := 0
	for _, other := range all {
		switch {
		case gone(other, now):
			if err := resource.Peerings.Delete(ctx, tx, other); err != nil {
				return err
			}
		case !live(other, now):
		case *other.Data.RequesterVpcInfo.VpcId == *r.Data.RequesterVpcInfo.VpcId && *other.Data.AccepterVpcInfo.VpcId == *r.Data.AccepterVpcInfo.VpcId:
			return exists(other)
		case other.Data.State(now) == pending && other.Account == r.Account && other.Region == r.Region:
			open++
		}
	}
	return outstanding.Check(open)
}

// exists is the error for a connection between VPCs that have one. source: aws
func exists(r *record) error {
	return resource.Errorf("VpcPeeringConnectionAlreadyExists", "The vpc peering connection identified by %s already exists.", r.ID)
}
