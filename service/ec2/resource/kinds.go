package resource

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/store"
)

// The kinds of resources. Names are those of ARNs and of tags' ResourceType, codes those of EC2's errors; quotas are AWS's
// defaults. source: userguide, "Error codes for the Amazon EC2 API", "Amazon VPC quotas"
var (
	VPCs               = &Kind[VPC]{Name: "vpc", Prefix: "vpc", Code: "InvalidVpcID", Noun: "vpc ID", Quota: Quota{5, "VpcLimitExceeded", "VPCs"}}
	Subnets            = &Kind[Subnet]{Name: "subnet", Prefix: "subnet", Code: "InvalidSubnetID", Noun: "subnet ID", PerVPC: Quota{200, "SubnetLimitExceeded", "subnets"}}
	RouteTables        = &Kind[RouteTable]{Name: "route-table", Prefix: "rtb", Code: "InvalidRouteTableID", Malformed: "InvalidRouteTableId.Malformed", Noun: "routeTable ID", PerVPC: Quota{200, "RouteTableLimitExceeded", "route tables"}}
	InternetGateways   = &Kind[InternetGateway]{Name: "internet-gateway", Prefix: "igw", Code: "InvalidInternetGatewayID", Malformed: "InvalidInternetGatewayId.Malformed", Noun: "internetGateway ID", Quota: Quota{5, "InternetGatewayLimitExceeded", "internet gateways"}}
	NatGateways        = &Kind[NatGateway]{Name: "natgateway", Prefix: "nat", NotFound: "NatGatewayNotFound", Malformed: "NatGatewayMalformed", Noun: "Nat Gateway"}
	Addresses          = &Kind[Address]{Name: "elastic-ip", Prefix: "eipalloc", Code: "InvalidAllocationID", Noun: "allocation ID"}
	DhcpOptions        = &Kind[Dhcp]{Name: "dhcp-options", Prefix: "dopt", Code: "InvalidDhcpOptionsID", Malformed: "InvalidDhcpOptionsId.Malformed", Noun: "dhcpOption ID"}
	PrefixLists        = &Kind[PrefixList]{Name: "prefix-list", Prefix: "pl", Code: "InvalidPrefixListID", Malformed: "InvalidPrefixListId.Malformed", Noun: "prefix list ID", Quota: Quota{100, "PrefixListLimitExceeded", "prefix lists"}}
	SecurityGroups     = &Kind[SecurityGroup]{Name: "security-group", Prefix: "sg", Code: "InvalidGroup", Malformed: "InvalidGroupId.Malformed", Noun: "security group", Quota: Quota{2500, "SecurityGroupLimitExceeded", "security groups"}}
	SecurityGroupRules = &Kind[SecurityGroupRule]{Name: "security-group-rule", Prefix: "sgr", Code: "InvalidSecurityGroupRuleId", Noun: "security group rule ID"}
	NetworkAcls        = &Kind[NetworkAcl]{Name: "network-acl", Prefix: "acl", Code: "InvalidNetworkAclID", Malformed: "InvalidNetworkAclId.Malformed", Noun: "networkAcl ID", PerVPC: Quota{200, "NetworkAclLimitExceeded", "network ACLs"}}
	NetworkInterfaces  = &Kind[NetworkInterface]{Name: "network-interface", Prefix: "eni", Code: "InvalidNetworkInterfaceID", Malformed: "InvalidNetworkInterfaceId.Malformed", Noun: "networkInterface ID", Quota: Quota{5000, "NetworkInterfaceLimitExceeded", "network interfaces"}}
	Endpoints          = &Kind[Endpoint]{Name: "vpc-endpoint", Prefix: "vpce", Code: "InvalidVpcEndpointId", Noun: "Vpc Endpoint Id"}
	Peerings           = &Kind[Peering]{Name: "vpc-peering-connection", Prefix: "pcx", Code: "InvalidVpcPeeringConnectionID", Malformed: "InvalidVpcPeeringConnectionId.Malformed", Noun: "vpcPeeringConnection ID"}
	FlowLogs           = &Kind[FlowLog]{Name: "vpc-flow-log", Prefix: "fl", Code: "InvalidFlowLogId", Noun: "flow log ID"}
	Instances          = &Kind[Instance]{Name: "instance", Prefix: "i", Code: "InvalidInstanceID", Noun: "instance ID"}
	KeyPairs           = &Kind[KeyPair]{Name: "key-pair", Prefix: "key", Code: "InvalidKeyPair", Malformed: "InvalidKeyPairId.Malformed", Noun: "key pair", Quota: Quota{5000, "KeyPairLimitExceeded", "key pairs"}}
	Volumes            = &Kind[Volume]{Name: "volume", Prefix: "vol", Code: "InvalidVolume", Malformed: "InvalidVolumeID.Malformed", Noun: "volume"}
	VpnGateways        = &Kind[VpnGateway]{Name: "vpn-gateway", Prefix: "vgw", Code: "InvalidVpnGatewayID", Noun: "vpnGateway ID", Quota: Quota{5, "VpnGatewayLimitExceeded", "virtual private gateways"}}
	CustomerGateways   = &Kind[CustomerGateway]{Name: "customer-gateway", Prefix: "cgw", Code: "InvalidCustomerGatewayID", Malformed: "InvalidCustomerGatewayId.Malformed", Noun: "customerGateway ID", Quota: Quota{50, "CustomerGatewayLimitExceeded", "customer gateways"}}
	VpnConnections     = &Kind[VpnConnection]{Name: "vpn-connection", Prefix: "vpn", Code: "InvalidVpnConnectionID", Noun: "vpnConnection ID", Quota: Quota{50, "VpnConnectionLimitExceeded", "VPN connections"}}
)

// The kinds of Route 53 Resolver, which has errors of its own.
var (
	ResolverEndpoints = &Kind[ResolverEndpoint]{Name: "resolver-endpoint", Prefix: "rslvr"}
	ResolverRules     = &Kind[ResolverRule]{Name: "resolver-rule", Prefix: "rslvr-rr"}
	ResolverLinks     = &Kind[ResolverLink]{Name: "resolver-rule-association", Prefix: "rslvr-rrassoc"}
)

// anyKind is a kind, whatever its data.
type anyKind interface {
	Check(id string) error
	Missing(id string) error
	prefix() string
}

// taggable are the kinds whose resources can be tagged.
var taggable = []anyKind{
	VPCs, Subnets, RouteTables, InternetGateways, NatGateways, Addresses, DhcpOptions, PrefixLists, SecurityGroups, SecurityGroupRules, NetworkAcls,
	NetworkInterfaces, Endpoints, Peerings, FlowLogs, Instances, KeyPairs, Volumes, VpnGateways, CustomerGateways, VpnConnections,
}

// prefix is the prefix of the kind's ids.
func (k *Kind[T]) prefix() string { return k.Prefix }

// MissingAny is the error for a resource, of whatever kind, that is not there. source: aws
func MissingAny(id string) error {
	k := ofKind(id)
	if k == nil {
		return Errorf("InvalidID", "The ID '%s' is not valid", id)
	}
	if err := k.Check(id); err != nil {
		return err
	}
	return k.Missing(id)
}

// ofKind gives the kind that an id is of, or nil for none whose resources can be tagged.
func ofKind(id string) anyKind {
	before, _, _ := strings.Cut(id, "-")
	for _, k := range taggable {
		if k.prefix() == before {
			return k
		}
	}
	return nil
}

// VPC is a virtual private cloud; its record's VPC is itself.
type VPC struct {
	ec2.Vpc
	DNSSupport, DNSHostnames, UsageMetrics bool // the VPC attributes
	Number                                 int  // dataplane.VPC's
}

// Ranges are the VPC's address ranges, the primary one first.
func (v *VPC) Ranges() []netip.Prefix {
	var ranges []netip.Prefix
	for _, a := range v.CidrBlockAssociationSet {
		ranges = append(ranges, Prefix(a.CidrBlock))
	}
	return ranges
}

// Subnet is a subnet. Which route table and network ACL it has is in their associations.
type Subnet struct{ ec2.Subnet }

// RouteTable has its routes and associations in it; what state a route is in is worked out.
type RouteTable struct {
	ec2.RouteTable
	Number int // dataplane.RouteTable's
}

// InternetGateway is an internet gateway; its record's VPC is the one it is attached to.
type InternetGateway struct{ ec2.InternetGateway }

// NatGateway is a NAT gateway.
type NatGateway struct{ ec2.NatGateway }

// Address is a public address: an Elastic IP address, or one that an interface was given with its birth and loses with it.
type Address struct {
	ec2.Address
	Automatic bool `json:",omitempty"` // no Elastic IP address: it is not listed
}

// Dhcp is a DHCP option set.
type Dhcp struct {
	ec2.DhcpOptions
	Default bool `json:",omitempty"` // new VPCs get it
}

// PrefixList is a managed prefix list with the entries of its last versions, the current one's last. Those of AWS are no
// records: see AWSPrefixLists.
type PrefixList struct {
	ec2.ManagedPrefixList
	Versions [][]ec2.PrefixListEntry
}

// Entries are those of the current version.
func (p *PrefixList) Entries() []ec2.PrefixListEntry { return p.Versions[len(p.Versions)-1] }

// SecurityGroup is a security group; its rules are records of their own.
type SecurityGroup struct {
	ec2.SecurityGroup
	Default bool // it came with the VPC
}

// SecurityGroupRule is a rule of a security group.
type SecurityGroupRule struct{ ec2.SecurityGroupRule }

// NetworkAcl is a network ACL with its entries and associations.
type NetworkAcl struct{ ec2.NetworkAcl }

// NetworkInterface is an elastic network interface. What public address it has is in Address.
type NetworkInterface struct {
	ec2.NetworkInterface
	Holder dataplane.Kind // who is behind it
	Owner  string         // of those that a service made: vpce-…, nat-…, rslvr-in-…
}

// Endpoint is a VPC endpoint. Which route tables lead to a gateway endpoint is in RouteTableIds; the routes are worked out.
type Endpoint struct {
	ec2.VpcEndpoint
	Label string // the random part of its DNS names
}

// Peering is a VPC peering connection; its record belongs to the requester, and its VPC is the requester's.
type Peering struct {
	ec2.VpcPeeringConnection
	Number  int    // dataplane.Peering's
	Ended   int64  `json:",omitempty"` // when it failed, was rejected or deleted, in milliseconds
	EndedBy string `json:",omitempty"` // the account that deleted it
}

// State is the state of a peering connection. A request that nobody has answered expires by itself. source: userguide, "VPC
// peering connection lifecycle"
func (p *Peering) State(now time.Time) string {
	if p.Status == nil {
		return ""
	}
	state := api.Or(p.Status.Code, "")
	if state == ec2.VpcPeeringConnectionStateReasonCodePendingAcceptance && p.ExpirationTime != nil && !now.Before(*p.ExpirationTime) {
		return ec2.VpcPeeringConnectionStateReasonCodeExpired
	}
	return state
}

// FlowLog is a flow log of a VPC, a subnet or an interface.
type FlowLog struct{ ec2.FlowLog }

// Instance is an instance. Its interfaces are records of their own.
type Instance struct {
	ec2.Instance
	Reservation        string // id of the launch
	UserData           []byte
	PublicKey          string // of its key pair, when it was launched
	Boot               int    // dataplane.Machine's
	DisableStop        bool
	DisableTermination bool
	ShutdownTerminates bool
	Public             bool                               // it is given a public address whenever it starts
	Credits            string                             // unlimited or standard, of a burstable type
	Association        *ec2.IamInstanceProfileAssociation // of its instance profile; nil for none
	Impaired           string                             // why its machine does not run although it should; "" for well
	ImpairedSince      int64                              // in milliseconds
	Terminated         int64                              // when it was, in milliseconds; 0 for not
}

// ProfileARN is the ARN of the instance's profile; "" for none.
func (i *Instance) ProfileARN() string {
	if i.Association == nil {
		return ""
	}
	return api.Or(i.Association.IamInstanceProfile.Arn, "")
}

// KeyPair is the public half of a key pair.
type KeyPair struct{ ec2.KeyPairInfo }

// Volume is the disk of an instance.
type Volume struct{ ec2.Volume }

// VpnGateway is a virtual private gateway; its record's VPC is the one it is attached to.
type VpnGateway struct{ ec2.VpnGateway }

// CustomerGateway stands for a site on-premises, which has this public address.
type CustomerGateway struct{ ec2.CustomerGateway }

// VpnConnection joins a customer gateway and a virtual private gateway; its record's VPC is none, because the gateway's may
// change.
type VpnConnection struct {
	ec2.VpnConnection
	Number  int   // dataplane.Tunnel's
	Up      bool  `json:",omitempty"` // a host carries it
	Changed int64 // when it went up or down, in milliseconds
}

// Carry says whether a host carries the connection. It says whether that is new.
func (c *VpnConnection) Carry(up bool, now time.Time) (changed bool) {
	if c.Up == up {
		return false
	}
	c.Up, c.Changed = up, now.UnixMilli()
	return true
}

// ResolverEndpoint is an inbound or outbound Resolver endpoint; its interfaces are records of EC2's. What state its addresses
// are in follows from its own.
type ResolverEndpoint struct {
	route53resolver.ResolverEndpoint
	Addresses []route53resolver.IpAddressResponse
}

// ResolverRule is a rule of Resolver.
type ResolverRule struct{ route53resolver.ResolverRule }

// ResolverLink is the association of a rule with a VPC.
type ResolverLink struct {
	route53resolver.ResolverRuleAssociation
}

// mostLinks is how many peering connections and VPN connections there may be. dataplane.Peering says so.
const mostLinks = 8000

// LinkNumber gives a number for a new peering connection or VPN connection, which no other has, whoever's it is.
func LinkNumber(ctx context.Context, tx *store.Tx) (int, error) {
	peerings, err := Peerings.All(ctx, tx)
	if err != nil {
		return 0, err
	}
	connections, err := VpnConnections.All(ctx, tx)
	if err != nil {
		return 0, err
	}
	taken := make([]int, 0, len(peerings)+len(connections))
	for _, p := range peerings {
		taken = append(taken, p.Data.Number)
	}
	for _, c := range connections {
		taken = append(taken, c.Data.Number)
	}
	n := FreeNumber(taken)
	if n > mostLinks {
		return 0, Errorf("InsufficientCapacity", "There is no room for another VPC peering connection or VPN connection") // source: guess
	}
	return n, nil
}

// FreeNumber is the lowest number from 1 that is not taken.
func FreeNumber(taken []int) int {
	used := make(map[int]bool, len(taken))
	for _, n := range taken {
		used[n] = true
	}
	n := 1
	for used[n] {
		n++
	}
	return n
}

// Prefix reads a range that a record keeps, which was checked before it was kept.
func Prefix(cidr *string) netip.Prefix {
	if cidr == nil {
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(*cidr)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// Addr reads an address that a record keeps.
func Addr(address *string) netip.Addr {
	if address == nil {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(*address)
	if err != nil {
		return netip.Addr{}
	}
	return a
}
