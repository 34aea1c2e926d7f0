package vpn

import (
	"context"
	"encoding/xml"
	"fmt"
	"reflect"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// perGateway limits the connections of a virtual private gateway. source: userguide, "Site-to-Site VPN quotas"
var perGateway = resource.Quota{Most: 10, Code: "VpnConnectionLimitExceeded", Nouns: "VPN connections"}

// CreateVpnConnection makes a connection between a customer gateway and a virtual private gateway. It is available when the hosts
// carry what there is of it.
func (v *VPNs) CreateVpnConnection(ctx context.Context, in *ec2.CreateVpnConnectionInput) (*ec2.CreateVpnConnectionOutput, error) {
	const action = "ec2:CreateVpnConnection"
	tags, err := resource.TagsFor(in.TagSpecifications, resource.VpnConnections.Name)
	if err != nil {
		return nil, err
	}
	keys := []iam.About{iam.Key("ec2:gatewaytype", "VGW"), iam.Key("ec2:routingtype", routing(in.Options))}
	if err := resource.VpnConnections.AllowNew(ctx, action, tags, keys...); err != nil {
		return nil, err
	}
	id, out := resource.VpnConnections.NewID(), new(ec2.CreateVpnConnectionOutput)
	err = v.db.Update(ctx, func(tx *store.Tx) error {
		from, err := resource.CustomerGateways.FindFor(ctx, tx, action, in.CustomerGatewayId)
		if err != nil {
			return err
		}
		if in.VpnGatewayId == nil {
			return needsGateway(in)
		}
		to, err := resource.VpnGateways.FindFor(ctx, tx, action, *in.VpnGatewayId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if err := checkType(in.Type); err != nil {
			return err
		}
		if err := checkOptions(in); err != nil {
			return err
		}
		of, err := connections(ctx, tx, to.ID)
		if err != nil {
			return err
		}
		if err := perGateway.Check(len(of)); err != nil {
			return err
		}
		c := resource.VpnConnections.New(ctx, id, "", resource.VpnConnection{VpnConnection: ec2.VpnConnection{
			VpnConnectionId: &id, Type: &in.Type, CustomerGatewayId: &from.ID, VpnGatewayId: &to.ID, State: new(pending), Category: new("VPN"),
			GatewayAssociationState: new(ec2.GatewayAssociationStateAssociated), Options: &ec2.VpnConnectionOptions{
				EnableAcceleration: new(false), StaticRoutesOnly: new(true), LocalIpv4NetworkCidr: new(everywhere), RemoteIpv4NetworkCidr: new(everywhere),
				OutsideIpAddressType: new("PublicIpv4"), TunnelInsideIpVersion: new(ec2.TunnelInsideIpVersionIpv4),
			},
		}})
		c.Tags, c.Data.Changed = tags, api.CallFrom(ctx).Time.UnixMilli()
		if c.Data.Number, err = resource.LinkNumber(ctx, tx); err != nil {
			return err
		}
		if err := resource.VpnConnections.Create(ctx, tx, c); err != nil {
			return err
		}
		if err := complete(ctx, tx, []*connection{c}); err != nil {
			return err
		}
		out.VpnConnection = &c.Data.VpnConnection
		return nil
	})
	return out, err
}

// routing is a request's kind of routing, as the condition key says it.
func routing(o *ec2.VpnConnectionOptionsSpecification) string {
	if o != nil && api.Or(o.StaticRoutesOnly, false) {
		return "static"
	}
	return "dynamic"
}

// needsGateway is the error for a request without a virtual private gateway.
func needsGateway(in *ec2.CreateVpnConnectionInput) error {
	if in.TransitGatewayId != nil || in.VpnConcentratorId != nil {
		return resource.Unsupported("A VPN connection of anything but a virtual private gateway")
	}
	return api.Errorf(api.Missing, "The request must contain the parameter vpnGatewayId") // source: aws
}

// everywhere is the range that a connection is about: all of it.
const everywhere = "0.0.0.0/0"

// checkOptions refuses what a connection here would not do.
func checkOptions(in *ec2.CreateVpnConnectionInput) error {
	o := in.Options
	switch {
	case in.TransitGatewayId != nil, in.VpnConcentratorId != nil:
		return resource.Errorf("InvalidParameterCombination", "A VPN connection is of one gateway") // source: guess
	case in.PreSharedKeyStorage != nil && *in.PreSharedKeyStorage != "Standard":
		return resource.Unsupported("A pre-shared key in Secrets Manager")
	case o == nil || !api.Or(o.StaticRoutesOnly, false):
		return resource.Unsupported("Dynamic routing (BGP) instead of StaticRoutesOnly")
	case api.Or(o.EnableAcceleration, false):
		return resource.Unsupported("Acceleration")
	case api.Or(o.TunnelInsideIpVersion, ec2.TunnelInsideIpVersionIpv4) != ec2.TunnelInsideIpVersionIpv4, o.LocalIpv6NetworkCidr != nil, o.RemoteIpv6NetworkCidr != nil:
		return resource.NoIPv6()
	case api.Or(o.LocalIpv4NetworkCidr, everywhere) != everywhere, api.Or(o.RemoteIpv4NetworkCidr, everywhere) != everywhere:
		return resource.Unsupported("A connection about some addresses only")
	case api.Or(o.OutsideIpAddressType, "PublicIpv4") != "PublicIpv4", o.TransportTransitGatewayAttachmentId != nil:
		return resource.Unsupported("A connection over a private network")
	case api.Or(o.TunnelBandwidth, ec2.VpnTunnelBandwidthStandard) != ec2.VpnTunnelBandwidthStandard:
		return resource.Unsupported("Another bandwidth")
	}
	for _, t := range o.TunnelOptions {
		t.EnableTunnelLifecycleControl, t.LogOptions = nil, quiet(t.LogOptions)
		if !reflect.ValueOf(t).IsZero() {
			return resource.Unsupported("The configuration of an IPsec tunnel")
		}
	}
	return nil
}

// quiet gives nil for options by which nothing is logged.
func quiet(o *ec2.VpnTunnelLogOptionsSpecification) *ec2.VpnTunnelLogOptionsSpecification {
	if o == nil || o.CloudWatchLogOptions == nil || !api.Or(o.CloudWatchLogOptions.LogEnabled, false) && !api.Or(o.CloudWatchLogOptions.BgpLogEnabled, false) {
		return nil
	}
	return o
}

// configuration is the document that AWS gives for the customer's device, as far as it is true here: which gateways there are, and
// that routes are static. There are two tunnels in it, because clients look for two.
type configuration struct {
	XMLName    xml.Name        `xml:"vpn_connection"`
	ID         string          `xml:"id,attr"`
	Comment    string          `xml:",comment"`
	Customer   string          `xml:"customer_gateway_id"`
	Gateway    string          `xml:"vpn_gateway_id"`
	Type       string          `xml:"vpn_connection_type"`
	Attributes string          `xml:"vpn_connection_attributes"`
	Tunnels    [tunnels]tunnel `xml:"ipsec_tunnel"`
}

// tunnels is how many tunnels AWS's connections have.
const tunnels = 2

// tunnel is what there is of a tunnel.
type tunnel struct {
	Outside string `xml:"customer_gateway>tunnel_outside_address>ip_address"`
}

// complete works out what follows of connections: the document for the customer's device, and whether hosts carry them.
func complete(ctx context.Context, tx *store.Tx, list []*connection) error {
	for _, c := range list {
		d := &c.Data
		d.Tags = resource.TagList(c.Tags)
		if d.Routes == nil {
			d.Routes = []ec2.VpnStaticRoute{}
		}
		d.VgwTelemetry = []ec2.VgwTelemetry{}
		status, message := ec2.TelemetryStatusDOWN, "No host carries the connection"
		if d.Up {
			status, message = ec2.TelemetryStatusUP, ""
		}
		for range tunnels {
			d.VgwTelemetry = append(d.VgwTelemetry, ec2.VgwTelemetry{
				AcceptedRouteCount: new(int64(len(d.Routes))), LastStatusChange: new(milliseconds(d.Changed)), Status: &status, StatusMessage: &message,
			})
		}
		from, err := resource.CustomerGateways.Get(ctx, tx, *d.CustomerGatewayId)
		if err != nil {
			return err
		}
		if from == nil {
			continue // it goes with its connections only
		}
		document := configuration{
			ID: c.ID, Customer: *d.CustomerGatewayId, Gateway: *d.VpnGatewayId, Type: *d.Type, Attributes: "NoBGPVPNConnection",
			Comment: " The host that carries the VPC carries this connection to the site with the public address of the customer gateway. There is no IPsec: no keys, and nothing to set up. ",
		}
		for i := range document.Tunnels {
			document.Tunnels[i].Outside = *from.Data.IpAddress
		}
		text, err := xml.MarshalIndent(&document, "", "  ")
		if err != nil {
			return fmt.Errorf("the configuration of %s: %w", c.ID, err)
		}
		d.CustomerGatewayConfiguration = new(xml.Header + string(text))
	}
	return nil
}
