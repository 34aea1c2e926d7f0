// Package routing keeps route tables and what routes lead to: internet gateways, NAT gateways, public addresses, prefix lists.
//
// A route table's record has the routes that were asked for. Those that follow from elsewhere are worked out by [Complete]:
// the local ones from the VPC's ranges, those to gateway endpoints from the endpoints, propagated ones from VPN connections;
// and so is whether a route leads anywhere.
//
// Functions are for siblings: [CreateMain], [OpenMain], [DeleteMain] and [Leave] for a VPC and its subnets, [AssignPublic] for
// whatever has interfaces, [Complete] for whoever must know where routes lead. It uses networkinterface.
package routing

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// Routing is the capability.
type Routing struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *Routing { return &Routing{db} }

// table is a route table as it is kept.
type table = resource.Record[resource.RouteTable]

// routes limits those of a table that are not propagated. source: userguide, "Amazon VPC quotas"
var routes = resource.Quota{Most: 50, Code: "RouteLimitExceeded", Nouns: "routes"}

// IDs are the ids of a main route table and its association, which are made outside of closures.
type IDs struct{ table, association string }

// NewIDs makes the ids of a main route table.
func NewIDs() IDs { return IDs{resource.RouteTables.NewID(), newAssociationID()} }

// newAssociationID makes the id of a route table's association.
func newAssociationID() string { return resource.NewID("rtbassoc") }

// CreateMain makes the route table that comes with a VPC.
func CreateMain(ctx context.Context, tx *store.Tx, vpcID, account, region string, ids IDs) error {
	t := &table{ID: ids.table, Account: account, Region: region, VPC: vpcID, Data: blank(ids.table, vpcID, account, 1)}
	associate(t, ids.association, nil)
	return resource.RouteTables.Put(ctx, tx, t)
}

// blank is a route table that leads nowhere but to the VPC itself.
func blank(id, vpcID, account string, number int) resource.RouteTable {
	t := resource.RouteTable{Number: number}
	t.RouteTableId, t.VpcId, t.OwnerId = &id, &vpcID, &account
	return t
}

// associate adds an association: with a subnet, or as the VPC's main route table.
func associate(t *table, id string, subnetID *string) {
	t.Data.Associations = append(t.Data.Associations, ec2.RouteTableAssociation{
		RouteTableAssociationId: &id, RouteTableId: &t.ID, SubnetId: subnetID, Main: new(subnetID == nil), AssociationState: associated(),
	})
}

// associated is the state of an association.
func associated() *ec2.RouteTableAssociationState {
	return &ec2.RouteTableAssociationState{State: new(ec2.RouteTableAssociationStateCodeAssociated)}
}

// DeleteMain removes the route table that came with a VPC. ok is false when the VPC has others, which stand in the way.
func DeleteMain(ctx context.Context, tx *store.Tx, vpcID string) (ok bool, err error) {
	list, err := resource.RouteTables.Of(ctx, tx, vpcID)
	if err != nil || len(list) > 1 {
		return false, err
	}
	for _, t := range list {
		if err := resource.RouteTables.Delete(ctx, tx, t); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Leave forgets a subnet.
func Leave(ctx context.Context, tx *store.Tx, vpcID, subnetID string) error {
	list, err := resource.RouteTables.Of(ctx, tx, vpcID)
	if err != nil {
		return err
	}
	for _, t := range list {
		kept := slices.DeleteFunc(slices.Clone(t.Data.Associations), func(a ec2.RouteTableAssociation) bool { return api.Or(a.SubnetId, "") == subnetID })
		if len(kept) == len(t.Data.Associations) {
			continue
		}
		t.Data.Associations = kept
		if err := resource.RouteTables.Put(ctx, tx, t); err != nil {
			return err
		}
	}
	return nil
}

// byAssociation finds the route table that has an association, and its place there.
func byAssociation(ctx context.Context, tx *store.Tx, id string) (*table, int, error) {
	list, err := resource.RouteTables.List(ctx, tx)
	if err != nil {
		return nil, 0, err
	}
	for _, t := range list {
		i := slices.IndexFunc(t.Data.Associations, func(a ec2.RouteTableAssociation) bool { return *a.RouteTableAssociationId == id })
		if i >= 0 {
			return t, i, nil
		}
	}
	return nil, 0, noAssociation(id)
}

// noAssociation is the error for an association that there is not. source: aws
func noAssociation(id string) error {
	return resource.Errorf("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", id)
}

// freeNumber is the lowest number that no route table of a VPC has.
func freeNumber(ctx context.Context, tx *store.Tx, vpcID string) (int, error) {
	list, err := resource.RouteTables.Of(ctx, tx, vpcID)
	taken := make([]int, len(list))
	for i, t := range list {
		taken[i] = t.Data.Number
	}
	return resource.FreeNumber(taken), err
}

// differ is the error for things of two networks. source: aws
func differ(one, other string) error {
	return resource.Errorf("InvalidParameterValue", "%s and %s belong to different networks", one, other)
}

// OpenMain makes an internet gateway for a new VPC and a default route to it in the main route table.
func OpenMain(ctx context.Context, tx *store.Tx, vpcID, gateway string) error {
	g := resource.InternetGateways.New(ctx, gateway, vpcID, resource.InternetGateway{})
	g.Data.InternetGateway = newGateway(g)
	if err := resource.InternetGateways.Create(ctx, tx, g); err != nil {
		return err
	}
	list, err := resource.RouteTables.Of(ctx, tx, vpcID)
	if err != nil {
		return err
	}
	for _, t := range list {
		t.Data.Routes = append(t.Data.Routes, ec2.Route{DestinationCidrBlock: new("0.0.0.0/0"), GatewayId: &gateway, Origin: new(ec2.RouteOriginCreateRoute)})
		if err := resource.RouteTables.Put(ctx, tx, t); err != nil {
			return err
		}
	}
	return nil
}
