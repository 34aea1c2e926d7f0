package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/dataplane/linux/netns"
)

// seed is the network of AWS's page, and what is round it:
//
//	page    10.0/16  no way out; endpoints; a node, and a guest with the same role
//	hybrid  10.0/16  the same ranges and addresses; a VPN connection to the office; peered with near and far
//	near    10.1/16  of the same Region
//	far     10.2/16  of another Region
//	public  10.3/16  an internet gateway and no endpoints
type seed struct {
	*estate
	page, hybrid, near, far, public *vpc
	node, probe                     *guest // of page
	twin                            *guest // of hybrid, as probe
	neighbour, stranger             *guest // of near and of far
	open                            *guest // of public, with an agent
	office                          *place
	groups                          map[*vpc]string // of the endpoints
	pcx                             map[*vpc]string // peerings of near and far with hybrid
	connection                      string          // the VPN connection
	gateway                         string          // the S3 gateway endpoint of hybrid
	address                         string          // of the Elastic IP address of open
	internet                        string          // the internet gateway of public
	serviceAt                       map[string]string
}

// seedServices are the services with endpoints in page and hybrid, with the last byte of their address in 10.0.2/24.
var seedServices = []struct {
	name, address string
	both          bool
}{
	{"ssm", "10.0.2.10", true}, {"ssmmessages", "10.0.2.11", false}, {"ec2messages", "10.0.2.12", false}, {"ec2", "10.0.2.13", false},
}

// endpointAt is the address of a service's endpoint.
func endpointAt(service string) string {
	for _, s := range seedServices {
		if s.name == service {
			return s.address
		}
	}
	return ""
}

// nodeActions are what guests may do beside being nodes, so that calls can be tried.
var nodeActions = []string{
	"ssm:ListDocuments", "ssm:GetDocument", "ssm:DescribeDocument", "ssm:DescribeInstanceInformation", "ec2:DescribeInstances", "ssm:ListCommands",
}

// newSeed makes it.
func newSeed(t *testing.T) *seed {
	e := newEstate(t)
	s := &seed{estate: e, office: e.office("10.0.2.53"), groups: map[*vpc]string{}, pcx: map[*vpc]string{}, serviceAt: map[string]string{}}
	home, abroad := e.in("us-east-1"), e.in("eu-west-1")
	e.role(t, "Node", nodeActions...)
	e.role(t, "Open", nodeActions...)
	for at, cidr := range map[**vpc]string{&s.page: "10.0.0.0/16", &s.hybrid: "10.0.0.0/16", &s.near: "10.1.0.0/16", &s.public: "10.3.0.0/16"} {
		*at = home.newVPC(t, cidr)
	}
	s.far = abroad.newVPC(t, "10.2.0.0/16")
	nodes := map[*vpc]string{}
	for _, v := range []*vpc{s.page, s.hybrid, s.near, s.far, s.public} {
		base := strings.TrimSuffix(v.cidr, ".0.0/16")
		v.subnet(t, "nodes", base+".1.0/24", "a")
		nodes[v] = v.group(t, "node")
	}
	for _, v := range []*vpc{s.page, s.hybrid} {
		v.subnet(t, "endpoints", "10.0.2.0/24", "b")
		s.groups[v] = v.group(t, "endpoints", port("tcp", 443, "10.0.0.0/16"))
		for _, service := range seedServices {
			if v == s.page || service.both {
				v.endpoint(t, service.name, "endpoints", service.address, s.groups[v])
			}
		}
	}
	for v, area := range map[*vpc]*area{s.near: home, s.far: abroad} {
		s.pcx[v] = *do[ec2.CreateVpcPeeringConnectionOutput](t, home, "ec2", "CreateVpcPeeringConnection", &ec2.CreateVpcPeeringConnectionInput{
			VpcId: s.hybrid.id, PeerVpcId: &v.id, PeerRegion: &v.region,
		}).VpcPeeringConnection.VpcPeeringConnectionId
		act(t, area, "ec2", "AcceptVpcPeeringConnection", &ec2.AcceptVpcPeeringConnectionInput{VpcPeeringConnectionId: s.pcx[v]})
		s.hybrid.route(t, &ec2.CreateRouteInput{DestinationCidrBlock: &v.cidr, VpcPeeringConnectionId: new(s.pcx[v])})
		v.route(t, &ec2.CreateRouteInput{DestinationCidrBlock: &s.hybrid.cidr, VpcPeeringConnectionId: new(s.pcx[v])})
	}
	s.connection = s.hybrid.vpn(t)
	s.hybrid.inbound(t, "endpoints", "10.0.2.53", "10.0.2.54")
	s.gateway = *do[ec2.CreateVpcEndpointOutput](t, home, "ec2", "CreateVpcEndpoint", &ec2.CreateVpcEndpointInput{
		VpcId: s.hybrid.id, ServiceName: new(home.service("s3")), RouteTableIds: []string{s.hybrid.table},
	}).VpcEndpoint.VpcEndpointId
	s.internet = s.public.attachInternet(t)
	s.public.route(t, &ec2.CreateRouteInput{DestinationCidrBlock: new("0.0.0.0/0"), GatewayId: &s.internet})

	s.node = s.page.launch(t, agentImage, "nodes", "10.0.1.50", "Node", nodes[s.page])
	s.probe = s.page.launch(t, bareImage, "nodes", "10.0.1.60", "Node", nodes[s.page])
	s.twin = s.hybrid.launch(t, bareImage, "nodes", "10.0.1.60", "Node", nodes[s.hybrid])
	s.neighbour = s.near.launch(t, bareImage, "nodes", "10.1.1.60", "Node", nodes[s.near])
	s.stranger = s.far.launch(t, bareImage, "nodes", "10.2.1.60", "Node", nodes[s.far])
	s.open = s.public.launch(t, agentImage, "nodes", "10.3.1.50", "Open", nodes[s.public])
	s.address = *do[ec2.AllocateAddressOutput](t, home, "ec2", "AllocateAddress", &ec2.AllocateAddressInput{}).AllocationId
	running(t, s.node, s.probe, s.twin, s.neighbour, s.stranger, s.open)
	s.associate(t)
	for _, g := range []*guest{s.probe, s.twin, s.neighbour, s.stranger, s.open} {
		g.borrow(t)
	}
	s.stranger.place.region = "us-east-1" // it asks the Region of hybrid
	for _, service := range []string{"ssm", "ssmmessages", "ec2messages", "s3"} {
		list, err := s.open.resolve(s.open.host(service), patience)
		if err != nil || len(list) != 1 {
			t.Fatalf("the public address of %s is %v, %v", service, list, err)
		}
		s.serviceAt[service] = list[0]
	}
	return s
}

// associate gives open its Elastic IP address.
func (s *seed) associate(t testing.TB) {
	t.Helper()
	act(t, s.public.area, "ec2", "AssociateAddress", &ec2.AssociateAddressInput{AllocationId: &s.address, InstanceId: &s.open.id})
}

// attachInternet gives a VPC an internet gateway.
func (v *vpc) attachInternet(t testing.TB) string {
	t.Helper()
	id := *do[ec2.CreateInternetGatewayOutput](t, v.area, "ec2", "CreateInternetGateway", &ec2.CreateInternetGatewayInput{}).InternetGateway.InternetGatewayId
	act(t, v.area, "ec2", "AttachInternetGateway", &ec2.AttachInternetGatewayInput{InternetGatewayId: id, VpcId: v.id})
	return id
}

// vpn joins the office to a VPC and gives the connection.
func (v *vpc) vpn(t testing.TB) string {
	t.Helper()
	customer := *do[ec2.CreateCustomerGatewayOutput](t, v.area, "ec2", "CreateCustomerGateway", &ec2.CreateCustomerGatewayInput{
		Type: "ipsec.1", BgpAsn: new(int64(65000)), IpAddress: new(officePublic),
	}).CustomerGateway.CustomerGatewayId
	gateway := *do[ec2.CreateVpnGatewayOutput](t, v.area, "ec2", "CreateVpnGateway", &ec2.CreateVpnGatewayInput{Type: "ipsec.1"}).VpnGateway.VpnGatewayId
	act(t, v.area, "ec2", "AttachVpnGateway", &ec2.AttachVpnGatewayInput{VpcId: v.id, VpnGatewayId: gateway})
	connection := *do[ec2.CreateVpnConnectionOutput](t, v.area, "ec2", "CreateVpnConnection", &ec2.CreateVpnConnectionInput{
		Type: "ipsec.1", CustomerGatewayId: customer, VpnGatewayId: &gateway, Options: &ec2.VpnConnectionOptionsSpecification{StaticRoutesOnly: new(true)},
	}).VpnConnection.VpnConnectionId
	act(t, v.area, "ec2", "CreateVpnConnectionRoute", &ec2.CreateVpnConnectionRouteInput{DestinationCidrBlock: officeCIDR, VpnConnectionId: connection})
	act(t, v.area, "ec2", "EnableVgwRoutePropagation", &ec2.EnableVgwRoutePropagationInput{GatewayId: gateway, RouteTableId: v.table})
	return connection
}

// inbound makes an inbound Resolver endpoint that the office may ask.
func (v *vpc) inbound(t testing.TB, subnet string, addresses ...string) string {
	t.Helper()
	return v.resolver(t, route53resolver.ResolverEndpointDirectionINBOUND, v.group(t, "resolver", port("udp", 53, officeCIDR), port("tcp", 53, officeCIDR)), subnet, addresses...)
}

// resolver makes a Resolver endpoint, and waits until it works.
func (v *vpc) resolver(t testing.TB, direction, group, subnet string, addresses ...string) string {
	t.Helper()
	in := &route53resolver.CreateResolverEndpointInput{CreatorRequestId: direction + v.id, Direction: direction, SecurityGroupIds: []string{group}}
	for _, a := range addresses {
		in.IpAddresses = append(in.IpAddresses, route53resolver.IpAddressRequest{SubnetId: v.subnets[subnet], Ip: &a})
	}
	id := *do[route53resolver.CreateResolverEndpointOutput](t, v.area, "route53resolver", "CreateResolverEndpoint", in).ResolverEndpoint.Id
	await(t, "the Resolver endpoint to work", func() (string, bool) {
		out := do[route53resolver.GetResolverEndpointOutput](t, v.area, "route53resolver", "GetResolverEndpoint", &route53resolver.GetResolverEndpointInput{ResolverEndpointId: id})
		return *out.ResolverEndpoint.Status, *out.ResolverEndpoint.Status == "OPERATIONAL"
	})
	return id
}

// vpceName is the Regional name of an endpoint's own.
func (v *vpc) vpceName(t testing.TB, service string) string {
	t.Helper()
	out := do[ec2.DescribeVpcEndpointsOutput](t, v.area, "ec2", "DescribeVpcEndpoints", &ec2.DescribeVpcEndpointsInput{VpcEndpointIds: []string{v.endpoints[service]}})
	return *out.VpcEndpoints[0].DnsEntries[0].DnsName
}

// premises is our agent on a machine of the office: a managed node without an instance.
type premises struct {
	*estate
	office *place
	state  string
	id     string
	cmd    *exec.Cmd
}

// hybridNode registers a machine of the office. It asks the Resolver endpoint, and knows nothing but AWS's names.
func (e *estate) hybridNode(t testing.TB, office *place) *premises {
	t.Helper()
	a := e.in("us-east-1")
	e.role(t, "HybridNode")
	p := &premises{estate: e, office: office, state: filepath.Join(e.folder, "premises")}
	t.Cleanup(func() { p.stop() })
	p.register(t, a, true)
	return p
}

// register registers, with a new activation; ok says whether that is to be allowed.
func (p *premises) register(t testing.TB, a *area, ok bool) string {
	t.Helper()
	activation := do[ssm.CreateActivationOutput](t, a, "ssm", "CreateActivation", &ssm.CreateActivationInput{IamRole: "HybridNode"})
	c := p.command("register", "--force", "--state", p.state, "--ca", p.serve.CA, "--region", "us-east-1", "--id", *activation.ActivationId, "--code", *activation.ActivationCode)
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	err := p.start(c)
	if err == nil {
		err = c.Wait()
	}
	if (err == nil) != ok {
		t.Fatalf("registering: %v\n%s", err, out.String())
	}
	if ok {
		text := strings.TrimSpace(out.String())
		p.id = text[strings.LastIndexByte(text, ' ')+1:]
	}
	return out.String()
}

// command is the agent with the resolver of the office.
func (p *premises) command(args ...string) *exec.Cmd {
	resolv := filepath.Join(p.folder, "resolv.conf")
	_ = os.WriteFile(resolv, fmt.Appendf(nil, "nameserver %s\n", p.office.dns), 0o644)
	c := exec.Command("unshare", append([]string{"--mount", "bash", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, resolv, program, "agent"}, args...)...)
	c.Env = append(os.Environ(), "no_proxy=*", "NO_PROXY=*")
	return c
}

// start starts a program in the office.
func (p *premises) start(c *exec.Cmd) error {
	ns, err := p.office.open()
	if err != nil {
		return err
	}
	defer func() { _ = ns.Close() }() // the program stays in it
	return netns.Do(ns, c.Start)
}

// run runs the agent.
func (p *premises) run(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(p.folder, "premises.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the agent has its own
	p.cmd = p.command("run", "--state", p.state, "--reboot-command", "true")
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.start(p.cmd); err != nil {
		t.Fatal(err)
	}
}

// stop ends the agent.
func (p *premises) stop() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}
