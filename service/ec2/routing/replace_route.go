package routing

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// ReplaceRoute lets the route to a destination lead elsewhere.
func (o *Routing) ReplaceRoute(ctx context.Context, in *ec2.ReplaceRouteInput) (*ec2.ReplaceRouteOutput, error) {
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		t, err := resource.RouteTables.FindFor(ctx, tx, "ec2:ReplaceRoute", in.RouteTableId)
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
		if isLocal, err := to.local(ctx, tx, t); err != nil {
			return err
		} else if isLocal || api.Or(in.LocalTarget, false) {
			return resource.Unsupported("Another target for a local route")
		}
		i, ok := to.find(t)
		if !ok {
			return to.missing(t)
		}
		within, err := to.check(ctx, tx, t)
		if err != nil {
			return err
		}
		route, err := lead(ctx, tx, t, &ec2.CreateRouteInput{
			VpcEndpointId: in.VpcEndpointId, TransitGatewayId: in.TransitGatewayId, LocalGatewayId: in.LocalGatewayId, CarrierGatewayId: in.CarrierGatewayId,
			CoreNetworkArn: in.CoreNetworkArn, OdbNetworkArn: in.OdbNetworkArn, GatewayId: in.GatewayId, EgressOnlyInternetGatewayId: in.EgressOnlyInternetGatewayId,
			InstanceId: in.InstanceId, NetworkInterfaceId: in.NetworkInterfaceId, VpcPeeringConnectionId: in.VpcPeeringConnectionId, NatGatewayId: in.NatGatewayId,
		})
		if err != nil {
			return err
		}
		if within && route.NetworkInterfaceId == nil {
			return to.within()
		}
		to.set(&route)
		t.Data.Routes[i] = route
		return resource.RouteTables.Put(ctx, tx, t)
	})
	return new(ec2.ReplaceRouteOutput), err
}
