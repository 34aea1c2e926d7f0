package securitygroup_test

import (
	"context"
	"errors"
	"testing"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/securitygroup"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// network is two VPCs in one Region and one in another, with a group in each, and peerings between them.
type network struct {
	db       *store.DB
	ctx      context.Context //nolint:containedctx // of the test
	s        *securitygroup.SecurityGroups
	groups   map[string]string // by VPC
	peerings map[string]*resource.Record[resource.Peering]
}

// newNetwork makes one.
func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{db: storetest.New(t), groups: map[string]string{}, peerings: map[string]*resource.Record[resource.Peering]{}}
	n.ctx, n.s = awstest.As(t, n.db, awstest.Account, awstest.Region), securitygroup.New(n.db)
	ids := map[string]securitygroup.IDs{"vpc-0000000a": securitygroup.NewIDs(), "vpc-0000000b": securitygroup.NewIDs(), "vpc-0000000c": securitygroup.NewIDs()}
	regions := map[string]string{"vpc-0000000a": "us-east-1", "vpc-0000000b": "us-east-1", "vpc-0000000c": "eu-west-1"}
	err := n.db.Update(n.ctx, func(tx *store.Tx) error {
		for vpc, i := range ids {
			v := &resource.Record[resource.VPC]{ID: vpc, Account: awstest.Account, Region: regions[vpc], VPC: vpc}
			if err := resource.VPCs.Put(n.ctx, tx, v); err != nil {
				return err
			}
			if err := securitygroup.CreateDefault(n.ctx, tx, vpc, v.Account, v.Region, i); err != nil {
				return err
			}
			id, err := securitygroup.Default(n.ctx, tx, vpc)
			if err != nil {
				return err
			}
			n.groups[vpc] = id
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// peer gives a peering between two VPCs a status.
func (n *network) peer(t *testing.T, id, from, to, status string) { //nolint:unparam // a peering has two sides
	t.Helper()
	r := &resource.Record[resource.Peering]{ID: id, Account: awstest.Account, Region: "us-east-1", VPC: from}
	r.Data.VpcPeeringConnection = ec2.VpcPeeringConnection{
		VpcPeeringConnectionId: &id, RequesterVpcInfo: &ec2.VpcPeeringConnectionVpcInfo{VpcId: &from}, AccepterVpcInfo: &ec2.VpcPeeringConnectionVpcInfo{VpcId: &to},
		Status: &ec2.VpcPeeringConnectionStateReason{Code: &status},
	}
	if err := n.db.Update(n.ctx, func(tx *store.Tx) error { return resource.Peerings.Put(n.ctx, tx, r) }); err != nil {
		t.Fatal(err)
	}
}

// authorize lets the members of a VPC's group into that of another.
func (n *network) authorize(in, from string) error {
	_, err := n.s.AuthorizeSecurityGroupIngress(n.ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: new(n.groups[in]), IpPermissions: []ec2.IpPermission{{
		IpProtocol: new("-1"), UserIdGroupPairs: []ec2.UserIdGroupPair{{GroupId: new(n.groups[from])}},
	}}})
	return err
}

// code is the code of an error.
func code(err error) string {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e.Code
	}
	return ""
}

// TestGroupsOfPeers lets groups be referred to from another VPC of the Region while a peering is active, in either direction;
// when it is not any more, the rule is stale.
func TestGroupsOfPeers(t *testing.T) {
	const a, b, c = "vpc-0000000a", "vpc-0000000b", "vpc-0000000c"
	n := newNetwork(t)
	if err := n.authorize(a, b); code(err) != "InvalidGroup.NotFound" {
		t.Errorf("without a peering: %v", err)
	}
	n.peer(t, "pcx-0000000a", a, b, "pending-acceptance")
	if err := n.authorize(a, b); code(err) != "InvalidGroup.NotFound" {
		t.Errorf("over a peering that is pending: %v", err)
	}
	n.peer(t, "pcx-0000000a", a, b, "active")
	n.peer(t, "pcx-0000000c", a, c, "active")
	for _, way := range [][2]string{{a, b}, {b, a}} {
		if err := n.authorize(way[0], way[1]); err != nil {
			t.Errorf("from %s to %s: %v", way[1], way[0], err)
		}
	}
	if err := n.authorize(a, c); code(err) != "InvalidGroup.NotFound" {
		t.Errorf("over a peering to another Region: %v", err)
	}

	pair := func() ec2.UserIdGroupPair {
		t.Helper()
		out, err := n.s.DescribeSecurityGroups(n.ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{n.groups[a]}})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range out.SecurityGroups[0].IpPermissions[0].UserIdGroupPairs {
			if *p.GroupId == n.groups[b] {
				return p
			}
		}
		t.Fatal("the rule is not told")
		return ec2.UserIdGroupPair{}
	}
	if p := pair(); *p.VpcId != b || *p.VpcPeeringConnectionId != "pcx-0000000a" || *p.PeeringStatus != "active" || *p.UserId != awstest.Account {
		t.Errorf("%+v", p)
	}
	references, err := n.s.DescribeSecurityGroupReferences(n.ctx, &ec2.DescribeSecurityGroupReferencesInput{GroupId: []string{n.groups[b]}})
	if err != nil || len(references.SecurityGroupReferenceSet) != 1 || *references.SecurityGroupReferenceSet[0].ReferencingVpcId != a ||
		*references.SecurityGroupReferenceSet[0].VpcPeeringConnectionId != "pcx-0000000a" {
		t.Errorf("%+v, %v", references, err)
	}
	stale := func() []ec2.StaleSecurityGroup {
		t.Helper()
		out, err := n.s.DescribeStaleSecurityGroups(n.ctx, &ec2.DescribeStaleSecurityGroupsInput{VpcId: a})
		if err != nil {
			t.Fatal(err)
		}
		return out.StaleSecurityGroupSet
	}
	if list := stale(); len(list) != 0 {
		t.Errorf("stale: %+v", list)
	}
	n.peer(t, "pcx-0000000a", a, b, "deleted")
	if p := pair(); *p.PeeringStatus != "deleted" {
		t.Errorf("%+v", p)
	}
	list := stale()
	if len(list) != 1 || *list[0].GroupId != n.groups[a] || len(list[0].StaleIpPermissions) != 1 || len(list[0].StaleIpPermissionsEgress) != 0 ||
		len(list[0].StaleIpPermissions[0].UserIdGroupPairs) != 1 || *list[0].StaleIpPermissions[0].UserIdGroupPairs[0].GroupId != n.groups[b] {
		t.Errorf("stale: %+v", list)
	}

	// A rule that is stale can still be taken away by what it says.
	if _, err := n.s.RevokeSecurityGroupIngress(n.ctx, &ec2.RevokeSecurityGroupIngressInput{GroupId: new(n.groups[a]), IpPermissions: []ec2.IpPermission{{
		IpProtocol: new("-1"), UserIdGroupPairs: []ec2.UserIdGroupPair{{GroupId: new(n.groups[b])}},
	}}}); err != nil {
		t.Error(err)
	}
	if list := stale(); len(list) != 0 {
		t.Errorf("stale: %+v", list)
	}
}

// TestDeleteDefault removes the group of a VPC, but not past others.
func TestDeleteDefault(t *testing.T) {
	n := newNetwork(t)
	const a = "vpc-0000000a"
	made, err := n.s.CreateSecurityGroup(n.ctx, &ec2.CreateSecurityGroupInput{GroupName: "x", Description: "x", VpcId: new(a)})
	if err != nil {
		t.Fatal(err)
	}
	remove := func() (ok bool) {
		t.Helper()
		if err := n.db.Update(n.ctx, func(tx *store.Tx) (err error) {
			ok, err = securitygroup.DeleteDefault(n.ctx, tx, a)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if remove() {
		t.Error("removed past another")
	}
	if _, err := n.s.DeleteSecurityGroup(n.ctx, &ec2.DeleteSecurityGroupInput{GroupId: made.GroupId}); err != nil {
		t.Fatal(err)
	}
	if !remove() {
		t.Error("not removed")
	}
	if err := n.db.View(n.ctx, func(tx *store.Tx) error {
		rules, err := resource.SecurityGroupRules.Of(n.ctx, tx, a)
		if len(rules) != 0 {
			t.Errorf("rules are left: %v", rules)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
