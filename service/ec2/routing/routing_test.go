package routing_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/routing"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// TestScripts runs the operation scripts.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }

// TestAllocateAddressAtOnce takes addresses at the same time: nobody has another's, and nobody more than the quota allows.
func TestAllocateAddressAtOnce(t *testing.T) {
	w := awstest.New(t)
	const callers = 9
	errs := make([]error, callers)
	outs := make([]ec2.AllocateAddressOutput, callers)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			errs[i] = w.Client("ec2", w.Admin).Call(t.Context(), "AllocateAddress", new(ec2.AllocateAddressInput), &outs[i])
		})
	}
	group.Wait()
	addresses := map[string]bool{}
	for i, err := range errs {
		switch {
		case err == nil:
			addresses[*outs[i].PublicIp] = true
		case awstest.Code(err) != "AddressLimitExceeded":
			t.Error(err)
		}
	}
	if len(addresses) != 5 {
		t.Errorf("there are %d addresses", len(addresses))
	}
}

// TestAssignPublic gives an interface a public address of its own: it has one only, nobody else has it, and it goes with the
// interface.
func TestAssignPublic(t *testing.T) {
	db := storetest.New(t)
	ctx := api.WithCall(t.Context(), &api.Call{Account: awstest.Account, Region: awstest.Region, Time: time.Now()})
	update := func(f func(tx *store.Tx) error) {
		t.Helper()
		if err := db.Update(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	var interfaces []*resource.Record[resource.NetworkInterface]
	for _, private := range []string{"10.0.0.4", "10.0.0.5"} {
		id := resource.NetworkInterfaces.NewID()
		n := resource.NetworkInterfaces.New(ctx, id, "vpc-1", resource.NetworkInterface{})
		n.Data.PrivateIpAddress = &private
		n.Data.PrivateIpAddresses = []ec2.NetworkInterfacePrivateIpAddress{{PrivateIpAddress: &private, Primary: new(true)}}
		interfaces = append(interfaces, n)
		update(func(tx *store.Tx) error { return resource.NetworkInterfaces.Put(ctx, tx, n) })
		for range 2 {
			ids := routing.NewPublicIDs()
			update(func(tx *store.Tx) error { return routing.AssignPublic(ctx, tx, n, ids) })
		}
	}
	public := func() (list []string) {
		update(func(tx *store.Tx) error {
			list = nil
			all, err := resource.Addresses.All(ctx, tx)
			for _, a := range all {
				if !a.Data.Automatic || !resource.ElasticRange.Contains(resource.Addr(a.Data.PublicIp)) || a.VPC != "vpc-1" {
					t.Errorf("%+v", a)
				}
				list = append(list, *a.Data.PublicIp)
			}
			return err
		})
		return list
	}
	if list := public(); len(list) != 2 || list[0] == list[1] {
		t.Errorf("the addresses are %v", list)
	}
	update(func(tx *store.Tx) error { return networkinterface.Remove(ctx, tx, interfaces[0].ID) })
	if list := public(); len(list) != 1 {
		t.Errorf("the addresses are %v", list)
	}
}

// put puts a record of a VPC.
func put[T any](ctx context.Context, tx *store.Tx, k *resource.Kind[T], id, vpc string, data T) error {
	return k.Put(ctx, tx, k.New(ctx, id, vpc, data))
}

// TestComplete works out where the routes of a table lead, for all kinds of targets, whole and broken.
func TestComplete(t *testing.T) {
	db := storetest.New(t)
	ctx := api.WithCall(t.Context(), &api.Call{Account: awstest.Account, Region: awstest.Region, Time: time.Now()})
	state := func(name string) *ec2.InstanceState { return &ec2.InstanceState{Name: &name} }
	held := func(by string) resource.NetworkInterface {
		var n resource.NetworkInterface
		n.Attachment = &ec2.NetworkInterfaceAttachment{InstanceId: api.Given(by), InstanceOwnerId: new(awstest.Account)}
		return n
	}
	to := func(cidr string, set func(*ec2.Route)) ec2.Route {
		r := ec2.Route{DestinationCidrBlock: &cidr, Origin: new(ec2.RouteOriginCreateRoute)}
		set(&r)
		return r
	}
	nat := func(state string) (n resource.NatGateway) {
		n.State, n.NatGatewayAddresses = &state, []ec2.NatGatewayAddress{{}}
		return n
	}
	peering := func(state string) (p resource.Peering) {
		p.Status = &ec2.VpcPeeringConnectionStateReason{Code: &state}
		return p
	}
	vpn := func(state, gateway string, cidrs ...string) (v resource.VpnConnection) {
		v.State, v.VpnGatewayId = &state, &gateway
		for _, cidr := range cidrs {
			v.Routes = append(v.Routes, ec2.VpnStaticRoute{DestinationCidrBlock: &cidr})
		}
		return v
	}
	s3 := resource.AWSPrefixLists(awstest.Region)[0]
	endpoint := func(state string, tables ...string) (e resource.Endpoint) {
		e.State, e.ServiceName, e.RouteTableIds = &state, &s3.Name, tables
		return e
	}
	var table resource.RouteTable
	table.PropagatingVgws = []ec2.PropagatingVgw{{GatewayId: new("vgw-here")}, {GatewayId: new("vgw-away")}}
	targets := []struct {
		id    string
		leads bool
	}{
		{"igw-here", true}, {"igw-away", false}, {"vgw-here", true}, {"vgw-away", false},
		{"nat-pending", true}, {"nat-available", true}, {"nat-deleted", false}, {"nat-failed", false},
		{"eni-running", true}, {"eni-stopped", false}, {"eni-service", true}, {"eni-free", false}, {"eni-none", false},
		{"pcx-active", true}, {"pcx-deleted", false}, {"pcx-none", false},
	}
	for i, target := range targets {
		table.Routes = append(table.Routes, to("172.16."+string(rune('0'+i/10))+string(rune('0'+i%10))+".0/24", func(r *ec2.Route) {
			switch target.id[:3] {
			case "igw", "vgw":
				r.GatewayId = &target.id
			case "nat":
				r.NatGatewayId = &target.id
			case "eni":
				r.NetworkInterfaceId = &target.id
			case "pcx":
				r.VpcPeeringConnectionId = &target.id
			}
		}))
	}
	table.Routes = append(table.Routes, to("192.168.0.0/24", func(r *ec2.Route) { r.GatewayId = new("igw-here") }))
	var got []*resource.Record[resource.RouteTable]
	err := db.Update(ctx, func(tx *store.Tx) error {
		vpc := resource.VPC{}
		vpc.CidrBlockAssociationSet = []ec2.VpcCidrBlockAssociation{{CidrBlock: new("10.0.0.0/16")}, {CidrBlock: new("100.64.0.0/20")}}
		var running, stopped resource.Instance
		running.State, stopped.State = state("running"), state("stopped")
		for _, err := range []error{
			put(ctx, tx, resource.VPCs, "vpc-1", "vpc-1", vpc),
			put(ctx, tx, resource.InternetGateways, "igw-here", "vpc-1", resource.InternetGateway{}),
			put(ctx, tx, resource.InternetGateways, "igw-away", "vpc-2", resource.InternetGateway{}),
			put(ctx, tx, resource.VpnGateways, "vgw-here", "vpc-1", resource.VpnGateway{}),
			put(ctx, tx, resource.VpnGateways, "vgw-away", "", resource.VpnGateway{}),
			put(ctx, tx, resource.NatGateways, "nat-pending", "vpc-1", nat("pending")),
			put(ctx, tx, resource.NatGateways, "nat-available", "vpc-1", nat("available")),
			put(ctx, tx, resource.NatGateways, "nat-deleted", "vpc-1", nat("deleted")),
			put(ctx, tx, resource.NatGateways, "nat-failed", "vpc-1", nat("failed")),
			put(ctx, tx, resource.Instances, "i-running", "vpc-1", running),
			put(ctx, tx, resource.Instances, "i-stopped", "vpc-1", stopped),
			put(ctx, tx, resource.NetworkInterfaces, "eni-running", "vpc-1", held("i-running")),
			put(ctx, tx, resource.NetworkInterfaces, "eni-stopped", "vpc-1", held("i-stopped")),
			put(ctx, tx, resource.NetworkInterfaces, "eni-service", "vpc-1", held("")),
			put(ctx, tx, resource.NetworkInterfaces, "eni-free", "vpc-1", resource.NetworkInterface{}),
			put(ctx, tx, resource.Peerings, "pcx-active", "vpc-1", peering("active")),
			put(ctx, tx, resource.Peerings, "pcx-deleted", "vpc-1", peering("deleted")),
			put(ctx, tx, resource.VpnConnections, "vpn-1", "", vpn("available", "vgw-here", "192.168.0.0/24", "192.168.1.0/24")),
			put(ctx, tx, resource.VpnConnections, "vpn-2", "", vpn("pending", "vgw-here", "192.168.2.0/24")),
			put(ctx, tx, resource.VpnConnections, "vpn-3", "", vpn("available", "vgw-away", "192.168.3.0/24")),
			put(ctx, tx, resource.VpnConnections, "vpn-4", "", vpn("available", "vgw-other", "192.168.4.0/24")),
			put(ctx, tx, resource.Endpoints, "vpce-1", "vpc-1", endpoint("available", "rtb-1")),
			put(ctx, tx, resource.Endpoints, "vpce-2", "vpc-1", endpoint("pending", "rtb-0", "rtb-1")),
			put(ctx, tx, resource.Endpoints, "vpce-3", "vpc-1", endpoint("available", "rtb-0")),
		} {
			if err != nil {
				return err
			}
		}
		got = []*resource.Record[resource.RouteTable]{
			resource.RouteTables.New(ctx, "rtb-1", "vpc-1", table), resource.RouteTables.New(ctx, "rtb-2", "vpc-1", resource.RouteTable{}),
		}
		return routing.Complete(ctx, tx, got)
	})
	if err != nil {
		t.Fatal(err)
	}
	line := func(r ec2.Route) string {
		var parts []string
		for _, p := range []*string{r.DestinationCidrBlock, r.DestinationPrefixListId, r.GatewayId, r.NatGatewayId, r.NetworkInterfaceId, r.InstanceId, r.VpcPeeringConnectionId, r.Origin, r.State} {
			if p != nil {
				parts = append(parts, *p)
			}
		}
		return strings.Join(parts, " ")
	}
	lines := func(i int) (list []string) {
		for _, r := range got[i].Data.Routes {
			list = append(list, line(r))
		}
		return list
	}
	local := []string{"10.0.0.0/16 local CreateRouteTable active", "100.64.0.0/20 local CreateRouteTable active"}
	want := slices.Clone(local)
	for i, target := range targets {
		words := []string{*table.Routes[i].DestinationCidrBlock, target.id}
		if who, ok := map[string]string{"eni-running": "i-running", "eni-stopped": "i-stopped"}[target.id]; ok {
			words = append(words, who)
		}
		want = append(want, strings.Join(append(words, "CreateRoute", map[bool]string{true: "active", false: "blackhole"}[target.leads]), " "))
	}
	want = append(want, "192.168.0.0/24 igw-here CreateRoute active", "192.168.1.0/24 vgw-here EnableVgwRoutePropagation active",
		s3.ID+" vpce-1 CreateRoute active", s3.ID+" vpce-2 CreateRoute blackhole")
	if have := lines(0); !slices.Equal(have, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
	if have := lines(1); !slices.Equal(have, local) {
		t.Errorf("the other table has %v", have)
	}
}
