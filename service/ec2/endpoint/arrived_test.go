package endpoint_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ec2/endpoint"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// TestArrived finds the endpoint of a connection by the address that it was made to, and, of a gateway endpoint, by the
// route table that led to it.
func TestArrived(t *testing.T) {
	ctx, db := t.Context(), storetest.New(t)
	e := endpoint.New(db)
	s3 := resource.AWSPrefixLists("us-east-1")[0].CIDRs[0].Addr().Next()
	put := func(change func(tx *store.Tx) error) {
		t.Helper()
		if err := db.Update(ctx, change); err != nil {
			t.Fatal(err)
		}
	}
	record := func(id, vpc, service, kind string, tables ...string) *resource.Record[resource.Endpoint] {
		return &resource.Record[resource.Endpoint]{ID: id, Account: "123456789012", Region: "us-east-1", VPC: vpc, Data: resource.Endpoint{VpcEndpoint: ec2.VpcEndpoint{
			VpcEndpointId: &id, VpcEndpointType: &kind, ServiceName: new("com.amazonaws.us-east-1." + service), RouteTableIds: tables, State: new("pending"),
			PolicyDocument: new(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`),
		}}}
	}
	eni := func(id, vpc, owner, address string) *resource.Record[resource.NetworkInterface] {
		return &resource.Record[resource.NetworkInterface]{ID: id, VPC: vpc, Data: resource.NetworkInterface{
			Holder: "endpoint", Owner: owner, NetworkInterface: ec2.NetworkInterface{PrivateIpAddress: &address},
		}}
	}
	gateway := record("vpce-g", "vpc-a", "s3", ec2.VpcEndpointTypeGateway, "rtb-1")
	put(func(tx *store.Tx) error {
		for _, r := range []*resource.Record[resource.Endpoint]{
			record("vpce-a", "vpc-a", "ssm", ec2.VpcEndpointTypeInterface), record("vpce-b", "vpc-b", "kms", ec2.VpcEndpointTypeInterface), gateway,
		} {
			if err := resource.Endpoints.Put(ctx, tx, r); err != nil {
				return err
			}
		}
		for _, n := range []*resource.Record[resource.NetworkInterface]{eni("eni-a", "vpc-a", "vpce-a", "10.0.0.9"), eni("eni-b", "vpc-b", "vpce-b", "10.0.0.9")} {
			if err := resource.NetworkInterfaces.Put(ctx, tx, n); err != nil {
				return err
			}
		}
		for i, id := range []string{"rtb-1", "rtb-2"} {
			if err := resource.RouteTables.Put(ctx, tx, &resource.Record[resource.RouteTable]{ID: id, VPC: "vpc-a", Data: resource.RouteTable{Number: i + 1}}); err != nil {
				return err
			}
		}
		return nil
	})
	check := func(what, vpc string, local netip.Addr, table int, want string) {
		t.Helper()
		found, ok, err := e.Arrived(ctx, vpc, local, table)
		got := ""
		if ok {
			got = found.ID()
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", what, got, err, want)
		}
	}
	nine := netip.MustParseAddr("10.0.0.9")
	check("an interface", "vpc-a", nine, 0, "vpce-a")
	check("an interface, as IPv6 sockets say it", "vpc-a", netip.MustParseAddr("::ffff:10.0.0.9"), 0, "vpce-a")
	check("the same address in another VPC", "vpc-b", nine, 0, "vpce-b")
	check("an address of nobody", "vpc-a", netip.MustParseAddr("10.0.0.10"), 0, "")
	check("a VPC that there is not", "vpc-c", nine, 0, "")
	check("the gateway", "vpc-a", s3, 1, "vpce-g")
	check("the gateway from another table", "vpc-a", s3, 2, "")
	check("the gateway without a table, as over a peering", "vpc-a", s3, 0, "")
	check("the gateway of another VPC", "vpc-b", s3, 1, "")
	check("past the prefix list", "vpc-a", netip.MustParseAddr("198.18.0.1"), 1, "")

	// What changes is seen at once.
	put(func(tx *store.Tx) error {
		gateway.Data.RouteTableIds = []string{"rtb-2"}
		return resource.Endpoints.Put(ctx, tx, gateway)
	})
	check("the gateway from the table that it left", "vpc-a", s3, 1, "")
	check("the gateway from its new table", "vpc-a", s3, 2, "vpce-g")
	put(func(tx *store.Tx) error {
		gateway.Data.State = new("deleting")
		return resource.Endpoints.Put(ctx, tx, gateway)
	})
	check("a gateway that is being deleted", "vpc-a", s3, 2, "")

	if found, err := e.Via(ctx); found != nil || err != nil {
		t.Errorf("a connection that has not arrived in a VPC: %v, %v", found, err)
	}
	found, err := e.Via(endpoint.WithArrival(ctx, endpoint.Arrival{VPC: "vpc-b", Local: nine}))
	if err != nil || found.ID() != "vpce-b" || found.VPCID() != "vpc-b" || found.AccountID() != "123456789012" || found.Region() != "us-east-1" || found.Service() != "kms" {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := e.Via(endpoint.WithArrival(ctx, endpoint.Arrival{VPC: "vpc-b", Local: s3})); err == nil {
		t.Error("somebody answers where there is nobody")
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := e.Arrived(ended, "vpc-d", nine, 0); err == nil {
		t.Error("an answer without asking")
	}
}

// TestDeletedEndpoint breaks off the connections through an endpoint that is deleted; and those that are open see a new
// policy with the next call.
func TestDeletedEndpoint(t *testing.T) {
	w := awstest.New(t)
	vpc := *awstest.Call[ec2.CreateVpcOutput](w, "ec2", "CreateVpc", &ec2.CreateVpcInput{CidrBlock: new("10.0.0.0/16")}).Vpc.VpcId
	subnet := *awstest.Call[ec2.CreateSubnetOutput](w, "ec2", "CreateSubnet", &ec2.CreateSubnetInput{VpcId: vpc, CidrBlock: new("10.0.0.0/24")}).Subnet.SubnetId
	made := awstest.Call[ec2.CreateVpcEndpointOutput](w, "ec2", "CreateVpcEndpoint", &ec2.CreateVpcEndpointInput{
		VpcId: vpc, VpcEndpointType: new(ec2.VpcEndpointTypeInterface), ServiceName: new("com.amazonaws.us-east-1.ssm"), PrivateDnsEnabled: new(false),
		SubnetIds: []string{subnet}, SubnetConfigurations: []ec2.SubnetConfiguration{{SubnetId: &subnet, Ipv4: new("10.0.0.9")}},
	}).VpcEndpoint
	inside := w.Client("ssm", w.Admin)
	inside.HTTP = w.Through(endpoint.Arrival{VPC: vpc, Local: netip.MustParseAddr("10.0.0.9")}, netip.MustParseAddr("10.0.0.77"))
	list := func() error {
		return inside.Call(t.Context(), "ListCommands", &ssm.ListCommandsInput{}, &ssm.ListCommandsOutput{})
	}
	if err := list(); err != nil {
		t.Fatal(err)
	}
	awstest.Call[ec2.ModifyVpcEndpointOutput](w, "ec2", "ModifyVpcEndpoint", &ec2.ModifyVpcEndpointInput{
		VpcEndpointId: *made.VpcEndpointId, PolicyDocument: new(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"ssm:GetParameter","Resource":"*"}]}`),
	})
	if err := list(); awstest.Code(err) != "AccessDeniedException" {
		t.Errorf("after a change of the policy: %v", err)
	}
	awstest.Call[ec2.DeleteVpcEndpointsOutput](w, "ec2", "DeleteVpcEndpoints", &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{*made.VpcEndpointId}})
	if err := list(); err == nil || awstest.Code(err) != "" || !strings.Contains(err.Error(), "EOF") {
		t.Errorf("after the deletion: %v", err)
	}
}

// TestQuotas makes as many endpoints as there may be. source: userguide, "AWS PrivateLink quotas"
func TestQuotas(t *testing.T) {
	w := awstest.New(t)
	vpc := *awstest.Call[ec2.CreateVpcOutput](w, "ec2", "CreateVpc", &ec2.CreateVpcInput{CidrBlock: new("10.0.0.0/16")}).Vpc.VpcId
	for _, c := range []struct {
		kind, service string
		most          int
	}{{ec2.VpcEndpointTypeInterface, "ssm", 50}, {ec2.VpcEndpointTypeGateway, "s3", 20}} {
		in := &ec2.CreateVpcEndpointInput{VpcId: vpc, VpcEndpointType: &c.kind, ServiceName: new("com.amazonaws.us-east-1." + c.service), PrivateDnsEnabled: new(false)}
		var last string
		for range c.most {
			last = *awstest.Call[ec2.CreateVpcEndpointOutput](w, "ec2", "CreateVpcEndpoint", in).VpcEndpoint.VpcEndpointId
		}
		err := w.Client("ec2", w.Admin).Call(t.Context(), "CreateVpcEndpoint", in, &ec2.CreateVpcEndpointOutput{})
		if awstest.Code(err) != "VpcEndpointLimitExceeded" || !strings.Contains(err.Error(), "The maximum number of VPC endpoints has been reached.") {
			t.Errorf("%s: %v", c.kind, err)
		}
		awstest.Call[ec2.DeleteVpcEndpointsOutput](w, "ec2", "DeleteVpcEndpoints", &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: []string{last}})
		awstest.Call[ec2.CreateVpcEndpointOutput](w, "ec2", "CreateVpcEndpoint", in)
	}
}
