package linux_test

import (
	"fmt"
	"net/netip"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux/nft"
)

// px is a range.
func px(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// ip is an address.
func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// anywhere is every address.
var anywhere = px("0.0.0.0/0")

// open lets everything pass.
var open = []dataplane.Rule{{Protocol: dataplane.AllProtocols, From: 0, To: 65535, CIDR: anywhere}}

// tcp lets a port pass, from or to a range or a group.
func tcp(port int, peer string) dataplane.Rule {
	r := dataplane.Rule{Protocol: 6, From: port, To: port}
	if p, err := netip.ParsePrefix(peer); err == nil {
		r.CIDR = p
	} else {
		r.Group = peer
	}
	return r
}

// udp is tcp for UDP.
func udp(port int, peer string) dataplane.Rule {
	r := tcp(port, peer)
	r.Protocol = 17
	return r
}

// allow is an entry of a network ACL about every packet of a range.
func allow(number int, cidr string) dataplane.Entry {
	return dataplane.Entry{Number: number, Protocol: dataplane.AllProtocols, From: 0, To: 65535, CIDR: px(cidr), Allow: true}
}

// deny is an entry that allow is not.
func deny(number int, cidr string) dataplane.Entry {
	e := allow(number, cidr)
	e.Allow = false
	return e
}

// openACL is the ACL that a VPC has by default.
func openACL(id string) dataplane.ACL {
	return dataplane.ACL{ID: id, Ingress: []dataplane.Entry{allow(100, "0.0.0.0/0")}, Egress: []dataplane.Entry{allow(100, "0.0.0.0/0")}}
}

// guest adds a machine with one interface. Its machine has the name, with i- before it.
func guest(c *dataplane.Config, v *dataplane.VPC, name, subnet, address string, groups ...string) *dataplane.Interface {
	c.Machines = append(c.Machines, dataplane.Machine{ID: "i-" + name})
	return eni(v, dataplane.Interface{Subnet: subnet, Kind: dataplane.Guest, Machine: "i-" + name, Groups: groups}, address)
}

// eni adds an interface. Its id is made of its VPC and address.
func eni(v *dataplane.VPC, n dataplane.Interface, addresses ...string) *dataplane.Interface {
	for _, a := range addresses {
		n.Addresses = append(n.Addresses, ip(a))
	}
	n.ID = eniID(v, addresses[0])
	v.Interfaces = append(v.Interfaces, n)
	return &v.Interfaces[len(v.Interfaces)-1]
}

// eniID is the id of the interface with an address.
func eniID(v *dataplane.VPC, address string) string {
	b := ip(address).As4()
	return fmt.Sprintf("eni-%06x%x%010x", v.Number, 0, uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3]))
}

// vpc gives a VPC of the Config by its id.
func vpc(c *dataplane.Config, id string) *dataplane.VPC {
	for i := range c.VPCs {
		if c.VPCs[i].ID == id {
			return &c.VPCs[i]
		}
	}
	panic("no VPC " + id)
}

// acl gives an ACL of a VPC.
func acl(v *dataplane.VPC, id string) *dataplane.ACL {
	for i := range v.ACLs {
		if v.ACLs[i].ID == id {
			return &v.ACLs[i]
		}
	}
	panic("no ACL " + id)
}

// group gives a group of a VPC.
func group(v *dataplane.VPC, id string) *dataplane.Group {
	for i := range v.Groups {
		if v.Groups[i].ID == id {
			return &v.Groups[i]
		}
	}
	panic("no group " + id)
}

// Public addresses of the world.
const (
	ssm       = "192.0.2.1"
	s3        = "198.51.100.1"
	webPublic = "203.0.113.10"
	natPublic = "203.0.113.30"
	outside   = "203.0.113.99" // of the site
)

// world is the network that most tests are about:
//
//	vpc-a  10.10/16  internet gateway, NAT gateway, endpoints, Resolver; peered with vpc-b; a tunnel to site-1
//	vpc-b  10.20/16  peered with vpc-a and vpc-c
//	vpc-c  10.30/16  without DNS
//	vpc-d  10.10/16  as vpc-a, with the same endpoint's address
//	site-1 192.168.0/24
func world() *dataplane.Config {
	c := &dataplane.Config{
		Services: []netip.Addr{ip(ssm), ip(s3)},
		Peerings: []dataplane.Peering{
			{ID: "pcx-ab", Number: 1, A: "vpc-a", B: "vpc-b"},
			{ID: "pcx-bc", Number: 2, A: "vpc-b", B: "vpc-c"},
		},
		Sites:   []dataplane.Site{{ID: "site-1", CIDR: px("192.168.0.0/24"), Internet: ip(outside)}},
		Tunnels: []dataplane.Tunnel{{ID: "vpn-1", Number: 3, Site: "site-1", VPC: "vpc-a", Prefixes: []netip.Prefix{px("192.168.0.0/24")}}},
	}
	c.Machines = append(c.Machines, dataplane.Machine{ID: "mi-1", Site: "site-1", Address: ip("192.168.0.10")},
		dataplane.Machine{ID: "mi-2", Site: "site-1", Address: ip("192.168.0.11")})
	c.VPCs = []dataplane.VPC{worldA(c), worldB(c), worldC(c), worldD(c)}
	return c
}

// worldA has everything.
func worldA(c *dataplane.Config) dataplane.VPC {
	a := dataplane.VPC{
		ID: "vpc-a", Number: 1, CIDRs: []netip.Prefix{px("10.10.0.0/16")}, DNS: true, InternetGateway: "igw-a",
		ACLs:     []dataplane.ACL{openACL("acl-a"), openACL("acl-x"), {ID: "acl-none"}},
		Gateways: []dataplane.Gateway{{ID: "vpce-s3", Prefixes: []netip.Prefix{px("198.51.100.0/24")}}},
	}
	for i, n := range []dataplane.Subnet{
		{ID: "public", RouteTable: "rtb-public", ACL: "acl-a"},
		{ID: "private", RouteTable: "rtb-nat", ACL: "acl-a"},
		{ID: "isolated", RouteTable: "rtb-none", ACL: "acl-a"},
		{ID: "endpoints", RouteTable: "rtb-endpoints", ACL: "acl-a"},
		{ID: "inspected", RouteTable: "rtb-box", ACL: "acl-a"},
		{ID: "guarded", RouteTable: "rtb-nat", ACL: "acl-x"},
		{ID: "groups", RouteTable: "rtb-nat", ACL: "acl-a"},
		{ID: "closed", RouteTable: "rtb-none", ACL: "acl-none"},
	} {
		n.CIDR = px(fmt.Sprintf("10.10.%d.0/24", i))
		a.Subnets = append(a.Subnets, n)
	}
	a.Groups = []dataplane.Group{
		{ID: "sg-open", Ingress: open, Egress: open},
		{ID: "sg-none"},
		{ID: "sg-web", Ingress: []dataplane.Rule{tcp(80, "0.0.0.0/0")}, Egress: open},
		{ID: "sg-self", Ingress: []dataplane.Rule{{Protocol: dataplane.AllProtocols, To: 65535, Group: "sg-self"}}, Egress: open},
		{ID: "sg-client", Egress: open},
		{ID: "sg-ref", Ingress: []dataplane.Rule{tcp(7000, "sg-client")}},
		{ID: "sg-peer", Ingress: []dataplane.Rule{tcp(7000, "sg-b")}},
		{ID: "sg-egress", Egress: []dataplane.Rule{tcp(7000, "10.10.1.11/32"), tcp(443, "198.51.100.0/24")}},
		{ID: "sg-vpce", Ingress: []dataplane.Rule{tcp(443, "10.10.0.0/16"), tcp(443, "10.20.0.0/16"), tcp(443, "192.168.0.0/24")}},
		{ID: "sg-dns", Ingress: []dataplane.Rule{
			udp(53, "10.20.0.0/16"), tcp(53, "10.20.0.0/16"), udp(53, "192.168.0.0/24"), tcp(53, "192.168.0.0/24")}},
		{ID: "sg-out", Egress: []dataplane.Rule{udp(53, "192.168.0.0/24"), tcp(53, "192.168.0.0/24"), tcp(7000, "10.10.1.0/24")}},
		{ID: "sg-b", Members: []netip.Addr{ip("10.20.1.10")}}, // of vpc-b
	}
	guest(c, &a, "web", "public", "10.10.0.10", "sg-web")
	guest(c, &a, "bare", "public", "10.10.0.11", "sg-open")
	guest(c, &a, "pubref", "public", "10.10.0.12", "sg-ref")
	guest(c, &a, "pubclient", "public", "10.10.0.13", "sg-client")
	guest(c, &a, "box", "public", "10.10.0.20", "sg-open").Unchecked = true
	nat := eni(&a, dataplane.Interface{Subnet: "public", Kind: dataplane.NAT, Owner: "nat-a"}, "10.10.0.30")
	guest(c, &a, "a1", "private", "10.10.1.10", "sg-open")
	guest(c, &a, "a2", "private", "10.10.1.11", "sg-open")
	guest(c, &a, "iso", "isolated", "10.10.2.10", "sg-open")
	eni(&a, dataplane.Interface{Subnet: "endpoints", Kind: dataplane.Endpoint, Groups: []string{"sg-vpce"}, Owner: "vpce-ssm"}, "10.10.3.20")
	eni(&a, dataplane.Interface{Subnet: "endpoints", Kind: dataplane.Endpoint, Groups: []string{"sg-none"}, Owner: "vpce-shut"}, "10.10.3.21")
	eni(&a, dataplane.Interface{Subnet: "endpoints", Kind: dataplane.Inbound, Groups: []string{"sg-dns"}, Owner: "rslvr-in-a"}, "10.10.3.53")
	eni(&a, dataplane.Interface{Subnet: "endpoints", Kind: dataplane.Outbound, Groups: []string{"sg-out"}, Owner: "rslvr-out-a"}, "10.10.3.54")
	guest(c, &a, "mid", "inspected", "10.10.4.10", "sg-open")
	guest(c, &a, "x1", "guarded", "10.10.5.10", "sg-open")
	guest(c, &a, "x2", "guarded", "10.10.5.11", "sg-open")
	guest(c, &a, "client", "groups", "10.10.6.10", "sg-client")
	guest(c, &a, "other", "groups", "10.10.6.11", "sg-none", "sg-web")
	guest(c, &a, "ref", "groups", "10.10.6.20", "sg-ref")
	guest(c, &a, "self1", "groups", "10.10.6.21", "sg-self")
	guest(c, &a, "self2", "groups", "10.10.6.22", "sg-self")
	guest(c, &a, "union", "groups", "10.10.6.23", "sg-ref", "sg-web")
	guest(c, &a, "narrow", "groups", "10.10.6.24", "sg-egress")
	guest(c, &a, "forpeer", "groups", "10.10.6.25", "sg-peer")
	guest(c, &a, "shut", "groups", "10.10.6.26", "sg-none")
	guest(c, &a, "closed", "closed", "10.10.7.10", "sg-none")
	a.Publics = []dataplane.Public{
		{Public: ip(webPublic), Private: ip("10.10.0.10")}, {Public: ip("203.0.113.12"), Private: ip("10.10.0.12")},
		{Public: ip("203.0.113.13"), Private: ip("10.10.0.13")}, {Public: ip(natPublic), Private: ip("10.10.0.30")},
	}
	toB := dataplane.Route{Destination: px("10.20.0.0/16"), Target: dataplane.ToPeering, ID: "pcx-ab"}
	toC := dataplane.Route{Destination: px("10.30.0.0/16"), Target: dataplane.ToPeering, ID: "pcx-ab"} // leads nowhere: peering is not transitive
	toSite := dataplane.Route{Destination: px("192.168.0.0/24"), Target: dataplane.ToTunnel, ID: "vpn-1"}
	toS3 := dataplane.Route{Destination: px("198.51.100.0/24"), Target: dataplane.ToGateway, ID: "vpce-s3"}
	a.RouteTables = []dataplane.RouteTable{
		{ID: "rtb-public", Number: 1, Routes: []dataplane.Route{{Destination: anywhere, Target: dataplane.ToInternet}, toB}},
		{ID: "rtb-nat", Number: 2, Routes: []dataplane.Route{{Destination: anywhere, Target: dataplane.ToInterface, ID: nat.ID}, toB, toC, toSite, toS3}},
		{ID: "rtb-none", Number: 3},
		{ID: "rtb-endpoints", Number: 4, Routes: []dataplane.Route{toB, toSite}},
		{ID: "rtb-box", Number: 50, Routes: []dataplane.Route{{Destination: anywhere, Target: dataplane.ToInterface, ID: eniID(&a, "10.10.0.20")}}},
	}
	return a
}

// worldB is between its peers.
func worldB(c *dataplane.Config) dataplane.VPC {
	b := dataplane.VPC{
		ID: "vpc-b", Number: 2, CIDRs: []netip.Prefix{px("10.20.0.0/16")}, DNS: true,
		ACLs:    []dataplane.ACL{openACL("acl-b")},
		Subnets: []dataplane.Subnet{{ID: "subnet-b", CIDR: px("10.20.1.0/24"), RouteTable: "rtb-b", ACL: "acl-b"}},
		Groups:  []dataplane.Group{{ID: "sg-b", Ingress: open, Egress: open}, {ID: "sg-b2", Ingress: open, Egress: open}},
		RouteTables: []dataplane.RouteTable{{ID: "rtb-b", Number: 1, Routes: []dataplane.Route{
			{Destination: px("10.10.0.0/16"), Target: dataplane.ToPeering, ID: "pcx-ab"},
			{Destination: px("10.30.0.0/16"), Target: dataplane.ToPeering, ID: "pcx-bc"},
			{Destination: px("192.0.2.0/24"), Target: dataplane.ToPeering, ID: "pcx-ab"}, // edge to edge: dead
			{Destination: px("198.51.100.0/24"), Target: dataplane.ToPeering, ID: "pcx-ab"},
		}}},
	}
	guest(c, &b, "b1", "subnet-b", "10.20.1.10", "sg-b")
	guest(c, &b, "b2", "subnet-b", "10.20.1.11", "sg-b2")
	return b
}

// worldC has a route to a peering that is gone.
func worldC(c *dataplane.Config) dataplane.VPC {
	v := dataplane.VPC{
		ID: "vpc-c", Number: 3, CIDRs: []netip.Prefix{px("10.30.0.0/16")},
		ACLs:    []dataplane.ACL{openACL("acl-c")},
		Subnets: []dataplane.Subnet{{ID: "subnet-c", CIDR: px("10.30.0.0/24"), RouteTable: "rtb-c", ACL: "acl-c"}},
		Groups:  []dataplane.Group{{ID: "sg-c", Ingress: open, Egress: open}},
		RouteTables: []dataplane.RouteTable{{ID: "rtb-c", Number: 1, Routes: []dataplane.Route{
			{Destination: px("10.20.0.0/16"), Target: dataplane.ToPeering, ID: "pcx-bc"},
			{Destination: px("10.10.0.0/16"), Target: dataplane.ToPeering, ID: "pcx-bc"},
			{Destination: px("192.0.2.0/24"), Target: dataplane.ToPeering, ID: "pcx-gone"},
		}}},
	}
	guest(c, &v, "c1", "subnet-c", "10.30.0.10", "sg-c")
	return v
}

// worldD has the addresses of worldA.
func worldD(c *dataplane.Config) dataplane.VPC {
	d := dataplane.VPC{
		ID: "vpc-d", Number: 4, CIDRs: []netip.Prefix{px("10.10.0.0/16")}, DNS: true,
		ACLs: []dataplane.ACL{openACL("acl-d")},
		Subnets: []dataplane.Subnet{
			{ID: "subnet-d", CIDR: px("10.10.1.0/24"), RouteTable: "rtb-d", ACL: "acl-d"},
			{ID: "subnet-e", CIDR: px("10.10.3.0/24"), RouteTable: "rtb-d", ACL: "acl-d"},
		},
		Groups:      []dataplane.Group{{ID: "sg-d", Ingress: open, Egress: open}},
		RouteTables: []dataplane.RouteTable{{ID: "rtb-d", Number: 9}},
	}
	guest(c, &d, "d1", "subnet-d", "10.10.1.10", "sg-d")
	eni(&d, dataplane.Interface{Subnet: "subnet-e", Kind: dataplane.Endpoint, Groups: []string{"sg-d"}, Owner: "vpce-d"}, "10.10.3.20")
	return d
}

// at gives the interface with an address.
func at(v *dataplane.VPC, address string) *dataplane.Interface {
	for i := range v.Interfaces {
		if v.Interfaces[i].Addresses[0] == ip(address) {
			return &v.Interfaces[i]
		}
	}
	panic("no interface " + address)
}

// nftDevice is the router's device of the interface with an address.
func nftDevice(v *dataplane.VPC, address string) string { return nft.Device(eniID(v, address)) }
