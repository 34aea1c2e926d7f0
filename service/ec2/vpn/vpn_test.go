package vpn_test

import (
	"testing"
	"time"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/vpn"
	"github.com/vennel/vennel/store"
)

// TestScripts runs the scripts.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }

// TestTelemetry looks at a connection while a host carries it, and afterwards.
func TestTelemetry(t *testing.T) {
	d := awstest.NewDesk(t)
	v := vpn.New(d.DB)
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ctx := d.As("111111111111", "us-east-1", start)
	gateway, err := v.CreateVpnGateway(ctx, &ec2.CreateVpnGatewayInput{Type: "ipsec.1"})
	if err != nil {
		t.Fatal(err)
	}
	site, err := v.CreateCustomerGateway(ctx, &ec2.CreateCustomerGatewayInput{Type: "ipsec.1", IpAddress: new("198.51.100.7")})
	if err != nil {
		t.Fatal(err)
	}
	made, err := v.CreateVpnConnection(ctx, &ec2.CreateVpnConnectionInput{
		Type: "ipsec.1", CustomerGatewayId: *site.CustomerGateway.CustomerGatewayId, VpnGatewayId: gateway.VpnGateway.VpnGatewayId,
		Options: &ec2.VpnConnectionOptionsSpecification{StaticRoutesOnly: new(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	id := *made.VpnConnection.VpnConnectionId
	for i, step := range []struct {
		up, changed bool
		status      string
		since       int
	}{{true, true, "UP", 1}, {true, false, "UP", 1}, {false, true, "DOWN", 3}} {
		d.Change(func(tx *store.Tx) error {
			c, err := resource.VpnConnections.Get(t.Context(), tx, id)
			if err != nil {
				return err
			}
			if changed := c.Data.Carry(step.up, start.Add(time.Duration(i+1)*time.Minute)); changed != step.changed {
				t.Errorf("%d: changed is %v", i, changed)
			}
			return resource.VpnConnections.Put(t.Context(), tx, c)
		})
		out, err := v.DescribeVpnConnections(ctx, &ec2.DescribeVpnConnectionsInput{VpnConnectionIds: []string{id}})
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
