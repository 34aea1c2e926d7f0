package test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/ec2messages"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/api/ssm"
)

// TestSeedPage proves what AWS's page "Improve the security of EC2 instances by using VPC endpoints for Systems Manager" promises, each
// requirement by itself: the case that works, and the smallest change that breaks it, and then mends it.
func TestSeedPage(t *testing.T) {
	privileged(t, "dnsmasq")
	s := newSeed(t)
	for _, r := range []struct {
		name string
		test func(*testing.T, *seed)
	}{
		{"S2ServiceOnPrivateAddresses", s2},
		{"S3AllTrafficStaysInside", s3},
		{"S4NoInternetAccess", s4},
		{"S5NoGatewayIsNeeded", s5},
		{"S6EndpointsAreNotRequired", s6},
		{"S7ThreeNamesOnPort443", s7},
		{"S8AgentStartsEveryConnection", s8},
		{"S9NoIngressIsNeeded", s9},
		{"S10OperationsAreAudited", s10},
		{"S11VPCsAreIsolated", s11},
		{"S12InstancesAreLaunchedIntoSubnets", s12},
		{"S13S14NetworkIsConfigurable", s14},
		{"S15InternetGatewayRouteAndAddress", s15},
		{"S16OfficeExtendsTheVPC", s16},
		{"S17GroupsAndACLs", s17},
		{"S18RestrictionsAreSaid", s18},
		{"S23EndpointOverPeering", s23},
		{"S24PeeringQuota", s24},
		{"S25GatewayEndpointStaysInItsVPC", s25},
		{"S26GatewayEndpointNotOverPeering", s26},
		{"S27GatewayEndpointQuota", s27},
		{"S28EndpointGroupMustAllow443FromNodes", s28},
		{"S29WithoutItNothingConnects", s29},
		{"S30CustomDNSNeedsAForwarder", s30},
		{"S43NamesOnPremises", s43},
		{"S44Resolver", s44},
		{"S45EC2MessagesForOldAgents", s45},
		{"S47EndpointForSSM", s47},
		{"S48EndpointForEC2Messages", s48},
		{"S59PolicyNamesPrincipals", s59},
		{"S60PolicyNamesActions", s60},
		{"S61PolicyNamesResources", s61},
		{"S62PolicyLanguage", s62},
		{"N3S51RunCommandAndSessionsNeedSSMMessages", n3},
		{"N4SSMMessagesIsPreferred", n4},
		{"N5DualStackNames", n5},
		{"S1HybridAndInstanceNodes", s1}, // registers the node on-premises
		{"N6HybridNodesAndPolicies", n6},
		{"OperatorsWay", operatorsWay},
		{"PeeredSession", peeredSession},
		{"SameAddressInTwoVPCs", sameAddress},
		{"FlowLogs", flowLogs},
		{"DarkAndBack", dark},
	} {
		began := time.Now()
		if !t.Run(r.name, func(t *testing.T) { r.test(t, s) }) && t.Context().Err() != nil {
			return
		}
		if d := time.Since(began); d > 3*time.Second {
			t.Logf("%s took %s", r.name, d.Round(100*time.Millisecond))
		}
	}
}

// s1: nodes of both kinds are served through interface endpoints.
func s1(t *testing.T, s *seed) {
	s.page.online(t, s.node.id)
	s.hybrid.permit(t, s.groups[s.hybrid], port("tcp", 443, officeCIDR))
	s.hybrid.endpoint(t, "ssmmessages", "endpoints", endpointAt("ssmmessages"), s.groups[s.hybrid])
	p := s.hybridNode(t, s.office)
	p.run(t)
	s.page.online(t, p.id)
	s.page.runs(t, "echo $((6*7))", "42", s.node.id, p.id)
	for _, operation := range []string{"UpdateInstanceInformation", "CreateControlChannel"} {
		via := map[string]string{}
		for _, r := range s.audited(t, operation) {
			if _, newer := via[r.SourceIPAddress]; !newer {
				via[r.SourceIPAddress] = r.VPCEndpointID
			}
		}
		service := "ssm"
		if operation == "CreateControlChannel" {
			service = "ssmmessages"
		}
		if via["10.0.1.50"] != s.page.endpoints[service] || via[officeRouter] != s.hybrid.endpoints[service] {
			t.Errorf("%s came by %v", operation, via)
		}
	}
	p.stop() // and the way is not there for a machine that the group does not allow
	s.hybrid.forbid(t, s.groups[s.hybrid], port("tcp", 443, officeCIDR))
	await(t, "the node to be lost", func() (string, bool) { got := s.page.ping(t, p.id); return got, got == "ConnectionLost" })
	p.run(t)
	s.office.reaches(t, endpointAt("ssm")+":443", silent)
	if got := s.page.ping(t, p.id); got != "ConnectionLost" {
		t.Errorf("the node is %s", got)
	}
	s.hybrid.permit(t, s.groups[s.hybrid], port("tcp", 443, officeCIDR))
	p.stop()
	p.run(t)
	s.page.online(t, p.id)
}

// s2: the services have private addresses.
func s2(t *testing.T, s *seed) {
	for _, service := range seedServices {
		s.probe.resolves(t, s.probe.host(service.name), service.address)
	}
	call := func() string {
		if err := s.probe.client("ssm", s.probe.host("ssm"), patience/6).Call(t.Context(), "DescribeInstanceInformation", &ssm.DescribeInstanceInformationInput{}, &ssm.DescribeInstanceInformationOutput{}); err != nil {
			return "ssm " + said(err)
		}
		out := new(ec2.DescribeInstancesOutput)
		if err := s.probe.client("ec2", s.probe.host("ec2"), patience/6).Call(t.Context(), "DescribeInstances", &ec2.DescribeInstancesInput{InstanceIds: []string{s.probe.id}}, out); err != nil {
			return "ec2 " + said(err)
		}
		return *out.Reservations[0].Instances[0].PrivateIpAddress
	}
	if got := call(); got != "10.0.1.60" {
		t.Error(got)
	}
	name := s.probe.host("ec2")
	act(t, s.page.area, "ec2", "ModifyVpcEndpoint", &ec2.ModifyVpcEndpointInput{VpcEndpointId: s.page.endpoints["ec2"], PrivateDnsEnabled: new(false)})
	await(t, "the name to be public", func() (string, bool) {
		got, err := s.probe.resolve(name, patience/6)
		return fmt.Sprint(got, err), len(got) == 1 && got[0] != endpointAt("ec2")
	})
	if got := said(s.probe.client("ec2", name, silence).Call(t.Context(), "DescribeInstances", &ec2.DescribeInstancesInput{}, new(ec2.DescribeInstancesOutput))); got != silent {
		t.Errorf("without the private name: %s", got)
	}
	act(t, s.page.area, "ec2", "ModifyVpcEndpoint", &ec2.ModifyVpcEndpointInput{VpcEndpointId: s.page.endpoints["ec2"], PrivateDnsEnabled: new(true)})
	s.probe.resolves(t, name, endpointAt("ec2"))
}

// s3: packets are counted on every way out, while a node registers, says how it is and runs a command.
func s3(t *testing.T, s *seed) {
	v := s.page
	gateway := v.attachInternet(t)
	v.subnet(t, "nat", "10.0.3.0/24", "c")
	address := *do[ec2.AllocateAddressOutput](t, v.area, "ec2", "AllocateAddress", &ec2.AllocateAddressInput{}).AllocationId
	nat := *do[ec2.CreateNatGatewayOutput](t, v.area, "ec2", "CreateNatGateway", &ec2.CreateNatGatewayInput{SubnetId: new(v.subnets["nat"]), AllocationId: &address}).NatGateway.NatGatewayId
	var eni string
	await(t, "the NAT gateway", func() (string, bool) {
		out := do[ec2.DescribeNatGatewaysOutput](t, v.area, "ec2", "DescribeNatGateways", &ec2.DescribeNatGatewaysInput{NatGatewayIds: []string{nat}}).NatGateways[0]
		if len(out.NatGatewayAddresses) > 0 && out.NatGatewayAddresses[0].NetworkInterfaceId != nil {
			eni = *out.NatGatewayAddresses[0].NetworkInterfaceId
		}
		return *out.State, *out.State == "available"
	})
	count := func() string {
		out, in := s.packets(t, v.id, "igw0")
		natOut, natIn := s.packets(t, eni, "eth0")
		tunnelOut, tunnelIn := 0, 0
		for _, line := range strings.Split(s.ip(t, "office", "-o", "link", "show"), "\n") { // the VPN connection of hybrid is the only one
			if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], "t") {
				o, i := s.packets(t, "office", strings.TrimSuffix(strings.Split(f[1], "@")[0], ":"))
				tunnelOut, tunnelIn = tunnelOut+o, tunnelIn+i
			}
		}
		return fmt.Sprintf("internet gateway %d out, %d in; NAT gateway %d out, %d in; tunnel %d in", out, in, natOut, natIn, tunnelOut+tunnelIn)
	}
	before := count()
	s.node.reboot(t)
	began := time.Now()
	await(t, "the node to come back", func() (string, bool) {
		out := do[ssm.DescribeInstanceInformationOutput](t, v.area, "ssm", "DescribeInstanceInformation", &ssm.DescribeInstanceInformationInput{
			Filters: []ssm.InstanceInformationStringFilter{{Key: "InstanceIds", Values: []string{s.node.id}}},
		}).InstanceInformationList
		return "", len(out) == 1 && *out[0].PingStatus == "Online" && out[0].LastPingDateTime.After(began.Add(-time.Second))
	})
	v.runs(t, "echo inside", "inside", s.node.id)
	if after := count(); after != before {
		t.Errorf("packets have left the VPC: before, %s; after, %s", before, after)
	}
	if before != "internet gateway 0 out, 0 in; NAT gateway 0 out, 0 in; tunnel 0 in" {
		t.Errorf("there was something before: %s", before)
	}
	v.route(t, &ec2.CreateRouteInput{DestinationCidrBlock: new("0.0.0.0/0"), NatGatewayId: &nat}) // now the counters count
	await(t, "the counters to count", func() (string, bool) {
		s.probe.probe(s.serviceAt["ssm"]+":443", silence)
		_, in := s.packets(t, eni, "eth0")
		return count(), in > 0
	})
	v.unroute(t, "0.0.0.0/0")
	act(t, v.area, "ec2", "DeleteNatGateway", &ec2.DeleteNatGatewayInput{NatGatewayId: nat})
	await(t, "the NAT gateway to be gone", func() (string, bool) {
		out := do[ec2.DescribeNatGatewaysOutput](t, v.area, "ec2", "DescribeNatGateways", &ec2.DescribeNatGatewaysInput{NatGatewayIds: []string{nat}}).NatGateways[0]
		return *out.State, *out.State == "deleted"
	})
	act(t, v.area, "ec2", "ReleaseAddress", &ec2.ReleaseAddressInput{AllocationId: &address})
	act(t, v.area, "ec2", "DetachInternetGateway", &ec2.DetachInternetGatewayInput{InternetGatewayId: gateway, VpcId: v.id})
	act(t, v.area, "ec2", "DeleteInternetGateway", &ec2.DeleteInternetGatewayInput{InternetGatewayId: gateway})
}

// s4: there is no internet for such a node.
func s4(t *testing.T, s *seed) {
	s.probe.reaches(t, s.serviceAt["ssm"]+":443", silent)
	s.probe.reaches(t, officePublic+":443", silent)
	s.probe.lists(t, reached)
	s.open.reaches(t, s.serviceAt["ssm"]+":443", reached) // which is there for those who have it
}

// s5: the VPC of the node has no gateway, and its route table leads nowhere else.
func s5(t *testing.T, s *seed) {
	attached := []ec2.Filter{{Name: new("attachment.vpc-id"), Values: []string{s.page.id}}}
	if out := do[ec2.DescribeInternetGatewaysOutput](t, s.page.area, "ec2", "DescribeInternetGateways", &ec2.DescribeInternetGatewaysInput{Filters: attached}); len(out.InternetGateways) > 0 {
		t.Error("there is an internet gateway")
	}
	if out := do[ec2.DescribeVpnGatewaysOutput](t, s.page.area, "ec2", "DescribeVpnGateways", &ec2.DescribeVpnGatewaysInput{Filters: attached}); len(out.VpnGateways) > 0 {
		t.Error("there is a virtual private gateway")
	}
	nats := do[ec2.DescribeNatGatewaysOutput](t, s.page.area, "ec2", "DescribeNatGateways", &ec2.DescribeNatGatewaysInput{
		Filter: []ec2.Filter{{Name: new("vpc-id"), Values: []string{s.page.id}}, {Name: new("state"), Values: []string{"pending", "available"}}},
	})
	if len(nats.NatGateways) > 0 {
		t.Error("there is a NAT gateway")
	}
	tables := do[ec2.DescribeRouteTablesOutput](t, s.page.area, "ec2", "DescribeRouteTables", &ec2.DescribeRouteTablesInput{
		Filters: []ec2.Filter{{Name: new("vpc-id"), Values: []string{s.page.id}}},
	}).RouteTables
	if len(tables) != 1 || len(tables[0].Routes) != 1 || *tables[0].Routes[0].GatewayId != "local" {
		t.Errorf("there are routes: %+v", tables)
	}
	s.page.online(t, s.node.id)
	s.page.runs(t, "echo alone", "alone", s.node.id)
}

// s6: without endpoints the internet serves as well.
func s6(t *testing.T, s *seed) {
	s.public.online(t, s.open.id)
	s.public.runs(t, "echo outside", "outside", s.open.id)
	for _, r := range s.audited(t, "UpdateInstanceInformation") {
		if strings.HasSuffix(r.UserIdentity.ARN, s.open.id) && r.VPCEndpointID != "" {
			t.Errorf("it came through %s", r.VPCEndpointID)
		}
	}
}

// s7: three names on port 443 are enough, and each is needed.
func s7(t *testing.T, s *seed) {
	group := s.open.groups(t)[0]
	all := ec2.IpPermission{IpProtocol: new("-1"), IpRanges: []ec2.IpRange{{CidrIp: new("0.0.0.0/0")}}}
	names := map[string]ec2.IpPermission{}
	for _, service := range []string{"ssm", "ssmmessages", "ec2messages"} {
		names[service] = port("tcp", 443, s.serviceAt[service]+"/32")
		act(t, s.public.area, "ec2", "AuthorizeSecurityGroupEgress", &ec2.AuthorizeSecurityGroupEgressInput{GroupId: group, IpPermissions: []ec2.IpPermission{names[service]}})
	}
	act(t, s.public.area, "ec2", "RevokeSecurityGroupEgress", &ec2.RevokeSecurityGroupEgressInput{GroupId: group, IpPermissions: []ec2.IpPermission{all}})
	s.open.reaches(t, s.serviceAt["s3"]+":443", silent)
	s.open.reaches(t, s.serviceAt["ssm"]+":80", silent)
	s.open.reboot(t)
	running(t, s.open)
	s.open.lists(t, reached)
	s.public.online(t, s.open.id)
	s.public.runs(t, "echo narrow", "narrow", s.open.id)
	for service, rule := range names {
		at := s.serviceAt[service] + ":443"
		s.open.reaches(t, at, reached)
		act(t, s.public.area, "ec2", "RevokeSecurityGroupEgress", &ec2.RevokeSecurityGroupEgressInput{GroupId: group, IpPermissions: []ec2.IpPermission{rule}})
		s.open.reaches(t, at, silent)
	}
	act(t, s.public.area, "ec2", "AuthorizeSecurityGroupEgress", &ec2.AuthorizeSecurityGroupEgressInput{GroupId: group, IpPermissions: []ec2.IpPermission{all}})
	s.open.lists(t, reached)
}

// groups are those of an instance's interface.
func (g *guest) groups(t testing.TB) (ids []string) {
	t.Helper()
	out := do[ec2.DescribeNetworkInterfacesOutput](t, g.vpc.area, "ec2", "DescribeNetworkInterfaces", &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{g.eni}})
	for _, group := range out.NetworkInterfaces[0].Groups {
		ids = append(ids, *group.GroupId)
	}
	return ids
}

// s8: nobody opens a connection to a node.
func s8(t *testing.T, s *seed) {
	s.node.must(t, "nft 'add table ip watch; add counter ip watch seen; add chain ip watch in { type filter hook input priority 0; }; "+
		"add rule ip watch in iifname lo accept; add rule ip watch in tcp flags & (syn|ack) == syn counter name seen'")
	seen := func() int { return s.node.counted(t, "seen") }
	s.page.online(t, s.node.id)
	s.page.runs(t, "echo quiet", "quiet", s.node.id)
	if n := seen(); n != 0 {
		t.Errorf("%d connections were opened to the node", n)
	}
	group := s.node.groups(t)[0]
	s.page.permit(t, group, port("tcp", 7000, "10.0.0.0/16"))
	s.probe.reaches(t, "10.0.1.50:7000", refused) // nobody listens, but it gets there
	if seen() == 0 {
		t.Error("the counter does not count")
	}
	s.page.forbid(t, group, port("tcp", 7000, "10.0.0.0/16"))
	s.probe.reaches(t, "10.0.1.50:7000", silent)
	s.node.must(t, "nft delete table ip watch")
}

// s9: the group of a node has no ingress rules, and nothing that a node does needs one. Without egress nothing works.
func s9(t *testing.T, s *seed) {
	group := s.node.groups(t)[0]
	described := do[ec2.DescribeSecurityGroupsOutput](t, s.page.area, "ec2", "DescribeSecurityGroups", &ec2.DescribeSecurityGroupsInput{GroupIds: []string{group}}).SecurityGroups[0]
	if len(described.IpPermissions) != 0 {
		t.Fatalf("the group lets in %v", described.IpPermissions)
	}
	s.page.runs(t, "echo closed", "closed", s.node.id)
	s.sessions(t)
	s.probe.lists(t, reached)
	act(t, s.page.area, "ec2", "RevokeSecurityGroupEgress", &ec2.RevokeSecurityGroupEgressInput{GroupId: group, IpPermissions: described.IpPermissionsEgress})
	s.probe.lists(t, silent)
	act(t, s.page.area, "ec2", "AuthorizeSecurityGroupEgress", &ec2.AuthorizeSecurityGroupEgressInput{GroupId: group, IpPermissions: described.IpPermissionsEgress})
	s.probe.lists(t, reached)
}

// s10: what an agent calls is in the audit trail, with the endpoint.
func s10(t *testing.T, s *seed) {
	for operation, service := range map[string]string{"UpdateInstanceInformation": "ssm", "CreateControlChannel": "ssmmessages"} {
		await(t, operation+" in the audit trail", func() (string, bool) {
			records := s.audited(t, operation)
			for _, r := range records {
				if strings.HasSuffix(r.UserIdentity.ARN, s.node.id) && r.VPCEndpointID == s.page.endpoints[service] && r.ErrorCode == "" && r.SourceIPAddress == "10.0.1.50" {
					return "", true
				}
			}
			return fmt.Sprint(records), false
		})
	}
}

// s11: two VPCs with the same ranges do not meet.
func s11(t *testing.T, s *seed) {
	s.twin.listen(t, 7000)
	group := s.twin.groups(t)[0]
	s.hybrid.permit(t, group, port("tcp", 7000, "0.0.0.0/0"))
	s.neighbour.reaches(t, "10.0.1.60:7000", reached) // over the peering
	s.page.permit(t, s.probe.groups(t)[0], port("tcp", 7000, "0.0.0.0/0"))
	s.node.reaches(t, "10.0.1.60:7000", refused) // that is probe, where nobody listens, and not twin
	s.page.forbid(t, s.probe.groups(t)[0], port("tcp", 7000, "0.0.0.0/0"))
	s.open.reaches(t, "10.0.1.60:7000", silent)
	s.hybrid.forbid(t, group, port("tcp", 7000, "0.0.0.0/0"))
}

// s12: an instance has an address of its subnet.
func s12(t *testing.T, s *seed) {
	i := do[ec2.DescribeInstancesOutput](t, s.page.area, "ec2", "DescribeInstances", &ec2.DescribeInstancesInput{InstanceIds: []string{s.probe.id}}).Reservations[0].Instances[0]
	if *i.SubnetId != s.page.subnets["nodes"] || *i.PrivateIpAddress != "10.0.1.60" {
		t.Errorf("it is in %s with %s", *i.SubnetId, *i.PrivateIpAddress)
	}
	if got := s.probe.must(t, "ip -4 -o address show eth0 | awk '{print $4}'"); got != "10.0.1.60/24" {
		t.Errorf("it has %s", got)
	}
	in := &ec2.RunInstancesInput{ImageId: i.ImageId, InstanceType: new("t3.micro"), MinCount: 1, MaxCount: 1, SubnetId: i.SubnetId, PrivateIpAddress: new("10.0.2.200")}
	s.page.refuses(t, "InvalidParameterValue", "ec2", "RunInstances", in, new(ec2.RunInstancesOutput))
}

// s14: what makes up a network is made, changed and deleted, and packets follow.
func s14(t *testing.T, s *seed) {
	v := s.page
	at := endpointAt("ec2") + ":443"
	s.probe.reaches(t, at, reached)
	closed := v.group(t, "closed")
	change := func(groups ...string) {
		act(t, v.area, "ec2", "ModifyNetworkInterfaceAttribute", &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: s.probe.eni, Groups: groups})
	}
	old := s.probe.groups(t)
	all := []ec2.IpPermission{{IpProtocol: new("-1"), IpRanges: []ec2.IpRange{{CidrIp: new("0.0.0.0/0")}}}}
	act(t, v.area, "ec2", "RevokeSecurityGroupEgress", &ec2.RevokeSecurityGroupEgressInput{GroupId: closed, IpPermissions: all})
	change(closed)
	s.probe.reaches(t, at, silent)
	change(old...)
	s.probe.reaches(t, at, reached)
	act(t, v.area, "ec2", "DeleteSecurityGroup", &ec2.DeleteSecurityGroupInput{GroupId: &closed})

	more := do[ec2.AssociateVpcCidrBlockOutput](t, v.area, "ec2", "AssociateVpcCidrBlock", &ec2.AssociateVpcCidrBlockInput{VpcId: v.id, CidrBlock: new("10.9.0.0/16")})
	subnet := v.subnet(t, "more", "10.9.1.0/24", "a")
	g := v.launch(t, bareImage, "more", "10.9.1.10", "", old...)
	running(t, g)
	v.permit(t, s.groups[v], port("tcp", 443, "10.9.0.0/16"))
	g.reaches(t, at, reached)
	table := *do[ec2.CreateRouteTableOutput](t, v.area, "ec2", "CreateRouteTable", &ec2.CreateRouteTableInput{VpcId: v.id}).RouteTable.RouteTableId
	association := *do[ec2.AssociateRouteTableOutput](t, v.area, "ec2", "AssociateRouteTable", &ec2.AssociateRouteTableInput{RouteTableId: table, SubnetId: &subnet}).AssociationId
	g.reaches(t, at, reached) // within the VPC every table leads
	act(t, v.area, "ec2", "DisassociateRouteTable", &ec2.DisassociateRouteTableInput{AssociationId: association})
	act(t, v.area, "ec2", "DeleteRouteTable", &ec2.DeleteRouteTableInput{RouteTableId: table})
	v.forbid(t, s.groups[v], port("tcp", 443, "10.9.0.0/16"))
	g.reaches(t, at, silent)
	act(t, v.area, "ec2", "TerminateInstances", &ec2.TerminateInstancesInput{InstanceIds: []string{g.id}})
	await(t, "the subnet to be empty", func() (string, bool) {
		err := v.call(t.Context(), "ec2", "DeleteSubnet", &ec2.DeleteSubnetInput{SubnetId: subnet}, nil)
		return fmt.Sprint(err), err == nil
	})
	act(t, v.area, "ec2", "DisassociateVpcCidrBlock", &ec2.DisassociateVpcCidrBlockInput{AssociationId: *more.CidrBlockAssociation.AssociationId})
}

// s15: the internet needs a gateway, a route and an address.
func s15(t *testing.T, s *seed) {
	v, at := s.public, s.serviceAt["ssm"]+":443"
	s.open.reaches(t, at, reached)
	v.unroute(t, "0.0.0.0/0")
	s.open.reaches(t, at, silent)
	v.route(t, &ec2.CreateRouteInput{DestinationCidrBlock: new("0.0.0.0/0"), GatewayId: &s.internet})
	s.open.reaches(t, at, reached)
	addresses := do[ec2.DescribeAddressesOutput](t, v.area, "ec2", "DescribeAddresses", &ec2.DescribeAddressesInput{AllocationIds: []string{s.address}}).Addresses
	act(t, v.area, "ec2", "DisassociateAddress", &ec2.DisassociateAddressInput{AssociationId: addresses[0].AssociationId})
	s.open.reaches(t, at, silent)
	act(t, v.area, "ec2", "DetachInternetGateway", &ec2.DetachInternetGatewayInput{InternetGatewayId: s.internet, VpcId: v.id})
	act(t, v.area, "ec2", "AttachInternetGateway", &ec2.AttachInternetGatewayInput{InternetGatewayId: s.internet, VpcId: v.id})
	s.associate(t)
	s.open.reaches(t, at, reached)
}

// s16: a network on-premises that a VPN joins reaches the endpoints' private addresses.
func s16(t *testing.T, s *seed) {
	rule := port("tcp", 443, officeCIDR)
	s.hybrid.permit(t, s.groups[s.hybrid], rule)
	at := endpointAt("ssm") + ":443"
	s.office.reaches(t, at, reached)
	act(t, s.hybrid.area, "ec2", "DeleteVpnConnectionRoute", &ec2.DeleteVpnConnectionRouteInput{DestinationCidrBlock: officeCIDR, VpnConnectionId: s.connection})
	s.office.reaches(t, at, silent)
	act(t, s.hybrid.area, "ec2", "CreateVpnConnectionRoute", &ec2.CreateVpnConnectionRouteInput{DestinationCidrBlock: officeCIDR, VpnConnectionId: s.connection})
	s.office.reaches(t, at, reached)
	s.hybrid.forbid(t, s.groups[s.hybrid], rule)
	s.office.reaches(t, at, silent)
}

// s17: security groups are stateful, network ACLs are not, and either can deny.
func s17(t *testing.T, s *seed) {
	v, at := s.page, endpointAt("ssm")+":443"
	s.probe.reaches(t, at, reached)
	entry := &ec2.CreateNetworkAclEntryInput{NetworkAclId: v.acl, RuleNumber: 50, Protocol: "6", RuleAction: "deny", CidrBlock: new("10.0.1.60/32"), PortRange: &ec2.PortRange{From: new(int64(443)), To: new(int64(443))}}
	act(t, v.area, "ec2", "CreateNetworkAclEntry", entry) // into the endpoints' subnet
	s.probe.reaches(t, at, silent)
	act(t, v.area, "ec2", "DeleteNetworkAclEntry", &ec2.DeleteNetworkAclEntryInput{NetworkAclId: v.acl, RuleNumber: 50})
	s.probe.reaches(t, at, reached)
	entry.CidrBlock, entry.PortRange = new("10.0.2.0/24"), &ec2.PortRange{From: new(int64(1024)), To: new(int64(65535))}
	act(t, v.area, "ec2", "CreateNetworkAclEntry", entry) // the answers, into the nodes' subnet
	s.probe.reaches(t, at, silent)
	act(t, v.area, "ec2", "DeleteNetworkAclEntry", &ec2.DeleteNetworkAclEntryInput{NetworkAclId: v.acl, RuleNumber: 50})
	s.probe.reaches(t, at, reached) // though the group of probe lets nothing in
	rule := port("tcp", 443, "10.0.0.0/16")
	v.forbid(t, s.groups[v], rule)
	s.probe.reaches(t, at, silent)
	v.permit(t, s.groups[v], rule)
	s.probe.reaches(t, at, reached)
}

// s18: who configures endpoints against the restrictions is told.
func s18(t *testing.T, s *seed) {
	v := s.page
	create := func(change func(*ec2.CreateVpcEndpointInput)) *ec2.CreateVpcEndpointInput {
		in := &ec2.CreateVpcEndpointInput{VpcId: v.id, VpcEndpointType: new("Interface"), ServiceName: new(v.service("logs")), SubnetIds: []string{v.subnets["endpoints"]}}
		change(in)
		return in
	}
	for _, c := range []struct {
		code, words string
		change      func(*ec2.CreateVpcEndpointInput)
	}{
		{"InvalidServiceName", "eu-west-1", func(in *ec2.CreateVpcEndpointInput) { in.ServiceName = new("com.amazonaws.eu-west-1.logs") }},
		{"InvalidParameter", "conflicting DNS domain", func(in *ec2.CreateVpcEndpointInput) {
			in.ServiceName, in.PrivateDnsEnabled = new(v.service("ssm")), new(true)
		}},
		{"DuplicateSubnetsInSameZone", "availability zone", func(in *ec2.CreateVpcEndpointInput) {
			in.SubnetIds = append(in.SubnetIds, v.subnet(t, "again", "10.0.4.0/24", "b"))
		}},
		{"InvalidSubnetID.NotFound", "", func(in *ec2.CreateVpcEndpointInput) { in.SubnetIds = []string{"subnet-00000000000000000"} }},
		{"InvalidParameter", "different networks", func(in *ec2.CreateVpcEndpointInput) { in.SubnetIds = []string{s.hybrid.subnets["endpoints"]} }},
	} {
		if message := v.refuses(t, c.code, "ec2", "CreateVpcEndpoint", create(c.change), new(ec2.CreateVpcEndpointOutput)); !strings.Contains(message, c.words) {
			t.Errorf("%s: %q", c.code, message)
		}
	}
	act(t, v.area, "ec2", "DeleteSubnet", &ec2.DeleteSubnetInput{SubnetId: v.subnets["again"]})
	plain := s.public
	plain.attribute(t, false)
	in := &ec2.CreateVpcEndpointInput{VpcId: plain.id, VpcEndpointType: new("Interface"), ServiceName: new(v.service("ssm")), SubnetIds: []string{plain.subnets["nodes"]}, PrivateDnsEnabled: new(true)}
	if message := v.refuses(t, "InvalidParameter", "ec2", "CreateVpcEndpoint", in, new(ec2.CreateVpcEndpointOutput)); !strings.Contains(message, "enableDnsSupport and enableDnsHostnames") {
		t.Errorf("without the attributes: %s", message)
	}
	plain.attribute(t, true)
}

// s23: endpoints are used over peering connections, of the same Region and of another, by their own names.
func s23(t *testing.T, s *seed) {
	name := s.hybrid.vpceName(t, "ssm")
	for v, g := range map[*vpc]*guest{s.near: s.neighbour, s.far: s.stranger} {
		g.resolves(t, name, endpointAt("ssm"))
		g.resolves(t, g.host("ssm"), s.serviceAt["ssm"]) // the private name stays in its VPC
		g.listsAt(t, name, silent)                       // as long as the endpoint's group does not know it
		rule := port("tcp", 443, v.cidr)
		s.hybrid.permit(t, s.groups[s.hybrid], rule)
		g.listsAt(t, name, reached)
		s.hybrid.unroute(t, v.cidr)
		g.listsAt(t, name, silent)
		s.hybrid.route(t, &ec2.CreateRouteInput{DestinationCidrBlock: &v.cidr, VpcPeeringConnectionId: new(s.pcx[v])})
		g.listsAt(t, name, reached)
		s.hybrid.forbid(t, s.groups[s.hybrid], rule)
	}
	await(t, "the endpoint in the audit trail", func() (string, bool) {
		seen := map[string]bool{}
		for _, r := range s.audited(t, "ListDocuments") {
			seen[r.SourceIPAddress] = seen[r.SourceIPAddress] || r.VPCEndpointID == s.hybrid.endpoints["ssm"]
		}
		return fmt.Sprint(seen), seen["10.1.1.60"] && seen["10.2.1.60"]
	})
	pair := ec2.IpPermission{IpProtocol: new("tcp"), FromPort: new(int64(443)), ToPort: new(int64(443)), UserIdGroupPairs: []ec2.UserIdGroupPair{{GroupId: new(s.stranger.groups(t)[0])}}}
	s.hybrid.refuses(t, "InvalidGroup.NotFound", "ec2", "AuthorizeSecurityGroupIngress",
		&ec2.AuthorizeSecurityGroupIngressInput{GroupId: new(s.groups[s.hybrid]), IpPermissions: []ec2.IpPermission{pair}}, new(ec2.AuthorizeSecurityGroupIngressOutput))
	pair.UserIdGroupPairs[0].GroupId = new(s.neighbour.groups(t)[0]) // a group of the same Region is known
	s.hybrid.permit(t, s.groups[s.hybrid], pair)
	s.neighbour.listsAt(t, name, reached)
	s.hybrid.forbid(t, s.groups[s.hybrid], pair)
	s.neighbour.listsAt(t, name, silent)
}

// s24: of peering connections that wait to be accepted there are not more than AWS allows.
func s24(t *testing.T, s *seed) {
	a := s.in("ap-south-1")
	from := a.newVPC(t, "10.50.0.0/16")
	made := []string{}
	var last error
	for i := range 40 {
		to := s.in([]string{"ap-south-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-east-1"}[i/5])
		id := *do[ec2.CreateVpcOutput](t, to, "ec2", "CreateVpc", &ec2.CreateVpcInput{CidrBlock: new("10.51.0.0/16")}).Vpc.VpcId
		t.Cleanup(func() {
			_ = to.call(context.WithoutCancel(t.Context()), "ec2", "DeleteVpc", &ec2.DeleteVpcInput{VpcId: id}, nil)
		})
		out := new(ec2.CreateVpcPeeringConnectionOutput)
		if last = a.call(t.Context(), "ec2", "CreateVpcPeeringConnection", &ec2.CreateVpcPeeringConnectionInput{VpcId: from.id, PeerVpcId: &id, PeerRegion: &to.region}, out); last != nil {
			break
		}
		made = append(made, *out.VpcPeeringConnection.VpcPeeringConnectionId)
	}
	if got := said(last); len(made) != 25 || !strings.HasPrefix(got, "OutstandingVpcPeeringConnectionLimitExceeded") {
		t.Errorf("after %d requests: %s", len(made), got)
	}
	for _, id := range made {
		act(t, a, "ec2", "DeleteVpcPeeringConnection", &ec2.DeleteVpcPeeringConnectionInput{VpcPeeringConnectionId: id})
	}
	act(t, a, "ec2", "DeleteVpc", &ec2.DeleteVpcInput{VpcId: from.id})
}

// s25: what comes over a VPN is never led into a gateway endpoint.
func s25(t *testing.T, s *seed) {
	at := s.serviceAt["s3"] + ":443"
	s.twin.reaches(t, at, reached) // from the VPC itself
	tunnel := ""
	for _, line := range strings.Split(s.ip(t, "office", "-o", "link", "show"), "\n") {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], "t") {
			tunnel = strings.TrimSuffix(strings.Split(f[1], "@")[0], ":")
		}
	}
	before, _ := s.packets(t, "office", tunnel)
	through := *s.office
	through.device = tunnel
	if got := through.probe(at, silence); got != silent {
		t.Errorf("through the tunnel: %s", got)
	}
	if after, _ := s.packets(t, "office", tunnel); after == before {
		t.Error("nothing went through the tunnel")
	}
	act(t, s.hybrid.area, "ec2", "ModifyVpcEndpoint", &ec2.ModifyVpcEndpointInput{VpcEndpointId: s.gateway, RemoveRouteTableIds: []string{s.hybrid.table}})
	s.twin.reaches(t, at, silent)
	act(t, s.hybrid.area, "ec2", "ModifyVpcEndpoint", &ec2.ModifyVpcEndpointInput{VpcEndpointId: s.gateway, AddRouteTableIds: []string{s.hybrid.table}})
	s.twin.reaches(t, at, reached)
}

// s26: nor what comes over a peering connection.
func s26(t *testing.T, s *seed) {
	lists := do[ec2.DescribePrefixListsOutput](t, s.near.area, "ec2", "DescribePrefixLists", &ec2.DescribePrefixListsInput{
		Filters: []ec2.Filter{{Name: new("prefix-list-name"), Values: []string{s.near.service("s3")}}},
	}).PrefixLists
	at := s.serviceAt["s3"] + ":443"
	for _, cidr := range lists[0].Cidrs {
		s.near.route(t, &ec2.CreateRouteInput{DestinationCidrBlock: &cidr, VpcPeeringConnectionId: new(s.pcx[s.near])})
	}
	s.neighbour.reaches(t, at, silent)
	for _, cidr := range lists[0].Cidrs {
		s.near.unroute(t, cidr)
	}
	own := *do[ec2.CreateVpcEndpointOutput](t, s.near.area, "ec2", "CreateVpcEndpoint", &ec2.CreateVpcEndpointInput{
		VpcId: s.near.id, ServiceName: new(s.near.service("s3")), RouteTableIds: []string{s.near.table},
	}).VpcEndpoint.VpcEndpointId
	s.neighbour.reaches(t, at, reached) // its own is what it needs
	s.near.drop(t, own)
	s.neighbour.reaches(t, at, silent)
}

// s27: of gateway endpoints there are not more than AWS allows.
func s27(t *testing.T, s *seed) {
	v, made := s.hybrid, []string{}
	var last error
	for range 30 {
		out := new(ec2.CreateVpcEndpointOutput)
		if last = v.call(t.Context(), "ec2", "CreateVpcEndpoint", &ec2.CreateVpcEndpointInput{VpcId: v.id, ServiceName: new(v.service("s3"))}, out); last != nil {
			break
		}
		made = append(made, *out.VpcEndpoint.VpcEndpointId)
	}
	if got := said(last); len(made) != 19 || !strings.HasPrefix(got, "VpcEndpointLimitExceeded") {
		t.Errorf("after %d more: %s", len(made), got)
	}
	act(t, v.area, "ec2", "DeleteVpcEndpoints", &ec2.DeleteVpcEndpointsInput{VpcEndpointIds: made})
}

// s28: the endpoint's group must let the nodes' subnet in on port 443.
func s28(t *testing.T, s *seed) {
	s.probe.lists(t, reached)
	s.page.forbid(t, s.groups[s.page], port("tcp", 443, "10.0.0.0/16"))
	s.page.permit(t, s.groups[s.page], port("tcp", 443, "10.0.9.0/24"), port("tcp", 80, "10.0.1.0/24")) // another subnet, and another port
	s.probe.lists(t, silent)
	s.page.permit(t, s.groups[s.page], port("tcp", 443, "10.0.1.0/24")) // the subnet's range is enough
	s.probe.lists(t, reached)
	s.page.forbid(t, s.groups[s.page], port("tcp", 443, "10.0.1.0/24", "10.0.9.0/24"), port("tcp", 80, "10.0.1.0/24"))
	s.page.permit(t, s.groups[s.page], port("tcp", 443, "10.0.0.0/16"))
	s.probe.lists(t, reached)
}

// s29: without that rule connections are dropped, not refused.
func s29(t *testing.T, s *seed) {
	all := port("tcp", 443, "10.0.0.0/16")
	s.page.forbid(t, s.groups[s.page], all)
	for _, service := range seedServices {
		s.probe.reaches(t, service.address+":443", silent)
	}
	s.probe.resolves(t, s.probe.host("ssm"), endpointAt("ssm")) // the name goes on to lead there
	s.page.permit(t, s.groups[s.page], all)
	for _, service := range seedServices {
		s.probe.reaches(t, service.address+":443", reached)
	}
}

// s30: who asks another DNS server than the VPC's is led astray, unless that forwards amazonaws.com.
func s30(t *testing.T, s *seed) {
	v := s.page
	own := s.probe.address.String()
	options := *do[ec2.CreateDhcpOptionsOutput](t, v.area, "ec2", "CreateDhcpOptions", &ec2.CreateDhcpOptionsInput{DhcpConfigurations: []ec2.NewDhcpConfiguration{
		{Key: new("domain-name-servers"), Values: []string{own}},
	}}).DhcpOptions.DhcpOptionsId
	before := *do[ec2.DescribeVpcsOutput](t, v.area, "ec2", "DescribeVpcs", &ec2.DescribeVpcsInput{VpcIds: []string{v.id}}).Vpcs[0].DhcpOptionsId
	group := s.probe.groups(t)[0]
	v.permit(t, group, port("udp", 53, v.cidr))
	act(t, v.area, "ec2", "AssociateDhcpOptions", &ec2.AssociateDhcpOptionsInput{DhcpOptionsId: options, VpcId: v.id})
	s.node.reboot(t)
	await(t, "the instance to ask the other server", func() (string, bool) {
		got, err := s.node.exec(t.Context(), "grep ^nameserver /etc/resolv.conf")
		return got, err == nil && got == "nameserver "+own
	})
	client := *s.node.place
	client.dns, client.keys = s.probe.address, s.probe.keys
	name := client.host("ssm")
	serve := []string{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=", "--port=53", "--bind-interfaces", "--listen-address=" + own}
	t.Run("Without", func(t *testing.T) { // it says what the public DNS says
		s.probe.within(t, append(serve, "--address=/"+name+"/"+s.serviceAt["ssm"])...)
		client.resolves(t, name, s.serviceAt["ssm"])
		client.lists(t, silent)
	})
	t.Run("With", func(t *testing.T) {
		s.probe.within(t, append(serve, "--server=/amazonaws.com/10.0.0.2")...)
		client.resolves(t, name, endpointAt("ssm"))
		client.lists(t, reached)
	})
	act(t, v.area, "ec2", "AssociateDhcpOptions", &ec2.AssociateDhcpOptionsInput{DhcpOptionsId: before, VpcId: v.id})
	v.forbid(t, group, port("udp", 53, v.cidr))
	s.node.reboot(t)
	await(t, "the instance to ask the VPC's again", func() (string, bool) {
		got, err := s.node.exec(t.Context(), "grep ^nameserver /etc/resolv.conf")
		return got, err == nil && got == "nameserver 10.0.0.2"
	})
	act(t, v.area, "ec2", "DeleteDhcpOptions", &ec2.DeleteDhcpOptionsInput{DhcpOptionsId: options})
}

// s43: a machine on-premises gets private addresses from the inbound Resolver endpoint, or is given the endpoint's own name.
func s43(t *testing.T, s *seed) {
	s.office.resolves(t, s.office.host("ssm"), endpointAt("ssm"))
	s.office.resolves(t, s.hybrid.vpceName(t, "ssm"), endpointAt("ssm"))
	act(t, s.hybrid.area, "ec2", "ModifyVpcEndpoint", &ec2.ModifyVpcEndpointInput{VpcEndpointId: s.hybrid.endpoints["ssm"], PrivateDnsEnabled: new(false)})
	s.office.resolves(t, s.office.host("ssm"), s.serviceAt["ssm"])
	s.office.resolves(t, s.hybrid.vpceName(t, "ssm"), endpointAt("ssm"))
	act(t, s.hybrid.area, "ec2", "ModifyVpcEndpoint", &ec2.ModifyVpcEndpointInput{VpcEndpointId: s.hybrid.endpoints["ssm"], PrivateDnsEnabled: new(true)})
	s.office.resolves(t, s.office.host("ssm"), endpointAt("ssm"))
	direct := *s.office
	direct.dns = netip.MustParseAddr("10.0.0.2") // the VPC's own resolver is not for others
	direct.resolves(t, direct.host("ssm"))
}

// s44: Resolver answers the office, and asks it.
func s44(t *testing.T, s *seed) {
	second := *s.office
	second.dns = netip.MustParseAddr("10.0.2.54")
	second.resolves(t, second.host("ssm"), endpointAt("ssm"))
	s.office.within(t, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=", "--port=53",
		"--bind-interfaces", "--listen-address="+officeRouter, "--address=/printer.corp.example/192.168.50.77")
	v := s.hybrid
	out := v.resolver(t, route53resolver.ResolverEndpointDirectionOUTBOUND, v.group(t, "asking"), "endpoints", "10.0.2.55", "10.0.2.56")
	rule := *do[route53resolver.CreateResolverRuleOutput](t, v.area, "route53resolver", "CreateResolverRule", &route53resolver.CreateResolverRuleInput{
		CreatorRequestId: "corp", RuleType: "FORWARD", DomainName: new("corp.example"), ResolverEndpointId: &out,
		TargetIps: []route53resolver.TargetAddress{{Ip: new(officeRouter), Port: new(int64(53))}},
	}).ResolverRule.Id
	const name = "printer.corp.example"
	s.twin.resolves(t, name) // no rule is associated yet
	act(t, v.area, "route53resolver", "AssociateResolverRule", &route53resolver.AssociateResolverRuleInput{ResolverRuleId: rule, VPCId: v.id})
	s.twin.resolves(t, name, "192.168.50.77")
	s.twin.resolves(t, s.twin.host("ssm"), endpointAt("ssm"))
	s.probe.resolves(t, name) // another VPC
	act(t, v.area, "route53resolver", "DisassociateResolverRule", &route53resolver.DisassociateResolverRuleInput{ResolverRuleId: rule, VPCId: v.id})
	s.twin.resolves(t, name)
	await(t, "the rule to be deleted", func() (string, bool) {
		err := v.call(t.Context(), "route53resolver", "DeleteResolverRule", &route53resolver.DeleteResolverRuleInput{ResolverRuleId: rule}, nil)
		return fmt.Sprint(err), err == nil
	})
	act(t, v.area, "route53resolver", "DeleteResolverEndpoint", &route53resolver.DeleteResolverEndpointInput{ResolverEndpointId: out})
}

// s45: an agent before 3.3.40.0 is Online and gets its commands with ssm and ec2messages alone; it has no sessions.
func s45(t *testing.T, s *seed) {
	v := s.page
	ask := func(service, operation string, in, out any, wait time.Duration) error {
		return s.probe.client(service, s.probe.host(service), wait).Call(t.Context(), operation, in, out)
	}
	in := &ssm.UpdateInstanceInformationInput{
		InstanceId: s.probe.id, AgentVersion: new("3.2.2303.0"), AgentStatus: new("Active"), PlatformType: new("Linux"), PlatformName: new("Debian"), PlatformVersion: new("12"),
	}
	if err := ask("ssm", "UpdateInstanceInformation", in, new(ssm.UpdateInstanceInformationOutput), patience/6); err != nil {
		t.Fatal(said(err))
	}
	v.online(t, s.probe.id)
	status := do[ssm.GetConnectionStatusOutput](t, v.area, "ssm", "GetConnectionStatus", &ssm.GetConnectionStatusInput{Target: s.probe.id})
	if *status.Status != "notconnected" {
		t.Errorf("for sessions it is %s", *status.Status)
	}
	command := v.send(t, "echo old", s.probe.id)
	got := new(ec2messages.GetMessagesOutput)
	poll := &ec2messages.GetMessagesInput{Destination: s.probe.id, MessagesRequestId: "00000000-0000-4000-8000-000000000001", VisibilityTimeoutInSeconds: new(int64(10))}
	if err := ask("ec2messages", "GetMessages", poll, got, patience); err != nil || len(got.Messages) != 1 || !strings.Contains(got.Messages[0].Payload, command) {
		t.Fatalf("the message is %+v, %v", got.Messages, err)
	}
	if err := ask("ec2messages", "AcknowledgeMessage", &ec2messages.AcknowledgeMessageInput{MessageId: got.Messages[0].MessageId}, nil, patience); err != nil {
		t.Error(said(err))
	}
	act(t, v.area, "ssm", "CancelCommand", &ssm.CancelCommandInput{CommandId: command})
	v.drop(t, v.endpoints["ec2messages"])
	s.probe.resolves(t, s.probe.host("ec2messages"), s.serviceAt["ec2messages"])
	if got := said(ask("ec2messages", "GetMessages", poll, new(ec2messages.GetMessagesOutput), silence)); got != silent {
		t.Errorf("without the endpoint: %s", got)
	}
	v.endpoint(t, "ec2messages", "endpoints", endpointAt("ec2messages"), s.groups[v])
	s.probe.resolves(t, s.probe.host("ec2messages"), endpointAt("ec2messages"))
}

// s47: the endpoint service for Systems Manager is offered, and works.
func s47(t *testing.T, s *seed) {
	s.offered(t, "ssm")
	s.probe.lists(t, reached)
	s.page.drop(t, s.page.endpoints["ssm"])
	s.probe.lists(t, silent)
	s.page.endpoint(t, "ssm", "endpoints", endpointAt("ssm"), s.groups[s.page])
	s.probe.lists(t, reached)
}

// offered wants an endpoint service to be offered, with AWS's private name.
func (s *seed) offered(t testing.TB, service string) {
	t.Helper()
	name := s.page.service(service)
	out := do[ec2.DescribeVpcEndpointServicesOutput](t, s.page.area, "ec2", "DescribeVpcEndpointServices", &ec2.DescribeVpcEndpointServicesInput{ServiceNames: []string{name}})
	if len(out.ServiceDetails) != 1 || *out.ServiceDetails[0].PrivateDnsName != s.probe.host(service) {
		t.Errorf("%s: %+v", name, out.ServiceDetails)
	}
}

// s48: an agent that is denied the control channel polls through the endpoint for ec2messages.
func s48(t *testing.T, s *seed) {
	v := s.page
	s.offered(t, "ec2messages")
	v.policy(t, v.endpoints["ssmmessages"], `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`)
	s.node.reboot(t)
	s.channel(t, s.node.id, "notconnected") // what ran before the reboot is gone
	v.runs(t, "echo polled", "polled", s.node.id)
	await(t, "a record that the node has polled through the endpoint", func() (string, bool) { // it is written once the answer is sent
		records := s.audited(t, "GetMessages")
		return fmt.Sprint(records), slices.ContainsFunc(records, func(r record) bool {
			return strings.HasSuffix(r.UserIdentity.ARN, s.node.id) && r.VPCEndpointID == v.endpoints["ec2messages"]
		})
	})
	v.policy(t, v.endpoints["ssmmessages"], "")
	s.node.reboot(t)
	s.channel(t, s.node.id, "connected")
}

// channel waits until a node's control channel has a status.
func (s *seed) channel(t testing.TB, node, status string) {
	t.Helper()
	await(t, "the control channel of "+node, func() (string, bool) {
		out := do[ssm.GetConnectionStatusOutput](t, s.page.area, "ssm", "GetConnectionStatus", &ssm.GetConnectionStatusInput{Target: node})
		return *out.Status, *out.Status == status
	})
}
