package routing

import (
	"context"
	"net/netip"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// Complete gives route tables all of their routes: the local ones first, then those that were asked for, propagated ones, and
// those to gateway endpoints; and to each its state. Records that it has completed are not to be put.
func Complete(ctx context.Context, tx *store.Tx, list []*resource.Record[resource.RouteTable]) error {
	views := map[string]*view{}
	for _, t := range list {
		v := views[t.VPC]
		if v == nil {
			var err error
			if v, err = look(ctx, tx, t.VPC); err != nil {
				return err
			}
			views[t.VPC] = v
		}
		t.Data.Routes = v.routes(t)
	}
	return nil
}

// view is what decides where the routes of a VPC lead.
type view struct {
	ranges     []netip.Prefix
	gateways   map[string]bool // internet gateways and virtual private gateways that are attached
	nats       map[string]bool // that work, or will
	instances  map[string]bool // that run
	peerings   map[string]bool // that are active
	interfaces map[string]*resource.Record[resource.NetworkInterface]
	endpoints  []*resource.Record[resource.Endpoint]
	vpns       []*resource.Record[resource.VpnConnection]
}

// look gathers what decides where the routes of a VPC lead.
func look(ctx context.Context, tx *store.Tx, vpcID string) (*view, error) {
	v := &view{interfaces: map[string]*resource.Record[resource.NetworkInterface]{}, gateways: map[string]bool{}}
	vpc, err := resource.VPCs.Get(ctx, tx, vpcID)
	if err != nil {
		return nil, err
	}
	if vpc != nil {
		v.ranges = vpc.Data.Ranges()
	}
	internet, err := resource.InternetGateways.Of(ctx, tx, vpcID)
	if err != nil {
		return nil, err
	}
	private, err := resource.VpnGateways.Of(ctx, tx, vpcID)
	if err != nil {
		return nil, err
	}
	for _, g := range internet {
		v.gateways[g.ID] = true
	}
	for _, g := range private {
		v.gateways[g.ID] = true
	}
	nats, err := resource.NatGateways.Of(ctx, tx, vpcID)
	if err != nil {
		return nil, err
	}
	v.nats = that(nats, func(n *resource.NatGateway) bool {
		return *n.State == ec2.NatGatewayStatePending || *n.State == ec2.NatGatewayStateAvailable
	})
	instances, err := resource.Instances.Of(ctx, tx, vpcID)
	if err != nil {
		return nil, err
	}
	v.instances = that(instances, func(i *resource.Instance) bool {
		return i.State != nil && (api.Or(i.State.Name, "") == ec2.InstanceStateNameRunning || api.Or(i.State.Name, "") == ec2.InstanceStateNamePending)
	})
	peerings, err := resource.Peerings.All(ctx, tx)
	if err != nil {
		return nil, err
	}
	v.peerings = that(peerings, func(p *resource.Peering) bool {
		return p.Status != nil && api.Or(p.Status.Code, "") == ec2.VpcPeeringConnectionStateReasonCodeActive
	})
	interfaces, err := resource.NetworkInterfaces.Of(ctx, tx, vpcID)
	if err != nil {
		return nil, err
	}
	for _, n := range interfaces {
		v.interfaces[n.ID] = n
	}
	if v.endpoints, err = resource.Endpoints.Of(ctx, tx, vpcID); err != nil {
		return nil, err
	}
	v.vpns, err = resource.VpnConnections.All(ctx, tx)
	return v, err
}

// that gives the ids of the records that are so.
func that[T any](list []*resource.Record[T], so func(*T) bool) map[string]bool {
	ids := map[string]bool{}
	for _, r := range list {
		ids[r.ID] = so(&r.Data)
	}
	return ids
}

// routes are all routes of a table.
func (v *view) routes(t *table) []ec2.Route {
	var list []ec2.Route
	for _, cidr := range v.ranges {
		list = append(list, ec2.Route{
			DestinationCidrBlock: new(cidr.String()), GatewayId: new("local"), Origin: new(ec2.RouteOriginCreateRouteTable), State: new(ec2.RouteStateActive),
		})
	}
	for _, r := range t.Data.Routes {
		v.follow(&r)
		list = append(list, r)
	}
	for _, vpn := range v.vpns {
		gateway := api.Or(vpn.Data.VpnGatewayId, "")
		if api.Or(vpn.Data.State, "") != ec2.VpnStateAvailable || !v.gateways[gateway] || !propagates(t, gateway) {
			continue
		}
		for _, r := range vpn.Data.Routes {
			cidr := api.Or(r.DestinationCidrBlock, "")
			if cidr == "" || slices.ContainsFunc(list, func(other ec2.Route) bool { return api.Or(other.DestinationCidrBlock, "") == cidr }) {
				continue // a static route has priority. source: userguide, "Route priority"
			}
			list = append(list, ec2.Route{
				DestinationCidrBlock: &cidr, GatewayId: &gateway, Origin: new(ec2.RouteOriginEnableVgwRoutePropagation), State: new(ec2.RouteStateActive),
			})
		}
	}
	for _, e := range v.endpoints {
		if !slices.Contains(e.Data.RouteTableIds, t.ID) {
			continue
		}
		for _, l := range resource.AWSPrefixLists(e.Region) {
			if l.Name == api.Or(e.Data.ServiceName, "") {
				list = append(list, ec2.Route{
					DestinationPrefixListId: &l.ID, GatewayId: &e.ID, Origin: new(ec2.RouteOriginCreateRoute), State: stateOf(api.Or(e.Data.State, "") == "available"),
				})
			}
		}
	}
	return list
}

// propagates says whether a table takes the routes of a virtual private gateway.
func propagates(t *table, gateway string) bool {
	return slices.ContainsFunc(t.Data.PropagatingVgws, func(g ec2.PropagatingVgw) bool { return api.Or(g.GatewayId, "") == gateway })
}

// stateOf is the state of a route that leads somewhere, or does not.
func stateOf(leads bool) *string {
	if leads {
		return new(ec2.RouteStateActive)
	}
	return new(ec2.RouteStateBlackhole)
}

// follow works out whether a route leads anywhere, and which instance is behind an interface.
func (v *view) follow(r *ec2.Route) {
	switch {
	case r.GatewayId != nil:
		r.State = stateOf(v.gateways[*r.GatewayId])
	case r.NatGatewayId != nil:
		r.State = stateOf(v.nats[*r.NatGatewayId])
	case r.VpcPeeringConnectionId != nil:
		r.State = stateOf(v.peerings[*r.VpcPeeringConnectionId])
	case r.NetworkInterfaceId != nil:
		r.InstanceId, r.InstanceOwnerId = nil, nil
		n := v.interfaces[*r.NetworkInterfaceId]
		if n == nil || n.Data.Attachment == nil {
			r.State = stateOf(false)
			return
		}
		leads := true
		if id := n.Data.Attachment.InstanceId; id != nil {
			r.InstanceId, r.InstanceOwnerId = id, n.Data.Attachment.InstanceOwnerId
			leads = v.instances[*id]
		}
		r.State = stateOf(leads)
	}
}
