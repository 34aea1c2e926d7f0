package session_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ec2/endpoint"
)

// TestThroughEndpoint starts a session under an endpoint's own name: the address of the data channel is a name of the same kind, that of the VPC's
// endpoint for the message gateway once it has one. source: userguide ("DNS names"); a client may know such names only
func TestThroughEndpoint(t *testing.T) {
	w := awstest.NewWithHost(t)
	n := w.Register(awstest.NodeConfig{})
	n.Ping()
	n.Connect()
	vpc := *awstest.Call[ec2.CreateVpcOutput](w, "ec2", "CreateVpc", &ec2.CreateVpcInput{CidrBlock: new("10.0.0.0/16")}).Vpc.VpcId
	subnet := *awstest.Call[ec2.CreateSubnetOutput](w, "ec2", "CreateSubnet", &ec2.CreateSubnetInput{VpcId: vpc, CidrBlock: new("10.0.1.0/24")}).Subnet.SubnetId
	create := func(service, address string) string {
		e := awstest.Call[ec2.CreateVpcEndpointOutput](w, "ec2", "CreateVpcEndpoint", &ec2.CreateVpcEndpointInput{
			VpcId: vpc, VpcEndpointType: new("Interface"), ServiceName: new("com.amazonaws.us-east-1." + service), SubnetIds: []string{subnet},
			PrivateDnsEnabled: new(false), SubnetConfigurations: []ec2.SubnetConfiguration{{SubnetId: &subnet, Ipv4: &address}},
		}).VpcEndpoint
		for range 200 { // until it answers
			out := awstest.Call[ec2.DescribeVpcEndpointsOutput](w, "ec2", "DescribeVpcEndpoints", &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{*e.VpcEndpointId}})
			if *out.VpcEndpoints[0].State == "available" {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		return *e.DnsEntries[0].DnsName
	}
	name := create("ssm", "10.0.1.10")
	client := w.Client("ssm", w.Admin)
	client.Endpoint = "http://" + name
	client.HTTP = w.Through(endpoint.Arrival{VPC: vpc, Local: netip.MustParseAddr("10.0.1.10")}, netip.MustParseAddr("10.0.1.99"))
	start := func() string {
		out := new(ssm.StartSessionOutput)
		must(t, client.Call(t.Context(), "StartSession", &ssm.StartSessionInput{Target: n.ID}, out))
		return *out.StreamUrl
	}
	if url := start(); !strings.HasPrefix(url, "ws://ssmmessages.us-east-1.amazonaws.com/") {
		t.Errorf("without an endpoint for the gateway: %s", url)
	}
	own := create("ssmmessages", "10.0.1.11")
	if url := start(); !strings.HasPrefix(own, "vpce-") || !strings.HasPrefix(url, "ws://"+own+"/v1/data-channel/") {
		t.Errorf("with %s: %s", own, url)
	}
}
