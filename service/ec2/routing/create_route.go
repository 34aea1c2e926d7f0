package routing

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// CreateRoute adds a route to a route table.
func (o *Routing) CreateRoute(ctx context.Context, in *ec2.CreateRouteInput) (*ec2.CreateRouteOutput, error) {
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		t, err := resource.RouteTables.FindFor(ctx, tx, "ec2:CreateRoute", in.RouteTableId)
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
		local, err := to.check(ctx, tx, t)
		if err != nil {
			return err
		}
		route, err := lead(ctx, tx, t, in)
		if err != nil {
			return err
		}
		if local && route.NetworkInterfaceId == nil {
			return to.within()
		}
		if _, ok := to.find(t); ok {
			return to.exists()
		}
		if err := room(ctx, tx, t, to); err != nil {
			return err
		}
		to.set(&route)
		t.Data.Routes = append(t.Data.Routes, route)
		return resource.RouteTables.Put(ctx, tx, t)
	})
	return &ec2.CreateRouteOutput{Return: new(true)}, err
}

// destination is where a route is for: a range, or the ranges of a prefix list.
type destination struct {
	cidr netip.Prefix
	list string
}

// destinationOf reads the destination of a request.
func destinationOf(cidr, ipv6, list *string) (to destination, err error) {
	switch {
	case given(cidr, ipv6, list) != 1:
		// source: aws
		return to, api.Errorf(api.Missing, "The request must contain exactly one of destinationCidrBlock, destinationIpv6CidrBlock or destinationPrefixListId")
	case ipv6 != nil:
		return to, resource.NoIPv6()
	case list != nil:
		to.list = *list
		return to, nil
	}
	to.cidr, err = resource.Range(*cidr, "destinationCidrBlock")
	return to, err
}

// given counts the parameters that a request has.
func given(parameters ...*string) (n int) {
	for _, p := range parameters {
		if p != nil {
			n++
		}
	}
	return n
}

// String is the destination as errors name it.
func (to destination) String() string {
	if to.list != "" {
		return to.list
	}
	return to.cidr.String()
}

// set makes it the destination of a route.
func (to destination) set(r *ec2.Route) {
	if to.list != "" {
		r.DestinationPrefixListId = &to.list
		return
	}
	r.DestinationCidrBlock = new(to.cidr.String())
}

// find gives the place of the route to it in a table.
func (to destination) find(t *table) (i int, ok bool) {
	i = slices.IndexFunc(t.Data.Routes, func(r ec2.Route) bool {
		if to.list != "" {
			return api.Or(r.DestinationPrefixListId, "") == to.list
		}
		return api.Or(r.DestinationCidrBlock, "") == to.cidr.String()
	})
	return i, i >= 0
}

// exists is the error for a destination that a route has. source: aws
func (to destination) exists() error {
	return resource.Errorf("RouteAlreadyExists", "The route identified by %s already exists.", to)
}

// within is the error for a destination in the VPC that leads out of it. source: aws
func (to destination) within() error {
	return resource.Errorf("InvalidParameterValue", "The destination CIDR block %s is equal to or more specific than one of this VPC's CIDR blocks. "+
		"This route can target only an interface or an instance.", to)
}

// missing is the error for a destination that no route has. source: aws
func (to destination) missing(t *table) error {
	kind := "destination-cidr-block"
	if to.list != "" {
		kind = "destination-prefix-list-id"
	}
	return resource.Errorf("InvalidRoute.NotFound", "no route with %s %s in route table %s", kind, to, t.ID)
}

// services is the range in which instances have their metadata, DNS and time: no route leads these elsewhere. source: userguide,
// "Subnet route tables"
var services = netip.MustParsePrefix("169.254.168.0/22")

// check refuses a destination that a route cannot have, and says whether it is within the VPC: it must be all of a subnet then.
// source: userguide, "Route tables"
func (to destination) check(ctx context.Context, tx *store.Tx, t *table) (local bool, err error) {
	if to.list != "" {
		_, err := findList(ctx, tx, to.list)
		return false, err
	}
	if resource.Contains(services, to.cidr) {
		// source: guess
		return false, resource.Errorf("InvalidParameterValue", "The destination CIDR block %s is within %s, which is reserved", to, services)
	}
	vpc, err := resource.VPCs.Get(ctx, tx, t.VPC)
	if err != nil || vpc == nil {
		return false, err
	}
	ranges := vpc.Data.Ranges()
	if slices.Contains(ranges, to.cidr) {
		return false, to.exists()
	}
	if !slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return resource.Contains(r, to.cidr) }) {
		return false, nil
	}
	subnets, err := resource.Subnets.Of(ctx, tx, t.VPC)
	if err != nil {
		return false, err
	}
	for _, s := range subnets {
		if resource.Prefix(s.Data.CidrBlock) == to.cidr {
			return true, nil
		}
	}
	// source: guess
	return false, resource.Errorf("InvalidParameterValue", "The destination CIDR block %s must match the entire CIDR block of a subnet in this VPC", to)
}

// room refuses a route that a table has no room for; a prefix list takes as much as it may grow to.
func room(ctx context.Context, tx *store.Tx, t *table, to destination) error {
	has, err := weigh(ctx, tx, to)
	if err != nil {
		return err
	}
	has-- // the one that is to be
	for _, r := range t.Data.Routes {
		n, err := weigh(ctx, tx, destination{list: api.Or(r.DestinationPrefixListId, "")})
		if err != nil {
			return err
		}
		has += n
	}
	return routes.Check(has)
}

// weigh says how many routes one to a destination counts for.
func weigh(ctx context.Context, tx *store.Tx, to destination) (int, error) {
	if to.list == "" {
		return 1, nil
	}
	l, err := findList(ctx, tx, to.list)
	if err != nil {
		return 0, err
	}
	return int(*l.Data.MaxEntries), nil
}

// lead reads where a route leads. What it leads to must be there, and in the VPC.
func lead(ctx context.Context, tx *store.Tx, t *table, in *ec2.CreateRouteInput) (r ec2.Route, err error) {
	if given(
		in.GatewayId, in.NatGatewayId, in.InstanceId, in.NetworkInterfaceId, in.VpcPeeringConnectionId, in.VpcEndpointId, in.TransitGatewayId,
		in.LocalGatewayId, in.CarrierGatewayId, in.CoreNetworkArn, in.OdbNetworkArn, in.EgressOnlyInternetGatewayId,
	) != 1 {
		// source: guess
		return r, api.Errorf(api.Missing, "The request must contain exactly one of gatewayId, natGatewayId, networkInterfaceId, vpcPeeringConnectionId or instanceId")
	}
	r.Origin = new(ec2.RouteOriginCreateRoute)
	switch {
	case in.GatewayId != nil:
		r.GatewayId = in.GatewayId
		return r, checkGateway(ctx, tx, t, *in.GatewayId)
	case in.NatGatewayId != nil:
		r.NatGatewayId = in.NatGatewayId
		return r, checkNAT(ctx, tx, t, *in.NatGatewayId)
	case in.NetworkInterfaceId != nil:
		r.NetworkInterfaceId = in.NetworkInterfaceId
		return r, checkInterface(ctx, tx, t, *in.NetworkInterfaceId)
	case in.InstanceId != nil:
		r.NetworkInterfaceId, err = interfaceOf(ctx, tx, t, *in.InstanceId)
		return r, err
	case in.VpcPeeringConnectionId != nil:
		r.VpcPeeringConnectionId = in.VpcPeeringConnectionId
		return r, checkPeering(ctx, tx, t, *in.VpcPeeringConnectionId)
	case in.EgressOnlyInternetGatewayId != nil:
		return r, resource.NoIPv6()
	}
	return r, resource.Unsupported("The target of this route")
}

// checkGateway refuses a gateway that is not attached to the VPC of a table.
func checkGateway(ctx context.Context, tx *store.Tx, t *table, id string) error {
	var vpc string
	switch before, _, _ := strings.Cut(id, "-"); before {
	case resource.InternetGateways.Prefix:
		g, err := resource.InternetGateways.Get(ctx, tx, id)
		if err != nil {
			return err
		}
		if g == nil || g.Account != t.Account {
			return noGateway(id)
		}
		vpc = g.VPC
	case resource.VpnGateways.Prefix:
		g, err := resource.VpnGateways.Get(ctx, tx, id)
		if err != nil {
			return err
		}
		if g == nil || g.Account != t.Account {
			return noGateway(id)
		}
		vpc = g.VPC
	case resource.Endpoints.Prefix:
		return resource.Errorf("InvalidParameterValue", "The route to the VPC endpoint %s is made by modifying the endpoint", id) // source: guess
	default:
		return noGateway(id)
	}
	if vpc != t.VPC {
		return differ("route table "+t.ID, "network gateway "+id)
	}
	return nil
}

// noGateway is the error for a gateway that is not there. source: userguide
func noGateway(id string) error {
	return resource.Errorf("InvalidGatewayID.NotFound", "The gateway ID '%s' does not exist", id)
}

// checkNAT refuses a NAT gateway that is not in the VPC of a table.
func checkNAT(ctx context.Context, tx *store.Tx, t *table, id string) error {
	n, err := resource.NatGateways.Get(ctx, tx, id)
	switch {
	case err != nil:
		return err
	case n == nil || n.Account != t.Account || Gone(&n.Data):
		return resource.Errorf("InvalidNatGatewayID.NotFound", "The natGateway ID '%s' does not exist", id) // source: userguide
	case n.VPC != t.VPC:
		return differ("route table "+t.ID, "NAT gateway "+id)
	}
	return nil
}

// checkInterface refuses an interface that is not in the VPC of a table.
func checkInterface(ctx context.Context, tx *store.Tx, t *table, id string) error {
	n, err := resource.NetworkInterfaces.Find(ctx, tx, id)
	if err == nil && n.VPC != t.VPC {
		err = differ("route table "+t.ID, "interface "+id)
	}
	return err
}

// interfaceOf gives the interface of an instance that has one only.
func interfaceOf(ctx context.Context, tx *store.Tx, t *table, id string) (*string, error) {
	i, err := resource.Instances.Find(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if i.VPC != t.VPC {
		return nil, differ("route table "+t.ID, "instance "+id)
	}
	list, err := networkinterface.OfInstance(ctx, tx, i.VPC, id)
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, resource.Errorf("InvalidInstanceID", "The instance '%s' has no network interface", id) // source: guess
	case len(list) > 1:
		// source: aws
		return nil, resource.Errorf("InvalidInstanceID", "There are multiple interfaces attached to instance '%s'. Please specify an interface ID for the operation instead.", id)
	}
	return &list[0].ID, nil
}

// checkPeering refuses a peering connection that does not join the VPC of a table to another. One that is not accepted yet is a
// black hole. source: userguide, "Update your route tables for a VPC peering connection"
func checkPeering(ctx context.Context, tx *store.Tx, t *table, id string) error {
	if err := resource.Peerings.Check(id); err != nil {
		return err
	}
	p, err := resource.Peerings.Get(ctx, tx, id)
	if err != nil {
		return err
	}
	if p == nil || p.Data.RequesterVpcInfo == nil || p.Data.AccepterVpcInfo == nil {
		return resource.Peerings.Missing(id)
	}
	state := p.Data.State(api.CallFrom(ctx).Time)
	joined := []string{api.Or(p.Data.RequesterVpcInfo.VpcId, ""), api.Or(p.Data.AccepterVpcInfo.VpcId, "")}
	switch {
	case state != ec2.VpcPeeringConnectionStateReasonCodeActive && state != ec2.VpcPeeringConnectionStateReasonCodePendingAcceptance &&
		state != ec2.VpcPeeringConnectionStateReasonCodeProvisioning:
		return resource.Peerings.Missing(id)
	case !slices.Contains(joined, t.VPC):
		return differ("route table "+t.ID, "VPC peering connection "+id)
	}
	return nil
}
