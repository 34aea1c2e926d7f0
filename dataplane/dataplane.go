// Package dataplane says what should be true of the private network on a host: VPCs with their subnets, route tables,
// security groups, network ACLs, interfaces and gateways, what joins them, and the machines on them. It is vocabulary only;
// dataplane/linux makes it true.
//
// A [Config] is the whole truth, and [Host.Set] may be called twice with the same value. Ids are AWS's; nothing here is a
// name of the kernel's. A reference to an object that the value lacks leads nowhere: packets for it are dropped.
package dataplane

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Config is everything that one host carries.
type Config struct {
	VPCs     []VPC        `json:",omitempty"`
	Peerings []Peering    `json:",omitempty"`
	Sites    []Site       `json:",omitempty"`
	Tunnels  []Tunnel     `json:",omitempty"`
	Services []netip.Addr `json:",omitempty"` // public addresses on which the services answer, on the internet's side
	Machines []Machine    `json:",omitempty"`
}

// VPC is one virtual network: an implicit router and what hangs on it.
type VPC struct {
	ID              string
	Number          int            // 1 to 2^24-1, one of its own for each VPC of a host; it never changes
	CIDRs           []netip.Prefix // the primary one first
	DNS             bool           // base+2 and 169.254.169.253 answer
	Subnets         []Subnet       `json:",omitempty"`
	RouteTables     []RouteTable   `json:",omitempty"`
	Groups          []Group        `json:",omitempty"`
	ACLs            []ACL          `json:",omitempty"`
	Interfaces      []Interface    `json:",omitempty"`
	Gateways        []Gateway      `json:",omitempty"` // gateway endpoints
	InternetGateway string         `json:",omitempty"` // "" for none
	Publics         []Public       `json:",omitempty"`
}

// Subnet is a range of a VPC's addresses. The second is its router's.
type Subnet struct {
	ID         string
	CIDR       netip.Prefix
	RouteTable string // id
	ACL        string // id
}

// RouteTable says where packets from its subnets go. That a VPC's own ranges are local goes without saying.
type RouteTable struct {
	ID     string
	Number int // 1 to 3000, one of its own in the VPC; it never changes
	Routes []Route
}

// Target is the kind of thing that a route leads to.
type Target string

// The kinds of targets. Anything else, like a target that is not there, is a black hole.
const (
	ToInternet  Target = "internet"  // the VPC's internet gateway
	ToInterface Target = "interface" // an interface, a NAT gateway's too; by the interface's id
	ToPeering   Target = "peering"   // by the peering's id
	ToTunnel    Target = "tunnel"    // by the tunnel's id
	ToGateway   Target = "gateway"   // a gateway endpoint, by its id
	ToNowhere   Target = "nowhere"
)

// Route is a line of a route table. The longest destination that fits wins.
type Route struct {
	Destination netip.Prefix
	Target      Target
	ID          string `json:",omitempty"` // of the target
}

// Group is a security group: stateful, and all it has is permission.
type Group struct {
	ID      string
	Ingress []Rule       `json:",omitempty"`
	Egress  []Rule       `json:",omitempty"`
	Members []netip.Addr `json:",omitempty"` // beside the VPC's interfaces that name it: those of a group in a peered VPC, which has no rules here
}

// AllProtocols is the protocol of a rule that is about every packet.
const AllProtocols = -1

// Rule lets packets pass: to or from a range or the members of a group. A prefix list has been
// taken apart into its ranges.
type Rule struct {
	Protocol int          // IP protocol, or AllProtocols
	From, To int          // ports, 0 to 65535; for ICMP the type and code, -1 for all
	CIDR     netip.Prefix `json:",omitzero"`
	Group    string       `json:",omitempty"` // instead of CIDR
}

// ACL is a network ACL: stateless, at the border of its subnets, in the order of the entries. What none is about is dropped.
type ACL struct {
	ID      string
	Ingress []Entry
	Egress  []Entry
}

// Entry is a line of a network ACL.
type Entry struct {
	Number   int
	Protocol int
	From, To int // as in Rule
	CIDR     netip.Prefix
	Allow    bool
}

// Kind says who is behind an interface.
type Kind string

// The kinds of interfaces.
const (
	Guest    Kind = "guest"    // a machine; without one nobody is there
	Endpoint Kind = "endpoint" // a VPC endpoint: TCP 443 and 80 are answered by the services
	Inbound  Kind = "inbound"  // an address of an inbound Resolver endpoint: port 53, UDP and TCP
	Outbound Kind = "outbound" // an address of an outbound Resolver endpoint, from which Dial asks
	NAT      Kind = "nat"      // a NAT gateway; its public address is in the VPC's Publics
)

// Interface is an elastic network interface.
type Interface struct {
	ID        string
	Subnet    string // id
	Kind      Kind
	MAC       string       // of a guest's or NAT gateway's
	Addresses []netip.Addr // the primary one first
	Groups    []string     // ids
	Unchecked bool         `json:",omitempty"` // the source and destination check is off
	Machine   string       `json:",omitempty"` // of a guest
	Device    int          `json:",omitempty"` // eth0, eth1, … in the guest
	Owner     string       `json:",omitempty"` // of the others: vpce-…, rslvr-in-…, nat-…
}

// Gateway is a gateway endpoint: what a route leads to is answered on TCP 443 and 80 by the services.
type Gateway struct {
	ID       string
	Prefixes []netip.Prefix
}

// Public binds a public address to a private one of an interface: an Elastic IP.
type Public struct {
	Public, Private netip.Addr
}

// Peering joins two VPCs of this host.
type Peering struct {
	ID     string
	Number int // 1 to 8000, one of its own among a host's peerings and tunnels; it never changes
	A, B   string
}

// Site is a network that is not a VPC: on-premises. Its second address is its router's; the router leads to the internet,
// too, when Internet is set.
type Site struct {
	ID       string
	CIDR     netip.Prefix
	Internet netip.Addr `json:",omitzero"` // the public address that its packets have there
}

// Tunnel joins a site to a VPC: a VPN connection. The site has routes to all of the VPC's ranges.
type Tunnel struct {
	ID       string
	Number   int // as in Peering
	Site     string
	VPC      string
	Prefixes []netip.Prefix // of the site, from which packets may come
}

// Machine is a process tree with a network, users, mounts and limits of its own: an instance, or a host of a site. A machine
// without Init is an empty network namespace, as tests and appliances want.
type Machine struct {
	ID          string
	Name        string       // host name
	Site        string       `json:",omitempty"` // of a host of a site, which has one interface, eth0
	Address     netip.Addr   `json:",omitzero"`  // of a host of a site
	Boot        int          `json:",omitempty"` // how many times it has been told to boot; another number than the last reboots it
	Stopped     bool         `json:",omitempty"` // it keeps its disk
	Gone        bool         `json:",omitempty"` // it is to end, and its disk with it
	Init        []string     `json:",omitempty"` // what its first process starts, inside
	Env         []string     `json:",omitempty"`
	Mounts      []Mount      `json:",omitempty"` // beside the system's
	Nameservers []netip.Addr `json:",omitempty"`
	Search      []string     `json:",omitempty"`
	Memory      int64        `json:",omitempty"` // bytes; 0 for no limit
	Pids        int          `json:",omitempty"` // processes; 0 for the default
}

// Mount is a folder or file of the host that a machine sees, read-only.
type Mount struct {
	From string `json:",omitempty"` // "" is the host's own program, wherever that is
	To   string
}

// Status says how much of a Config is true.
type Status struct {
	Failures map[string]string        `json:",omitempty"` // what is not there, by id, and why
	Machines map[string]MachineStatus `json:",omitempty"`
	Sockets  map[string]string        `json:",omitempty"` // by the VPC's id; another text than before says that its sockets are others, which are to be taken anew
}

// MachineStatus is how a machine is.
type MachineStatus struct {
	Running bool
	Boot    int       // the Machine.Boot that it runs, or ran
	Since   time.Time // of Running
	Exit    string    `json:",omitempty"` // how it ended by itself, if it did
}

// Role says who answers on a socket.
type Role string

// The roles.
const (
	Front    Role = "front"    // the services: port 443 with TLS, port 80 without
	DNS      Role = "dns"      // the VPC's resolver: base+2 and 169.254.169.253, port 53
	Metadata Role = "metadata" // 169.254.169.254, port 80
	Resolver Role = "resolver" // an address of an inbound Resolver endpoint, port 53
)

// Socket is a listening socket that a Config brings about. Those of the services in a VPC listen on every address of it: the
// local address of a connection says which interface or, of a gateway endpoint, which service it was meant for, and the
// connection's mark is the number of the route table that led to a gateway endpoint.
type Socket struct {
	VPC     string `json:",omitempty"` // "" for the services' public addresses
	Role    Role
	Network string         // tcp or udp
	Address netip.AddrPort // unspecified for all
}

// Sockets lists the listening sockets of a Config, in an order that depends on it alone.
func (c *Config) Sockets() []Socket {
	var list []Socket
	both := func(vpc string, role Role, a netip.Addr) {
		for _, network := range []string{"udp", "tcp"} {
			list = append(list, Socket{VPC: vpc, Role: role, Network: network, Address: netip.AddrPortFrom(a, 53)})
		}
	}
	front := func(vpc string) {
		for _, port := range []uint16{443, 80} {
			list = append(list, Socket{VPC: vpc, Role: Front, Network: "tcp", Address: netip.AddrPortFrom(netip.IPv4Unspecified(), port)})
		}
	}
	if len(c.Services) > 0 {
		front("")
	}
	for i := range c.VPCs {
		v := &c.VPCs[i]
		front(v.ID)
		list = append(list, Socket{VPC: v.ID, Role: Metadata, Network: "tcp", Address: netip.AddrPortFrom(MetadataAddress, 80)})
		if v.DNS {
			both(v.ID, DNS, v.Base2())
			both(v.ID, DNS, DNSAddress)
		}
		for j := range v.Interfaces {
			if n := &v.Interfaces[j]; n.Kind == Inbound {
				for _, a := range n.Addresses {
					both(v.ID, Resolver, a)
				}
			}
		}
	}
	return list
}

// The link-local addresses that every VPC answers on.
var (
	DNSAddress      = netip.AddrFrom4([4]byte{169, 254, 169, 253})
	MetadataAddress = netip.AddrFrom4([4]byte{169, 254, 169, 254})
)

// Base2 is the address of the VPC's resolver: two after the first of its primary range.
func (v *VPC) Base2() netip.Addr { return v.CIDRs[0].Masked().Addr().Next().Next() }

// Router is the address of a subnet's router: one after its first.
func (s *Subnet) Router() netip.Addr { return s.CIDR.Masked().Addr().Next() }

// Flow is what a flow log says of one connection at one interface: that it was let in or out, or not.
type Flow struct {
	Time     time.Time // when it was decided
	VPC      string
	ENI      string
	Accepted bool
	Egress   bool   // it leaves the interface's owner
	By       string // what refused it: sg or acl; "" when accepted
	Protocol int
	From, To netip.AddrPort
	Bytes    int // of the packet that was decided upon
}

// Call is a connection that is to be made from a VPC: how an outbound Resolver endpoint asks.
type Call struct {
	VPC     string
	From    netip.Addr // an address of an interface of kind Outbound
	Network string     // tcp or udp
	To      netip.AddrPort
}

// Host makes Configs true. It is implemented by dataplane/linux, and by the link to a host daemon.
type Host interface {
	// Set makes a Config true, as far as it can, and says how far. What is true already is not touched: established
	// connections go on. An error is about the host itself; what is wrong with an object is in the Status.
	Set(context.Context, *Config) (Status, error)
	// Listener gives one of the TCP sockets of the Config that was set last, to accept on. Connections that come while
	// nobody accepts wait. Closing it leaves the socket to the host.
	Listener(Socket) (net.Listener, error)
	// Packets gives one of the UDP sockets.
	Packets(Socket) (net.PacketConn, error)
	// Dial makes a connection from within a VPC. Addresses are numbers, never names.
	Dial(context.Context, Call) (net.Conn, error)
	// Flows gives decisions as they are made, until the context ends. When the reader is slow, some are lost, and counted.
	Flows(context.Context, func(flows []Flow, lost int)) error
	// Console gives the last of what a machine has written to its console, at most MostConsole bytes. One that has written
	// nothing, or is not there, has written nothing.
	Console(ctx context.Context, machine string) ([]byte, error)
}

// MostConsole is how much of a console there is to read. source: userguide, "GetConsoleOutput"
const MostConsole = 64 << 10
