package peering_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ec2/peering"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/vpc"
	"github.com/vennel/vennel/store"
)

// TestScripts runs the scripts.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }

// The two accounts of the tests, and when they begin.
const ours, theirs = "111111111111", "222222222222"

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// neighbours are VPCs of several accounts and Regions.
type neighbours struct {
	*awstest.Desk
	peerings *peering.Peerings
	vpcs     *vpc.VPCs
}

// meet opens a database for neighbours.
func meet(t *testing.T) *neighbours {
	d := awstest.NewDesk(t)
	return &neighbours{d, peering.New(d.DB), vpc.New(d.DB)}
}

// vpc makes a VPC.
func (n *neighbours) vpc(ctx context.Context, cidr string) string {
	n.T.Helper()
	out, err := n.vpcs.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: &cidr})
	if err != nil {
		n.T.Fatal(err)
	}
	return *out.Vpc.VpcId
}

// ask makes a request, and gives its id.
func (n *neighbours) ask(ctx context.Context, from, to, account, region string) string {
	n.T.Helper()
	out, err := n.peerings.CreateVpcPeeringConnection(ctx, &ec2.CreateVpcPeeringConnectionInput{
		VpcId: from, PeerVpcId: &to, PeerOwnerId: api.Given(account), PeerRegion: api.Given(region),
	})
	if err != nil {
		n.T.Fatal(err)
	}
	return *out.VpcPeeringConnection.VpcPeeringConnectionId
}

// accept agrees to a request.
func (n *neighbours) accept(ctx context.Context, id string) error {
	_, err := n.peerings.AcceptVpcPeeringConnection(ctx, &ec2.AcceptVpcPeeringConnectionInput{VpcPeeringConnectionId: id})
	return err
}

// carry makes a connection active, as the network does.
func (n *neighbours) carry(id string) {
	n.T.Helper()
	n.Change(func(tx *store.Tx) error {
		r, err := resource.Peerings.Get(n.T.Context(), tx, id)
		if err != nil {
			return err
		}
		r.Data.Status.Code = new(ec2.VpcPeeringConnectionStateReasonCodeActive)
		return resource.Peerings.Put(n.T.Context(), tx, r)
	})
}

// state is how a caller sees a connection, "" for not at all.
func (n *neighbours) state(ctx context.Context, id string) string {
	n.T.Helper()
	out, err := n.peerings.DescribeVpcPeeringConnections(ctx, &ec2.DescribeVpcPeeringConnectionsInput{})
	if err != nil {
		n.T.Fatal(err)
	}
	one, err := n.peerings.DescribeVpcPeeringConnections(ctx, &ec2.DescribeVpcPeeringConnectionsInput{VpcPeeringConnectionIds: []string{id}})
	for _, p := range out.VpcPeeringConnections {
		if *p.VpcPeeringConnectionId != id {
			continue
		}
		if err != nil || *one.VpcPeeringConnections[0].Status.Code != *p.Status.Code {
			n.T.Errorf("%s is listed, but by its id: %v", id, err)
		}
		return *p.Status.Code
	}
	if awstest.Code(err) != "InvalidVpcPeeringConnectionID.NotFound" {
		n.T.Errorf("%s is not listed, but by its id: %v", id, err)
	}
	return ""
}

// wants fails the test unless an error has a code.
func wants(t *testing.T, err error, code string) {
	t.Helper()
	if awstest.Code(err) != code {
		t.Errorf("%v, want %s", err, code)
	}
}

// TestAccounts joins VPCs of two accounts and two Regions. source: userguide, "VPC peering connection lifecycle"
func TestAccounts(t *testing.T) {
	n := meet(t)
	us, them := n.As(ours, "us-east-1", start), n.As(theirs, "eu-west-1", start)
	a, b := n.vpc(us, "10.0.0.0/16"), n.vpc(them, "10.1.0.0/16")
	id := n.ask(us, a, b, theirs, "eu-west-1")
	if s := n.state(us, id); s != "pending-acceptance" {
		t.Errorf("the requester sees %s", s)
	}
	if s := n.state(them, id); s != "pending-acceptance" {
		t.Errorf("the accepter sees %s", s)
	}
	if s := n.state(n.As(theirs, "us-east-1", start), id); s != "" {
		t.Errorf("in another Region the accepter sees %s", s)
	}
	if s := n.state(n.As("333333333333", "eu-west-1", start), id); s != "" {
		t.Errorf("a third account sees %s", s)
	}
	wants(t, n.accept(us, id), "OperationNotPermitted")
	if err := n.accept(them, id); err != nil {
		t.Fatal(err)
	}
	wants(t, n.accept(them, id), "InvalidStateTransition")
	modify := func(ctx context.Context, requester bool) error {
		in := &ec2.ModifyVpcPeeringConnectionOptionsInput{VpcPeeringConnectionId: id}
		o := &ec2.PeeringConnectionOptionsRequest{AllowDnsResolutionFromRemoteVpc: new(true)}
		if in.AccepterPeeringConnectionOptions = o; requester {
			in.AccepterPeeringConnectionOptions, in.RequesterPeeringConnectionOptions = nil, o
		}
		_, err := n.peerings.ModifyVpcPeeringConnectionOptions(ctx, in)
		return err
	}
	wants(t, modify(us, true), "OperationNotPermitted") // it is not active yet
	n.carry(id)
	wants(t, modify(us, true), "InvalidVpcPeeringConnectionState.DnsHostnamesDisabled")
	if _, err := n.vpcs.ModifyVpcAttribute(us, &ec2.ModifyVpcAttributeInput{VpcId: a, EnableDnsHostnames: &ec2.AttributeBooleanValue{Value: new(true)}}); err != nil {
		t.Fatal(err)
	}
	wants(t, modify(us, false), "OperationNotPermitted") // it is not theirs
	if err := modify(us, true); err != nil {
		t.Error(err)
	}
	later := start.Add(time.Hour)
	if _, err := n.peerings.DeleteVpcPeeringConnection(n.As(theirs, "eu-west-1", later), &ec2.DeleteVpcPeeringConnectionInput{VpcPeeringConnectionId: id}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		account, region string
		after           time.Duration
		want            string
	}{
		{theirs, "eu-west-1", time.Hour, "deleted"}, {theirs, "eu-west-1", 2 * time.Hour, ""},
		{ours, "us-east-1", 2 * time.Hour, "deleted"}, {ours, "us-east-1", 48 * time.Hour, ""},
	} {
		if s := n.state(n.As(c.account, c.region, later.Add(c.after)), id); s != c.want {
			t.Errorf("%s sees %q %v after it was deleted, want %q", c.account, s, c.after, c.want)
		}
	}
	n.ask(n.As(ours, "us-east-1", later.Add(48*time.Hour)), a, b, theirs, "eu-west-1")
	n.Change(func(tx *store.Tx) error {
		if r, err := resource.Peerings.Get(t.Context(), tx, id); err != nil || r != nil {
			t.Errorf("what nobody sees is still there: %v", err)
		}
		return nil
	})
}

// TestExpiry lets a request expire. source: userguide, "VPC peering connection lifecycle"
func TestExpiry(t *testing.T) {
	n := meet(t)
	us := n.As(ours, "us-east-1", start)
	a, b := n.vpc(us, "10.0.0.0/16"), n.vpc(us, "10.1.0.0/16")
	id := n.ask(us, a, b, "", "")
	at := func(after time.Duration) context.Context { return n.As(ours, "us-east-1", start.Add(after)) }
	if s := n.state(at(168*time.Hour-1), id); s != "pending-acceptance" {
		t.Error(s)
	}
	if s := n.state(at(168*time.Hour), id); s != "expired" {
		t.Error(s)
	}
	wants(t, n.accept(at(168*time.Hour), id), "InvalidStateTransition")
	if s := n.state(at((168+48)*time.Hour), id); s != "" {
		t.Error(s)
	}
	if _, err := n.vpcs.DeleteVpc(at(168*time.Hour), &ec2.DeleteVpcInput{VpcId: a}); err != nil {
		t.Error(err)
	}
}

// TestQuotas makes one request too many, and one connection. source: userguide, "VPC peering connection quotas for an account"
func TestQuotas(t *testing.T) {
	n := meet(t)
	us := n.As(ours, "us-east-1", start)
	hub := n.vpc(us, "10.0.0.0/16")
	var ids []string
	spokes := make([]string, 51)
	n.Change(func(tx *store.Tx) error {
		for i := range spokes {
			spokes[i] = resource.VPCs.NewID()
			r := &resource.Record[resource.VPC]{ID: spokes[i], Account: ours, Region: "us-east-1", VPC: spokes[i]}
			r.Data.CidrBlockAssociationSet = []ec2.VpcCidrBlockAssociation{{CidrBlock: new("172.16.0.0/24")}}
			if err := resource.VPCs.Put(t.Context(), tx, r); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range 25 {
		ids = append(ids, n.ask(us, hub, spokes[i], "", ""))
	}
	_, err := n.peerings.CreateVpcPeeringConnection(us, &ec2.CreateVpcPeeringConnectionInput{VpcId: hub, PeerVpcId: &spokes[25]})
	wants(t, err, "OutstandingVpcPeeringConnectionLimitExceeded")
	for i := range 51 {
		if i >= len(ids) {
			ids = append(ids, n.ask(us, hub, spokes[i], "", ""))
		}
		err = n.accept(us, ids[i])
		if i < 50 && err != nil {
			t.Fatal(err)
		}
	}
	wants(t, err, "ActiveVpcPeeringConnectionPerVpcLimitExceeded")
	numbers := map[int]bool{}
	n.Change(func(tx *store.Tx) error {
		clear(numbers)
		all, err := resource.Peerings.All(t.Context(), tx)
		for _, r := range all {
			numbers[r.Data.Number] = true
		}
		return err
	})
	if len(numbers) != 51 || numbers[0] {
		t.Errorf("%d connections have %d numbers", 51, len(numbers))
	}
}

// TestDenied wants whoever may not to be told nothing of what there is.
func TestDenied(t *testing.T) {
	n := meet(t)
	nobody := api.WithCall(t.Context(), &api.Call{Time: start, Region: "us-east-1", Account: ours})
	err := n.accept(nobody, "pcx-11112222333344445")
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Reason != api.AccessDenied || strings.Contains(e.Message, "exist") {
		t.Error(err)
	}
}
