package vpn_test

import (
	"context"
	"testing"
	"time"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/routing"
	"github.com/vennel/vennel/service/ec2/vpc"
	"github.com/vennel/vennel/service/ec2/vpn"
	"github.com/vennel/vennel/store"
)

// TestScripts runs the scripts.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }

// start is when the tests begin.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// lane is a gateway on each side.
type lane struct {
	*awstest.Desk
	ctx           context.Context
	vpns          *vpn.VPNs
	gateway, site string
}

// open makes the gateways.
func open(t *testing.T) *lane {
	d := awstest.NewDesk(t)
	l := &lane{Desk: d, ctx: d.As("111111111111", "us-east-1", start), vpns: vpn.New(d.DB)}
	gateway, err := l.vpns.CreateVpnGateway(l.ctx, &ec2.CreateVpnGatewayInput{Type: "ipsec.1"})
	if err != nil {
		t.Fatal(err)
	}
	site, err := l.vpns.CreateCustomerGateway(l.ctx, &ec2.CreateCustomerGatewayInput{Type: "ipsec.1", IpAddress: new("198.51.100.7")})
	if err != nil {
		t.Fatal(err)
	}
	l.gateway, l.site = *gateway.VpnGateway.VpnGatewayId, *site.CustomerGateway.CustomerGatewayId
	return l
}

// connect makes a connection.
func (l *lane) connect() (id string, err error) {
	made, err := l.vpns.CreateVpnConnection(l.ctx, &ec2.CreateVpnConnectionInput{
		Type: "ipsec.1", CustomerGatewayId: l.site, VpnGatewayId: &l.gateway, Options: &ec2.VpnConnectionOptionsSpecification{StaticRoutesOnly: new(true)},
	})
	if err != nil {
		return "", err
	}
	return *made.VpnConnection.VpnConnectionId, nil
}

// change changes a connection, as the network does.
func (l *lane) change(id string, f func(*resource.VpnConnection)) {
	l.T.Helper()
	l.Change(func(tx *store.Tx) error {
		c, err := resource.VpnConnections.Get(l.T.Context(), tx, id)
		if err != nil {
			return err
		}
		f(&c.Data)
		return resource.VpnConnections.Put(l.T.Context(), tx, c)
	})
}

// TestQuota makes one connection too many. source: userguide, "Site-to-Site VPN quotas"
func TestQuota(t *testing.T) {
	l := open(t)
	for range 10 {
		if _, err := l.connect(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.connect(); awstest.Code(err) != "VpnConnectionLimitExceeded" {
		t.Error(err)
	}
}

// TestPropagation wants the routes of a connection in a route table, while it is available and its gateway is attached. source:
// userguide, "Route propagation"
func TestPropagation(t *testing.T) {
	l := open(t)
	vpcs, tables := vpc.New(l.DB), routing.New(l.DB)
	v, err := vpcs.CreateVpc(l.ctx, &ec2.CreateVpcInput{CidrBlock: new("10.0.0.0/16")})
	if err != nil {
		t.Fatal(err)
	}
	routes := func() (id string, propagated []string) {
		t.Helper()
		out, err := tables.DescribeRouteTables(l.ctx, &ec2.DescribeRouteTablesInput{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.RouteTables[0].Routes {
			if *r.Origin == ec2.RouteOriginEnableVgwRoutePropagation && *r.GatewayId == l.gateway {
				propagated = append(propagated, *r.DestinationCidrBlock)
			}
		}
		return *out.RouteTables[0].RouteTableId, propagated
	}
	table, _ := routes()
	if _, err := l.vpns.AttachVpnGateway(l.ctx, &ec2.AttachVpnGatewayInput{VpcId: *v.Vpc.VpcId, VpnGatewayId: l.gateway}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.vpns.EnableVgwRoutePropagation(l.ctx, &ec2.EnableVgwRoutePropagationInput{GatewayId: l.gateway, RouteTableId: table}); err != nil {
		t.Fatal(err)
	}
	id, err := l.connect()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.vpns.CreateVpnConnectionRoute(l.ctx, &ec2.CreateVpnConnectionRouteInput{VpnConnectionId: id, DestinationCidrBlock: "192.168.0.0/16"}); err != nil {
		t.Fatal(err)
	}
	if _, list := routes(); len(list) != 0 {
		t.Errorf("a connection that is pending has %v", list)
	}
	l.change(id, func(c *resource.VpnConnection) { c.State = new(ec2.VpnStateAvailable) })
	if _, list := routes(); len(list) != 1 || list[0] != "192.168.0.0/16" {
		t.Errorf("a connection that is available has %v", list)
	}
	if _, err := l.vpns.DetachVpnGateway(l.ctx, &ec2.DetachVpnGatewayInput{VpcId: *v.Vpc.VpcId, VpnGatewayId: l.gateway}); err != nil {
		t.Fatal(err)
	}
	if _, list := routes(); len(list) != 0 {
		t.Errorf("a gateway that is detached has %v", list)
	}
}

// TestTelemetry looks at a connection while a host carries it, and afterwards.
func TestTelemetry(t *testing.T) {
	l := open(t)
	id, err := l.connect()
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		up, changed bool
		status      string
		since       int
	}{{true, true, "UP", 1}, {true, false, "UP", 1}, {false, true, "DOWN", 3}} {
		l.change(id, func(c *resource.VpnConnection) {
			if changed := c.Carry(step.up, start.Add(time.Duration(i+1)*time.Minute)); changed != step.changed {
				t.Errorf("%d: changed is %v", i, changed)
			}
		})
		out, err := l.vpns.DescribeVpnConnections(l.ctx, &ec2.DescribeVpnConnectionsInput{VpnConnectionIds: []string{id}})
		if err != nil {
			t.Fatal(err)
		}
		for _, tunnel := range out.VpnConnections[0].VgwTelemetry {
			if since := start.Add(time.Duration(step.since) * time.Minute); *tunnel.Status != step.status || !tunnel.LastStatusChange.Equal(since) {
				t.Errorf("%d: %s since %v, want %s since %v", i, *tunnel.Status, *tunnel.LastStatusChange, step.status, since)
			}
		}
	}
}
