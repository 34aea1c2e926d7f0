package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/instance"
	"github.com/vennel/vennel/wire"
)

// The lab's network is the one of AWS's page "Improve the security of EC2 instances by using VPC endpoints for Systems
// Manager": a private subnet without a way out, endpoints in a second zone as well, and an office that a VPN joins to it.
var (
	seedVPC      = netip.MustParsePrefix("10.0.0.0/16")
	seedSubnets  = []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24"), netip.MustParsePrefix("10.0.2.0/24")}
	seedResolver = []netip.Addr{netip.MustParseAddr("10.0.1.53"), netip.MustParseAddr("10.0.2.53")}
	seedOffice   = dataplane.Site{ID: "office", CIDR: netip.MustParsePrefix("192.168.50.0/24"), Internet: netip.MustParseAddr("198.19.255.10")}
	seedDesk     = netip.MustParseAddr("192.168.50.10")
	seedServices = []string{"ssm", "ssmmessages", "ec2messages"}
)

// Seed is what the lab has made; its ids are what the user is shown to break and mend.
type Seed struct {
	VPC, Groups, Instance string
	Subnets               []string
	Endpoints             map[string]string // by service
}

// seeder makes the lab's network through the API, as any user would.
type seeder struct {
	ready   Ready
	clients map[string]*wire.Client
}

// call calls an operation of a service.
func call[Out, In any](ctx context.Context, s *seeder, service, operation string, in *In) (*Out, error) {
	if s.clients[service] == nil {
		client, err := clientOf(s.ready, service)
		if err != nil {
			return nil, err
		}
		s.clients[service] = client
	}
	out := new(Out)
	if err := s.clients[service].Call(ctx, operation, in, out); err != nil {
		return nil, fmt.Errorf("%s: %w", operation, err)
	}
	return out, nil
}

// named are the tags of what the lab makes.
func named(kind, name string) []ec2.TagSpecification {
	return []ec2.TagSpecification{{ResourceType: &kind, Tags: []ec2.Tag{{Key: new("Name"), Value: &name}, {Key: new("lab"), Value: new("yes")}}}}
}

// find gives what an earlier lab in the folder has made; nil when none has.
func (s *seeder) find(ctx context.Context) (*Seed, error) {
	lab := []ec2.Filter{{Name: new("tag:lab"), Values: []string{"yes"}}}
	instances, err := call[ec2.DescribeInstancesOutput](ctx, s, "ec2", "DescribeInstances", &ec2.DescribeInstancesInput{Filters: append(lab,
		ec2.Filter{Name: new("instance-state-name"), Values: []string{"pending", "running", "stopping", "stopped"}})})
	if err != nil || len(instances.Reservations) == 0 {
		return nil, err
	}
	i := instances.Reservations[0].Instances[0]
	seed := &Seed{VPC: *i.VpcId, Instance: *i.InstanceId, Endpoints: map[string]string{}}
	endpoints, err := call[ec2.DescribeVpcEndpointsOutput](ctx, s, "ec2", "DescribeVpcEndpoints", &ec2.DescribeVpcEndpointsInput{Filters: lab})
	if err != nil {
		return nil, err
	}
	for _, e := range endpoints.VpcEndpoints {
		for _, service := range seedServices {
			if *e.ServiceName == "com.amazonaws."+s.ready.Region+"."+service {
				seed.Endpoints[service] = *e.VpcEndpointId
				if len(e.Groups) > 0 {
					seed.Groups = *e.Groups[0].GroupId
				}
			}
		}
	}
	return seed, nil
}

// make makes the network and its instance.
func (s *seeder) make(ctx context.Context, official bool) (*Seed, error) {
	seed := &Seed{Endpoints: map[string]string{}}
	vpc, err := call[ec2.CreateVpcOutput](ctx, s, "ec2", "CreateVpc", &ec2.CreateVpcInput{CidrBlock: new(seedVPC.String()), TagSpecifications: named("vpc", "lab")})
	if err != nil {
		return nil, err
	}
	seed.VPC = *vpc.Vpc.VpcId
	_, err = call[ec2.ModifyVpcAttributeOutput](ctx, s, "ec2", "ModifyVpcAttribute", &ec2.ModifyVpcAttributeInput{
		VpcId: seed.VPC, EnableDnsHostnames: &ec2.AttributeBooleanValue{Value: new(true)},
	})
	if err != nil {
		return nil, err
	}
	for i, cidr := range seedSubnets {
		out, err := call[ec2.CreateSubnetOutput](ctx, s, "ec2", "CreateSubnet", &ec2.CreateSubnetInput{
			VpcId: seed.VPC, CidrBlock: new(cidr.String()), AvailabilityZone: new(s.ready.Region + string(rune('a'+i))),
			TagSpecifications: named("subnet", fmt.Sprintf("private-%c", 'a'+i)),
		})
		if err != nil {
			return nil, err
		}
		seed.Subnets = append(seed.Subnets, *out.Subnet.SubnetId)
	}
	office := seedOffice.CIDR.String()
	if seed.Groups, err = s.group(ctx, seed.VPC, "endpoints", "HTTPS from the nodes",
		permission("tcp", 443, seedVPC.String(), office)); err != nil {
		return nil, err
	}
	if err := s.office(ctx, seed); err != nil { // first: its resolver's addresses are those that the office's machine asks
		return nil, err
	}
	for _, service := range seedServices {
		out, err := call[ec2.CreateVpcEndpointOutput](ctx, s, "ec2", "CreateVpcEndpoint", &ec2.CreateVpcEndpointInput{
			VpcId: seed.VPC, VpcEndpointType: new(ec2.VpcEndpointTypeInterface), ServiceName: new("com.amazonaws." + s.ready.Region + "." + service),
			SubnetIds: seed.Subnets, SecurityGroupIds: []string{seed.Groups}, PrivateDnsEnabled: new(true), TagSpecifications: named("vpc-endpoint", service),
		})
		if err != nil {
			return nil, err
		}
		seed.Endpoints[service] = *out.VpcEndpoint.VpcEndpointId
	}
	return seed, s.instance(ctx, seed, official)
}

// permission lets a port in from ranges.
func permission(protocol string, port int64, cidrs ...string) ec2.IpPermission {
	p := ec2.IpPermission{IpProtocol: &protocol, FromPort: &port, ToPort: &port}
	for _, cidr := range cidrs {
		p.IpRanges = append(p.IpRanges, ec2.IpRange{CidrIp: new(cidr)})
	}
	return p
}

// group makes a security group with what it lets in.
func (s *seeder) group(ctx context.Context, vpc, name, about string, in ...ec2.IpPermission) (string, error) {
	out, err := call[ec2.CreateSecurityGroupOutput](ctx, s, "ec2", "CreateSecurityGroup", &ec2.CreateSecurityGroupInput{
		VpcId: &vpc, GroupName: name, Description: about, TagSpecifications: named("security-group", name),
	})
	if err != nil || len(in) == 0 {
		return id(out), err
	}
	_, err = call[ec2.AuthorizeSecurityGroupIngressOutput](ctx, s, "ec2", "AuthorizeSecurityGroupIngress", &ec2.AuthorizeSecurityGroupIngressInput{
		GroupId: out.GroupId, IpPermissions: in,
	})
	return id(out), err
}

// id is the id of a group that was made.
func id(out *ec2.CreateSecurityGroupOutput) string {
	if out == nil {
		return ""
	}
	return api.Or(out.GroupId, "")
}

// office joins the office to the VPC: a VPN connection, and an inbound Resolver endpoint that its machines ask.
func (s *seeder) office(ctx context.Context, seed *Seed) error {
	office := seedOffice.CIDR.String()
	customer, err := call[ec2.CreateCustomerGatewayOutput](ctx, s, "ec2", "CreateCustomerGateway", &ec2.CreateCustomerGatewayInput{
		Type: "ipsec.1", BgpAsn: new(int64(65000)), IpAddress: new(seedOffice.Internet.String()), TagSpecifications: named("customer-gateway", "office"),
	})
	if err != nil {
		return err
	}
	gateway, err := call[ec2.CreateVpnGatewayOutput](ctx, s, "ec2", "CreateVpnGateway", &ec2.CreateVpnGatewayInput{
		Type: "ipsec.1", TagSpecifications: named("vpn-gateway", "lab"),
	})
	if err != nil {
		return err
	}
	_, err = call[ec2.AttachVpnGatewayOutput](ctx, s, "ec2", "AttachVpnGateway", &ec2.AttachVpnGatewayInput{
		VpcId: seed.VPC, VpnGatewayId: *gateway.VpnGateway.VpnGatewayId,
	})
	if err != nil {
		return err
	}
	connection, err := call[ec2.CreateVpnConnectionOutput](ctx, s, "ec2", "CreateVpnConnection", &ec2.CreateVpnConnectionInput{
		Type: "ipsec.1", CustomerGatewayId: *customer.CustomerGateway.CustomerGatewayId, VpnGatewayId: gateway.VpnGateway.VpnGatewayId,
		Options: &ec2.VpnConnectionOptionsSpecification{StaticRoutesOnly: new(true)}, TagSpecifications: named("vpn-connection", "office"),
	})
	if err != nil {
		return err
	}
	_, err = call[struct{}](ctx, s, "ec2", "CreateVpnConnectionRoute", &ec2.CreateVpnConnectionRouteInput{
		DestinationCidrBlock: office, VpnConnectionId: *connection.VpnConnection.VpnConnectionId,
	})
	if err != nil {
		return err
	}
	tables, err := call[ec2.DescribeRouteTablesOutput](ctx, s, "ec2", "DescribeRouteTables", &ec2.DescribeRouteTablesInput{
		Filters: []ec2.Filter{{Name: new("vpc-id"), Values: []string{seed.VPC}}},
	})
	if err != nil {
		return err
	}
	_, err = call[struct{}](ctx, s, "ec2", "EnableVgwRoutePropagation", &ec2.EnableVgwRoutePropagationInput{
		GatewayId: *gateway.VpnGateway.VpnGatewayId, RouteTableId: *tables.RouteTables[0].RouteTableId,
	})
	if err != nil {
		return err
	}
	resolver, err := s.group(ctx, seed.VPC, "resolver", "DNS from the office", permission("udp", 53, office), permission("tcp", 53, office))
	if err != nil {
		return err
	}
	in := &route53resolver.CreateResolverEndpointInput{
		CreatorRequestId: "lab", Name: new("office"), Direction: "INBOUND", SecurityGroupIds: []string{resolver},
	}
	for i, a := range seedResolver {
		in.IpAddresses = append(in.IpAddresses, route53resolver.IpAddressRequest{SubnetId: seed.Subnets[i], Ip: new(a.String())})
	}
	_, err = call[route53resolver.CreateResolverEndpointOutput](ctx, s, "route53resolver", "CreateResolverEndpoint", in)
	return err
}

// instanceTrust lets instances have a role.
const instanceTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// The names of the instance's role and group.
const (
	seedRole  = "LabInstanceRole"
	seedGroup = "node"
)

// instance starts an instance that nobody can reach, with a role that lets its agent be managed.
func (s *seeder) instance(ctx context.Context, seed *Seed, official bool) error {
	_, err := call[iam.CreateRoleOutput](ctx, s, "iam", "CreateRole", &iam.CreateRoleInput{RoleName: seedRole, AssumeRolePolicyDocument: instanceTrust})
	if err = there(err); err == nil {
		_, err = call[iam.AttachRolePolicyOutput](ctx, s, "iam", "AttachRolePolicy", &iam.AttachRolePolicyInput{RoleName: seedRole, PolicyArn: labPolicy})
	}
	if err == nil {
		_, err = call[iam.CreateInstanceProfileOutput](ctx, s, "iam", "CreateInstanceProfile", &iam.CreateInstanceProfileInput{InstanceProfileName: seedRole})
	}
	if err = there(err); err == nil {
		_, err = call[iam.AddRoleToInstanceProfileOutput](ctx, s, "iam", "AddRoleToInstanceProfile", &iam.AddRoleToInstanceProfileInput{
			InstanceProfileName: seedRole, RoleName: seedRole,
		})
	}
	if err = there(err); err != nil {
		return err
	}
	return s.launch(ctx, seed, official)
}

// there passes over the error that something is there already: a lab that was interrupted has made it.
func there(err error) error {
	if e, ok := errors.AsType[*api.Error](err); ok && (e.Code == "EntityAlreadyExists" || e.Code == "LimitExceeded") {
		return nil
	}
	return err
}

// launch starts the instance.
func (s *seeder) launch(ctx context.Context, seed *Seed, official bool) error {
	node, err := s.group(ctx, seed.VPC, seedGroup, "Nothing comes in")
	if err != nil {
		return err
	}
	image := instance.AgentImage
	if official {
		image = instance.OfficialImage
	}
	run, err := call[ec2.RunInstancesOutput](ctx, s, "ec2", "RunInstances", &ec2.RunInstancesInput{
		ImageId: &image.ID, InstanceType: new("t3.micro"), MinCount: 1, MaxCount: 1, SubnetId: &seed.Subnets[0],
		SecurityGroupIds: []string{node}, IamInstanceProfile: &ec2.IamInstanceProfileSpecification{Name: new(seedRole)},
		MetadataOptions: &ec2.InstanceMetadataOptionsRequest{HttpTokens: new("required")}, TagSpecifications: named("instance", "web"),
	})
	if err != nil {
		return err
	}
	seed.Instance = *run.Instances[0].InstanceId
	return nil
}
