// Package vpn keeps virtual private gateways, customer gateways and the VPN connections between them.
//
// A VPN connection joins a VPC to a site of the host that carries the VPC: to the one whose public address is the customer
// gateway's. The host carries the packets itself, without IPsec. Routes are static. A connection's routes reach the route tables
// of the VPC where its gateway propagates them. It uses no sibling.
package vpn

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// VPNs is the capability.
type VPNs struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *VPNs { return &VPNs{db} }

// The records of this package, and those of route tables.
type (
	gateway    = resource.Record[resource.VpnGateway]
	customer   = resource.Record[resource.CustomerGateway]
	connection = resource.Record[resource.VpnConnection]
	table      = resource.Record[resource.RouteTable]
)

// The states of VPN connections; gateways are available all the time.
const (
	pending   = ec2.VpnStatePending
	available = ec2.VpnStateAvailable
	deleting  = ec2.VpnStateDeleting
)

// The autonomous system numbers that gateways have by default. source: model, "CreateVpnGatewayRequest",
// "CreateCustomerGatewayRequest"
const (
	amazonSide   = 64512
	customerSide = 65000
)

// invalid is the error for most that is wrong with a request.
func invalid(format string, args ...any) error {
	return resource.Errorf("InvalidParameterValue", format, args...)
}

// checkType refuses other types than the only one. source: aws
func checkType(kind string) error {
	if kind != ec2.GatewayTypeIpsec1 {
		return invalid("Value (%s) for parameter type is invalid. Invalid type", kind)
	}
	return nil
}

// busy is the error for a gateway that is in use. source: aws
func busy(noun, id string) error {
	return resource.Errorf("IncorrectState", "The %s '%s' is in use.", noun, id)
}

// connections lists the connections of the caller's account and Region that are of a gateway, on either side.
func connections(ctx context.Context, tx *store.Tx, gatewayID string) ([]*connection, error) {
	list, err := resource.VpnConnections.List(ctx, tx)
	return slices.DeleteFunc(list, func(c *connection) bool {
		return api.Or(c.Data.VpnGatewayId, "") != gatewayID && api.Or(c.Data.CustomerGatewayId, "") != gatewayID
	}), err
}

// propagating says whether a route table takes the routes of a gateway.
func propagating(t *table, gatewayID string) bool {
	return slices.ContainsFunc(t.Data.PropagatingVgws, func(g ec2.PropagatingVgw) bool { return api.Or(g.GatewayId, "") == gatewayID })
}

// stop lets a route table no longer take the routes of a gateway.
func stop(ctx context.Context, tx *store.Tx, t *table, gatewayID string) error {
	t.Data.PropagatingVgws = slices.DeleteFunc(t.Data.PropagatingVgws, func(g ec2.PropagatingVgw) bool { return api.Or(g.GatewayId, "") == gatewayID })
	return resource.RouteTables.Put(ctx, tx, t)
}
