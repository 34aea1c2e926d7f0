package route53resolver_test

import (
	"testing"
	"time"

	"github.com/vennel/vennel/api/ec2"
	api "github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/securitygroup"
	"github.com/vennel/vennel/service/ec2/vpc"
	"github.com/vennel/vennel/service/route53resolver"
	"github.com/vennel/vennel/store"
)

// TestScripts runs the scripts.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }

// TestStates follows the states of an endpoint and its addresses while hosts carry them. source: userguide, "ResolverEndpoint"
func TestStates(t *testing.T) {
	d := awstest.NewDesk(t)
	ctx := d.As("111111111111", "us-east-1", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	vpcs, groups, r := vpc.New(d.DB), securitygroup.New(d.DB), route53resolver.New(d.DB)
	v, err := vpcs.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: new("10.0.0.0/16")})
	if err != nil {
		t.Fatal(err)
	}
	subnet, err := vpcs.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: *v.Vpc.VpcId, CidrBlock: new("10.0.1.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	group, err := groups.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{VpcId: v.Vpc.VpcId, GroupName: "dns", Description: "dns"})
	if err != nil {
		t.Fatal(err)
	}
	id := *subnet.Subnet.SubnetId
	made, err := r.CreateResolverEndpoint(ctx, &api.CreateResolverEndpointInput{
		CreatorRequestId: "1", Direction: "INBOUND", SecurityGroupIds: []string{*group.GroupId}, IpAddresses: []api.IpAddressRequest{{SubnetId: id}, {SubnetId: id}},
	})
	if err != nil {
		t.Fatal(err)
	}
	endpoint := *made.ResolverEndpoint.Id
	carry := func() {
		t.Helper()
		d.Change(func(tx *store.Tx) error {
			e, err := resource.ResolverEndpoints.Get(t.Context(), tx, endpoint)
			if err != nil {
				return err
			}
			e.Data.Status = new("OPERATIONAL")
			return resource.ResolverEndpoints.Put(t.Context(), tx, e)
		})
	}
	is := func(status string, addresses ...string) {
		t.Helper()
		e, err := r.GetResolverEndpoint(ctx, &api.GetResolverEndpointInput{ResolverEndpointId: endpoint})
		if err != nil {
			t.Fatal(err)
		}
		list, err := r.ListResolverEndpointIpAddresses(ctx, &api.ListResolverEndpointIpAddressesInput{ResolverEndpointId: endpoint})
		if err != nil {
			t.Fatal(err)
		}
		if *e.ResolverEndpoint.Status != status || len(list.IpAddresses) != len(addresses) || *e.ResolverEndpoint.IpAddressCount != int64(len(addresses)) {
			t.Fatalf("%s with %d addresses, want %s with %d", *e.ResolverEndpoint.Status, len(list.IpAddresses), status, len(addresses))
		}
		for i, a := range list.IpAddresses {
			if *a.Status != addresses[i] {
				t.Errorf("address %d is %s, want %s", i, *a.Status, addresses[i])
			}
		}
	}
	is("CREATING", "CREATING", "CREATING")
	carry()
	is("OPERATIONAL", "ATTACHED", "ATTACHED")
	if _, err := r.AssociateResolverEndpointIpAddress(ctx, &api.AssociateResolverEndpointIpAddressInput{
		ResolverEndpointId: endpoint, IpAddress: api.IpAddressUpdate{SubnetId: &id, Ip: new("10.0.1.77")},
	}); err != nil {
		t.Fatal(err)
	}
	is("UPDATING", "ATTACHED", "ATTACHED", "CREATING")
	carry()
	is("OPERATIONAL", "ATTACHED", "ATTACHED", "ATTACHED")
	if _, err := r.DisassociateResolverEndpointIpAddress(ctx, &api.DisassociateResolverEndpointIpAddressInput{
		ResolverEndpointId: endpoint, IpAddress: api.IpAddressUpdate{SubnetId: &id, Ip: new("10.0.1.77")},
	}); err != nil {
		t.Fatal(err)
	}
	is("UPDATING", "ATTACHED", "ATTACHED")
	interfaces := func() (n int) {
		d.Change(func(tx *store.Tx) error {
			list, err := resource.NetworkInterfaces.Of(t.Context(), tx, *v.Vpc.VpcId)
			n = len(list)
			return err
		})
		return n
	}
	if n := interfaces(); n != 2 {
		t.Errorf("%d interfaces", n)
	}
	if _, err := r.DeleteResolverEndpoint(ctx, &api.DeleteResolverEndpointInput{ResolverEndpointId: endpoint}); err != nil {
		t.Fatal(err)
	}
	is("DELETING", "ATTACHED", "ATTACHED")
	if n := interfaces(); n != 0 {
		t.Errorf("%d interfaces are left", n)
	}
}

// TestElsewhere wants another account, and another Region, to see nothing.
func TestElsewhere(t *testing.T) {
	d := awstest.NewDesk(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := route53resolver.New(d.DB)
	made, err := r.CreateResolverRule(d.As("111111111111", "us-east-1", at), &api.CreateResolverRuleInput{CreatorRequestId: "1", RuleType: "SYSTEM", DomainName: new("example.com")})
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range [][2]string{{"222222222222", "us-east-1"}, {"111111111111", "eu-west-1"}} {
		ctx := d.As(other[0], other[1], at)
		if _, err := r.GetResolverRule(ctx, &api.GetResolverRuleInput{ResolverRuleId: *made.ResolverRule.Id}); awstest.Code(err) != "ResourceNotFoundException" {
			t.Error(err)
		}
		if _, err := r.ListTagsForResource(ctx, &api.ListTagsForResourceInput{ResourceArn: *made.ResolverRule.Arn}); awstest.Code(err) != "ResourceNotFoundException" {
			t.Error(err)
		}
		out, err := r.ListResolverRules(ctx, &api.ListResolverRulesInput{})
		if err != nil || len(out.ResolverRules) != 1 || *out.ResolverRules[0].RuleType != "RECURSIVE" {
			t.Errorf("%v %v", out, err)
		}
	}
}

// TestQuotas makes one endpoint too many. source: userguide, "Quotas on Route 53 VPC Resolver endpoints"
func TestQuotas(t *testing.T) {
	d := awstest.NewDesk(t)
	ctx := d.As("111111111111", "us-east-1", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	r := route53resolver.New(d.DB)
	d.Change(func(tx *store.Tx) error {
		for _, id := range []string{"rslvr-in-1", "rslvr-in-2", "rslvr-in-3", "rslvr-in-4"} {
			e := &resource.Record[resource.ResolverEndpoint]{ID: id, Account: "111111111111", Region: "us-east-1"}
			e.Data.CreatorRequestId, e.Data.Status = &id, new("OPERATIONAL")
			if err := resource.ResolverEndpoints.Put(t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	_, err := r.CreateResolverEndpoint(ctx, &api.CreateResolverEndpointInput{
		CreatorRequestId: "5", Direction: "INBOUND", SecurityGroupIds: []string{"sg-1"}, IpAddresses: []api.IpAddressRequest{{SubnetId: "a"}, {SubnetId: "b"}},
	})
	if awstest.Code(err) != "LimitExceededException" {
		t.Error(err)
	}
	out, err := r.ListResolverEndpoints(ctx, &api.ListResolverEndpointsInput{MaxResults: new(int64(3)), NextToken: new("rslvr-in-1")})
	if err != nil || len(out.ResolverEndpoints) != 3 || out.NextToken != nil {
		t.Errorf("%v %v", out, err)
	}
}
