package vpn

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// mostRoutes limits the static routes of a connection. source: guess
var mostRoutes = resource.Quota{Most: 100, Code: "RouteLimitExceeded", Nouns: "static routes"}

// CreateVpnConnectionRoute says that a range is at the customer's side of a connection.
func (v *VPNs) CreateVpnConnectionRoute(ctx context.Context, in *ec2.CreateVpnConnectionRouteInput) (*ec2.CreateVpnConnectionRouteOutput, error) {
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		c, err := resource.VpnConnections.FindFor(ctx, tx, "ec2:CreateVpnConnectionRoute", in.VpnConnectionId)
		if err != nil {
			return err
		}
		if err := changeable(c); err != nil {
			return err
		}
		cidr, err := resource.Range(in.DestinationCidrBlock, "destinationCidrBlock")
		if err != nil {
			return err
		}
		if routeTo(c, cidr.String()) >= 0 {
			return nil
		}
		if err := mostRoutes.Check(len(c.Data.Routes)); err != nil {
			return err
		}
		c.Data.Routes = append(c.Data.Routes, ec2.VpnStaticRoute{
			DestinationCidrBlock: new(cidr.String()), Source: new(ec2.VpnStaticRouteSourceStatic), State: new(available),
		})
		return resource.VpnConnections.Put(ctx, tx, c)
	})
	return new(ec2.CreateVpnConnectionRouteOutput), err
}

// changeable refuses a connection that is being deleted. source: guess
func changeable(c *connection) error {
	if *c.Data.State == deleting {
		return resource.Errorf("IncorrectState", "The vpnConnection '%s' is being deleted", c.ID)
	}
	return nil
}

// routeTo gives the place of a route in a connection, or -1.
func routeTo(c *connection, cidr string) int {
	return slices.IndexFunc(c.Data.Routes, func(r ec2.VpnStaticRoute) bool { return api.Or(r.DestinationCidrBlock, "") == cidr })
}
