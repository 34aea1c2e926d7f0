package vpc

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/networkacl"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/routing"
	"github.com/vennel/vennel/service/ec2/securitygroup"
	"github.com/vennel/vennel/store"
)

// DeleteVpc removes a VPC in which nothing is left but what came with it, its flow logs, and its associations with Resolver's rules.
func (v *VPCs) DeleteVpc(ctx context.Context, in *ec2.DeleteVpcInput) (*ec2.DeleteVpcOutput, error) {
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		r, err := resource.VPCs.FindFor(ctx, tx, "ec2:DeleteVpc", in.VpcId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		for _, occupied := range []func(context.Context, *store.Tx, string) (bool, error){
			holds(resource.Subnets, nil),
			holds(resource.NetworkInterfaces, nil),
			holds(resource.InternetGateways, nil),
			holds(resource.VpnGateways, nil),
			holds(resource.Instances, func(i *resource.Instance) bool { return i.Terminated != 0 }),
			holds(resource.Endpoints, func(e *resource.Endpoint) bool { return api.Or(e.State, "") == "deleted" }),
			holds(resource.NatGateways, func(n *resource.NatGateway) bool { return routing.Gone(n) }),
			peered,
		} {
			if yes, err := occupied(ctx, tx, r.ID); err != nil {
				return err
			} else if yes {
				return inUse("vpc", r.ID)
			}
		}
		for _, remove := range []func(context.Context, *store.Tx, string) (bool, error){
			securitygroup.DeleteDefault, networkacl.DeleteDefault, routing.DeleteMain,
		} {
			if ok, err := remove(ctx, tx, r.ID); err != nil {
				return err
			} else if !ok {
				return inUse("vpc", r.ID)
			}
		}
		if err := drop(ctx, tx, resource.FlowLogs, r.ID); err != nil {
			return err
		}
		if err := drop(ctx, tx, resource.ResolverLinks, r.ID); err != nil {
			return err
		}
		return resource.VPCs.Delete(ctx, tx, r)
	})
	return new(ec2.DeleteVpcOutput), err
}

// drop removes all resources of a kind that belong to a VPC.
func drop[T any](ctx context.Context, tx *store.Tx, k *resource.Kind[T], vpcID string) error {
	list, err := k.Of(ctx, tx, vpcID)
	if err != nil {
		return err
	}
	for _, r := range list {
		if err := k.Delete(ctx, tx, r); err != nil {
			return err
		}
	}
	return nil
}

// holds says whether a VPC has resources of a kind, other than those that are gone and only still listed.
func holds[T any](k *resource.Kind[T], gone func(*T) bool) func(context.Context, *store.Tx, string) (bool, error) {
	return func(ctx context.Context, tx *store.Tx, vpcID string) (bool, error) {
		list, err := k.Of(ctx, tx, vpcID)
		return slices.ContainsFunc(list, func(r *resource.Record[T]) bool { return gone == nil || !gone(&r.Data) }), err
	}
}

// peered says whether a VPC has a peering connection, of whichever side, that is or may become active.
func peered(ctx context.Context, tx *store.Tx, vpcID string) (bool, error) {
	list, err := peerings(ctx, tx, vpcID)
	return len(list) > 0, err
}

// peerings lists the peering connections of a VPC that are or may become active.
func peerings(ctx context.Context, tx *store.Tx, vpcID string) ([]*resource.Record[resource.Peering], error) {
	list, err := resource.Peerings.All(ctx, tx)
	now := api.CallFrom(ctx).Time
	return slices.DeleteFunc(list, func(p *resource.Record[resource.Peering]) bool {
		switch p.Data.State(now) {
		case ec2.VpcPeeringConnectionStateReasonCodeActive, ec2.VpcPeeringConnectionStateReasonCodePendingAcceptance,
			ec2.VpcPeeringConnectionStateReasonCodeInitiatingRequest, ec2.VpcPeeringConnectionStateReasonCodeProvisioning:
			return sideOf(p, vpcID) == nil
		}
		return true
	}), err
}

// sideOf gives a VPC's side of a peering connection, or nil.
func sideOf(p *resource.Record[resource.Peering], vpcID string) *ec2.VpcPeeringConnectionVpcInfo {
	for _, side := range []*ec2.VpcPeeringConnectionVpcInfo{p.Data.RequesterVpcInfo, p.Data.AccepterVpcInfo} {
		if side != nil && api.Or(side.VpcId, "") == vpcID {
			return side
		}
	}
	return nil
}
