package linux

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux/nft"
)

// mac is the address of a link.
type mac [6]byte

// String is the usual form.
func (m mac) String() string { return net.HardwareAddr(m[:]).String() }

// routerMAC is what every router's end of a machine's cable has.
var routerMAC = mac{6, 1, 0, 0, 0, 1}

// nextHop is where routes between routers lead. Nobody has the address: a permanent neighbour entry says whose MAC it is.
var nextHop = netip.AddrFrom4([4]byte{169, 254, 255, 1})

// Numbers of routing tables. Those of a VPC's own route tables follow two bases.
const (
	tableInterfaces = 50    // every interface of the VPC; what else is in its ranges is nowhere
	tableRoutes     = 10000 // + Number: a route table
	tableInside     = 20000 // + Number: its routes that are inside the VPC's ranges
	tableDevice     = 1000  // + Device: in a machine, what leaves from a second interface
)

// Preferences of routing rules.
const (
	prefLocal     = 0
	prefSubnet    = 80 // within a subnet nothing is routed
	prefInside    = 90
	prefInterface = 100
	prefDevice    = 1000
	prefMark      = 1000
	prefFrom      = 2000
	prefNowhere   = 32000
	prefMain      = 32766
	prefDefault   = 32767
)

// markMask is the part of a packet's mark that says by which route table it goes.
const markMask = 0xfff

// The sizes of packets, as on AWS.
const (
	mtuInside   = 9001
	mtuPeering  = 8500
	mtuInternet = 1500
	mtuTunnel   = 1446
)

// internet is the id of the namespace on the internet's side.
const internet = "internet"

// kind says what a network namespace is.
type kind int

// The kinds. What is in a guest's namespace is shared with its root; the others are ours alone.
const (
	kindVPC kind = iota
	kindInternet
	kindNAT
	kindSite
	kindGuest    // a machine that is a bare namespace, which is ours to make
	kindLaunched // a machine that the launcher makes
)

// shared says whether others may add to it.
func (k kind) shared() bool { return k == kindGuest || k == kindLaunched }

// link is a network device, up.
type link struct {
	Name  string
	MTU   int // 0 for whatever it is
	MAC   mac
	Alias string
	Quick bool // it answers for others' addresses, and at once
}

// address is an address on a link.
type address struct {
	Dev    string
	Prefix netip.Prefix
}

// neighbour is a permanent neighbour entry.
type neighbour struct {
	Dev string
	IP  netip.Addr
	MAC mac
}

// route is a line of a routing table of the kernel's.
type route struct {
	Table int
	To    netip.Prefix
	Type  int
	Via   netip.Addr
	Dev   string
	Prio  int // always 0 of ours
}

// rule sends packets to a routing table; to none, it drops them.
type rule struct {
	Pref     int
	From, To netip.Prefix
	Iif      string
	Mark     int
	Table    int
}

// setting is a sysctl.
type setting struct {
	Path, Value string
	Maybe       bool // not every kernel has it
}

// state is what is in a network namespace, but its packet filter.
type state struct {
	settings   []setting
	links      []link
	addresses  []address
	neighbours []neighbour
	rules      []rule
	routes     []route
}

// space is a network namespace that should be.
type space struct {
	id     string
	kind   kind
	state  state
	text   string            // the packet filter's rules, of a NAT gateway and a site
	vpc    *dataplane.VPC    // of a VPC's
	old    *dataplane.VPC    // what it was before its groups changed, and nothing else
	blame  map[string]string // whose a link is, by its name
	beside []nft.Link        // of a VPC's: peerings and tunnels
}

// end is one end of a cable.
type end struct{ space, dev string }

// cable joins two network namespaces: a pair of virtual Ethernet devices.
type cable struct{ a, b end }

// plan is what a Config comes to in the kernel. Failures has what cannot be, by the id of the object.
type plan struct {
	config   *dataplane.Config // without what cannot be
	spaces   map[string]*space
	order    []*space // VPCs first
	cables   []cable
	failures failures
}

// router are the settings of every namespace that forwards packets.
var router = []setting{
	{Path: "net/ipv4/ip_forward", Value: "1"}, // first, because it changes others
	{Path: "net/ipv4/conf/all/rp_filter", Value: "0"},
	{Path: "net/ipv4/conf/default/rp_filter", Value: "0"},
	{Path: "net/ipv4/conf/all/send_redirects", Value: "0"},
	{Path: "net/ipv4/conf/default/send_redirects", Value: "0"},
	{Path: "net/ipv4/conf/all/accept_redirects", Value: "0"},
	{Path: "net/ipv4/conf/default/accept_redirects", Value: "0"},
	{Path: "net/ipv4/conf/default/proxy_arp", Value: "1"},
	{Path: "net/ipv4/ip_early_demux", Value: "0"}, // else packets that it forwards are lost to its own sockets
	{Path: "net/ipv4/tcp_fwmark_accept", Value: "1"},
	{Path: "net/ipv4/tcp_congestion_control", Value: "reno"}, // the host's may want a queue that a veth has not
	{Path: "net/ipv6/conf/all/disable_ipv6", Value: "1", Maybe: true},
	{Path: "net/ipv6/conf/default/disable_ipv6", Value: "1", Maybe: true},
}

// guest are the settings of a machine's namespace when it gets its first interface. They are its root's from then on.
var guest = []setting{
	{Path: "net/ipv4/tcp_congestion_control", Value: "reno"},
	{Path: "net/ipv6/conf/all/disable_ipv6", Value: "1", Maybe: true},
	{Path: "net/ipv6/conf/default/disable_ipv6", Value: "1", Maybe: true},
}

// usual are the rules that a network namespace is born with.
var usual = []rule{
	{Pref: prefLocal, Table: unix.RT_TABLE_LOCAL},
	{Pref: prefMain, Table: unix.RT_TABLE_MAIN},
	{Pref: prefDefault, Table: unix.RT_TABLE_DEFAULT},
}

// newPlan says what a Config comes to. Machines that are absent have no network namespace.
func newPlan(c *dataplane.Config, absent map[string]bool) *plan {
	p := &plan{spaces: map[string]*space{}, failures: failures{}}
	c = p.check(c)
	p.config = c
	machines := map[string]*dataplane.Machine{}
	for i := range c.VPCs {
		p.add(&space{id: c.VPCs[i].ID, kind: kindVPC, vpc: &c.VPCs[i]}).state.settings = router
	}
	outside := p.add(&space{id: internet, kind: kindInternet})
	outside.state.settings, outside.state.rules = router, usual
	outside.loopback()
	for _, a := range c.Services {
		outside.address("lo", netip.PrefixFrom(a, 32))
	}
	outside.nowhere(unix.RT_TABLE_MAIN, netip.PrefixFrom(netip.IPv4Unspecified(), 0))
	for i := range c.Machines {
		m := &c.Machines[i]
		if m.Stopped || absent[m.ID] {
			continue
		}
		k := kindGuest
		if len(m.Init) > 0 {
			k = kindLaunched
		}
		machines[m.ID] = m
		s := p.add(&space{id: m.ID, kind: k})
		s.loopback()
		s.state.settings = guest
	}
	for i := range c.VPCs {
		p.vpc(&c.VPCs[i], machines)
	}
	for i := range c.Peerings {
		p.peering(&c.Peerings[i])
	}
	for i := range c.Sites {
		p.site(c, &c.Sites[i], machines)
	}
	for i := range c.VPCs {
		p.routes(c, &c.VPCs[i])
	}
	return p
}

// regroup changes the groups of a VPC to those that it has now.
func (p *plan) regroup(v *dataplane.VPC, was []dataplane.Group) {
	for i := range was {
		delete(p.failures, was[i].ID)
	}
	s := p.spaces[v.ID]
	if s == nil {
		return
	}
	k := &checker{plan: p}
	next := *s.vpc
	next.Groups = k.groups(v.Groups, map[string]bool{})
	s.old, s.vpc = s.vpc, &next
}

// add adds a space.
func (p *plan) add(s *space) *space {
	s.blame = map[string]string{}
	p.spaces[s.id] = s
	p.order = append(p.order, s)
	return s
}

// loopback wants the loopback up.
func (s *space) loopback() { s.state.links = append(s.state.links, link{Name: "lo"}) }

// link wants a link, and says whose it is.
func (s *space) link(whose string, l link) {
	s.blame[l.Name] = whose
	s.state.links = append(s.state.links, l)
}

// address wants an address on a link.
func (s *space) address(dev string, prefix netip.Prefix) {
	s.state.addresses = append(s.state.addresses, address{dev, prefix})
}

// neighbour wants a neighbour entry.
func (s *space) neighbour(dev string, ip netip.Addr, m mac) {
	s.state.neighbours = append(s.state.neighbours, neighbour{dev, ip, m})
}

// rule wants a routing rule.
func (s *space) rule(r rule) { s.state.rules = append(s.state.rules, r) }

// nowhere wants a black hole.
func (s *space) nowhere(table int, to netip.Prefix) {
	s.state.routes = append(s.state.routes, route{Table: table, To: to, Type: unix.RTN_BLACKHOLE})
}

// direct wants a route to one address on a link.
func (s *space) direct(table int, to netip.Addr, dev string) {
	s.state.routes = append(s.state.routes, route{Table: table, To: netip.PrefixFrom(to, 32), Type: unix.RTN_UNICAST, Dev: dev})
}

// via wants a route through a neighbour on a link.
func (s *space) via(table int, to netip.Prefix, hop netip.Addr, dev string) {
	s.state.routes = append(s.state.routes, route{Table: table, To: to.Masked(), Type: unix.RTN_UNICAST, Via: hop, Dev: dev})
}

// join plans a cable between routers: both ends are reached by the next hop.
func (p *plan) join(whose string, mtu int, number int, a, b *space, devA, devB string) {
	base := mac{6, 2, byte(number >> 16), byte(number >> 8), byte(number), 0}
	macA, macB := base, base
	macA[5], macB[5] = 1, 2
	p.cables = append(p.cables, cable{end{a.id, devA}, end{b.id, devB}})
	a.link(whose, link{Name: devA, MTU: mtu, MAC: macA, Alias: whose})
	b.link(whose, link{Name: devB, MTU: mtu, MAC: macB, Alias: whose})
	a.neighbour(devA, nextHop, macB)
	b.neighbour(devB, nextHop, macA)
}

// plug plans a cable between a router and a machine or NAT gateway, which has addresses.
func (p *plan) plug(whose, alias string, mtu int, r, m *space, devR, devM string, table int, address mac, addresses []netip.Addr) {
	p.cables = append(p.cables, cable{end{r.id, devR}, end{m.id, devM}})
	r.link(whose, link{Name: devR, MTU: mtu, MAC: routerMAC, Alias: alias, Quick: true})
	m.link(whose, link{Name: devM, MTU: mtu, MAC: address})
	for _, a := range addresses {
		r.direct(table, a, devR)
		r.neighbour(devR, a, address)
	}
}

// vpc plans a VPC's namespace and those of its NAT gateways, but the routes to other networks.
func (p *plan) vpc(v *dataplane.VPC, machines map[string]*dataplane.Machine) {
	s := p.spaces[v.ID]
	s.loopback()
	if v.DNS { // the first address is the one that the router's ICMP messages come from
		s.address("lo", netip.PrefixFrom(v.Base2(), 32))
	}
	subnets := make(map[string]*dataplane.Subnet, len(v.Subnets))
	for i := range v.Subnets {
		n := &v.Subnets[i]
		subnets[n.ID] = n
		s.address("lo", netip.PrefixFrom(n.Router(), 32))
	}
	if v.DNS {
		s.address("lo", netip.PrefixFrom(dataplane.DNSAddress, 32))
	}
	s.address("lo", netip.PrefixFrom(dataplane.MetadataAddress, 32))
	for _, r := range v.CIDRs {
		s.nowhere(tableInterfaces, r)
	}
	for i := range v.Interfaces {
		n := &v.Interfaces[i]
		subnet := subnets[n.Subnet]
		switch n.Kind {
		case dataplane.Endpoint, dataplane.Inbound, dataplane.Outbound:
			for _, a := range n.Addresses {
				s.address("lo", netip.PrefixFrom(a, 32))
			}
		case dataplane.NAT:
			nat := p.add(&space{id: n.ID, kind: kindNAT})
			nat.state.settings, nat.state.rules = router, usual
			nat.loopback()
			nat.text = natRules(v)
			p.connect(v, n, subnet, s, nat)
		case dataplane.Guest:
			if machines[n.Machine] != nil {
				p.connect(v, n, subnet, s, p.spaces[n.Machine])
			}
		}
	}
	if v.InternetGateway != "" {
		outside := p.spaces[internet]
		dev := "u" + strconv.Itoa(v.Number)
		p.join(v.InternetGateway, mtuInternet, v.Number, s, outside, nft.InternetDevice, dev)
		for _, a := range v.Publics {
			outside.via(unix.RT_TABLE_MAIN, netip.PrefixFrom(a.Public, 32), nextHop, dev)
		}
	}
	s.rule(rule{Pref: prefLocal, Table: unix.RT_TABLE_LOCAL})
	s.rule(rule{Pref: prefInterface, Table: tableInterfaces})
	s.rule(rule{Pref: prefNowhere})
}

// connect plans the cable of an interface, and what its owner has of it.
func (p *plan) connect(v *dataplane.VPC, n *dataplane.Interface, subnet *dataplane.Subnet, s, m *space) {
	dev := "eth" + strconv.Itoa(n.Device)
	address := interfaceMAC(n)
	p.plug(n.ID, v.ID+"/"+n.ID, mtuInside, s, m, nft.Device(n.ID), dev, tableInterfaces, address, n.Addresses)
	for _, a := range n.Addresses {
		m.address(dev, netip.PrefixFrom(a, subnet.CIDR.Bits()))
	}
	everywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if n.Device == 0 {
		m.via(unix.RT_TABLE_MAIN, everywhere, subnet.Router(), dev)
		return
	}
	table := tableDevice + n.Device // what a second interface received is answered from there
	m.via(table, everywhere, subnet.Router(), dev)
	for _, a := range n.Addresses {
		m.rule(rule{Pref: prefDevice, From: netip.PrefixFrom(a, 32), Table: table})
	}
}

// peering plans the cable between two VPCs.
func (p *plan) peering(g *dataplane.Peering) {
	a, b := p.spaces[g.A], p.spaces[g.B]
	if a == nil || b == nil || a.vpc == nil || b.vpc == nil {
		p.failures.add(g.ID, "it joins %s and %s, and this host does not carry both", g.A, g.B)
		return
	}
	dev := nft.PeeringDevice(g.Number)
	p.join(g.ID, mtuPeering, 1<<20+g.Number, a, b, dev, dev)
	a.beside = append(a.beside, nft.Link{Device: dev, CIDRs: b.vpc.CIDRs})
	b.beside = append(b.beside, nft.Link{Device: dev, CIDRs: a.vpc.CIDRs})
}

// site plans an on-premises network's router, its machines' cables and its tunnels.
func (p *plan) site(c *dataplane.Config, site *dataplane.Site, machines map[string]*dataplane.Machine) {
	s := p.add(&space{id: site.ID, kind: kindSite})
	s.state.settings, s.state.rules = router, usual
	s.loopback()
	hop := (&dataplane.Subnet{CIDR: site.CIDR}).Router()
	s.address("lo", netip.PrefixFrom(hop, 32))
	s.nowhere(unix.RT_TABLE_MAIN, site.CIDR.Masked())
	for i := range c.Machines {
		m := &c.Machines[i]
		if m.Site != site.ID || machines[m.ID] == nil {
			continue
		}
		inside, address := p.spaces[m.ID], derived(m.ID)
		p.plug(m.ID, site.ID+"/"+m.ID, mtuInternet, s, inside, "h"+digest(m.ID), "eth0", unix.RT_TABLE_MAIN, address, []netip.Addr{m.Address})
		inside.address("eth0", netip.PrefixFrom(m.Address, site.CIDR.Bits()))
		inside.via(unix.RT_TABLE_MAIN, netip.PrefixFrom(netip.IPv4Unspecified(), 0), hop, "eth0")
	}
	for i := range c.Tunnels {
		t := &c.Tunnels[i]
		if t.Site != site.ID {
			continue
		}
		v := p.spaces[t.VPC]
		if v == nil || v.vpc == nil {
			p.failures.add(t.ID, "it leads to %s, which this host does not carry", t.VPC)
			continue
		}
		if slices.ContainsFunc(v.vpc.CIDRs, func(r netip.Prefix) bool { return s.routed(r) }) {
			p.failures.add(t.ID, "%s has a route to the ranges of %s already", site.ID, t.VPC)
			continue
		}
		dev := nft.TunnelDevice(t.Number)
		p.join(t.ID, mtuTunnel, 1<<20+t.Number, v, s, dev, dev)
		v.beside = append(v.beside, nft.Link{Device: dev, CIDRs: t.Prefixes})
		for _, r := range v.vpc.CIDRs {
			s.via(unix.RT_TABLE_MAIN, r, nextHop, dev)
		}
	}
	s.text = siteRules(site)
	if site.Internet.IsValid() {
		dev := "s" + digest(site.ID)
		outside := p.spaces[internet]
		p.join(site.ID, mtuInternet, 1<<21, s, outside, nft.InternetDevice, dev)
		s.via(unix.RT_TABLE_MAIN, netip.PrefixFrom(netip.IPv4Unspecified(), 0), nextHop, nft.InternetDevice)
		outside.via(unix.RT_TABLE_MAIN, netip.PrefixFrom(site.Internet, 32), nextHop, dev)
	}
}

// routed says whether a destination has a route in the main table.
func (s *space) routed(to netip.Prefix) bool {
	return slices.ContainsFunc(s.state.routes, func(r route) bool { return r.Table == unix.RT_TABLE_MAIN && r.To == to.Masked() })
}

// routes plans a VPC's route tables, when all that routes may lead to is planned.
func (p *plan) routes(c *dataplane.Config, v *dataplane.VPC) {
	s := p.spaces[v.ID]
	devices := make(map[string]bool, len(s.state.links))
	for _, l := range s.state.links {
		devices[l.Name] = true
	}
	devTo := map[string]string{} // by the id of a target
	for i := range c.Peerings {
		devTo[c.Peerings[i].ID] = nft.PeeringDevice(c.Peerings[i].Number)
	}
	for i := range c.Tunnels {
		if c.Tunnels[i].VPC == v.ID {
			devTo[c.Tunnels[i].ID] = nft.TunnelDevice(c.Tunnels[i].Number)
		}
	}
	hops := map[string]netip.Addr{}
	for i := range v.Interfaces {
		n := &v.Interfaces[i]
		devTo[n.ID], hops[n.ID] = nft.Device(n.ID), n.Addresses[0]
	}
	gateways := map[string]bool{}
	for _, g := range v.Gateways {
		gateways[g.ID] = true
	}
	target := func(table int, r dataplane.Route) {
		to := r.Destination.Masked()
		dev, hop := devTo[r.ID], nextHop
		switch r.Target {
		case dataplane.ToGateway:
			if gateways[r.ID] {
				s.state.routes = append(s.state.routes, route{Table: table, To: to, Type: unix.RTN_LOCAL, Dev: "lo"})
				return
			}
			dev = ""
		case dataplane.ToInternet:
			dev = ""
			if v.InternetGateway != "" {
				dev = nft.InternetDevice
			}
		case dataplane.ToInterface:
			hop = hops[r.ID]
		case dataplane.ToPeering, dataplane.ToTunnel:
		default:
			dev = ""
		}
		if !devices[dev] || !hop.IsValid() {
			s.nowhere(table, to)
			return
		}
		s.via(table, to, hop, dev)
	}
	inside := func(to netip.Prefix) bool {
		return slices.ContainsFunc(v.CIDRs, func(r netip.Prefix) bool { return r.Bits() <= to.Bits() && r.Contains(to.Addr()) })
	}
	tables := map[string]*dataplane.RouteTable{}
	within := map[string]bool{}
	for i := range v.RouteTables {
		t := &v.RouteTables[i]
		if !slices.ContainsFunc(v.Subnets, func(n dataplane.Subnet) bool { return n.RouteTable == t.ID }) {
			continue
		}
		tables[t.ID] = t
		s.rule(rule{Pref: prefMark, Mark: t.Number, Table: tableRoutes + t.Number})
		for _, r := range t.Routes {
			if inside(r.Destination) {
				within[t.ID] = true
				target(tableInside+t.Number, r)
			} else {
				target(tableRoutes+t.Number, r)
			}
		}
		if within[t.ID] {
			s.rule(rule{Pref: prefInside, Mark: t.Number, Table: tableInside + t.Number})
		}
	}
	for i := range v.Subnets {
		n := &v.Subnets[i]
		t := tables[n.RouteTable]
		if t == nil {
			continue
		}
		s.rule(rule{Pref: prefFrom, From: n.CIDR, Iif: "lo", Table: tableRoutes + t.Number})
		if within[t.ID] {
			s.rule(rule{Pref: prefSubnet, From: n.CIDR, To: n.CIDR, Table: tableInterfaces})
			s.rule(rule{Pref: prefInside, From: n.CIDR, Iif: "lo", Table: tableInside + t.Number})
		}
	}
}

// interfaceMAC is the MAC of what is behind an interface.
func interfaceMAC(n *dataplane.Interface) mac {
	if m, err := net.ParseMAC(n.MAC); err == nil && len(m) == len(mac{}) {
		return mac(m)
	}
	return derived(n.ID)
}

// derived makes a MAC of an id.
func derived(id string) mac {
	sum := sha256.Sum256([]byte(id))
	return mac{2, sum[0], sum[1], sum[2], sum[3], sum[4]}
}

// digest makes the part of a device's name of an id that has no number.
func digest(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:7])
}
