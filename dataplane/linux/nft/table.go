package nft

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vennel/vennel/dataplane"
)

// Table is the rules of one VPC.
type Table struct {
	vpc       string
	sets      []*set // by name
	chains    []chain
	shape     [sha256.Size]byte // of everything but the elements that change by themselves
	revision  string
	devices   map[string]string     // ids of interfaces
	addresses map[netip.Addr]string // ids of interfaces
}

// chain is a chain with its rules.
type chain struct {
	name  string
	rules []string
}

// Revision names the table's content.
func (t *Table) Revision() string { return t.revision }

// marker is the chain whose presence says which revision is committed. Nothing jumps to it.
func marker(revision string) string { return markerPrefix + revision }

// markerPrefix begins the name of a marker and of no other chain.
const markerPrefix = "ver_"

// Text is the whole table as a script of nft's that replaces what is there in one transaction.
func (t *Table) Text() string {
	var b strings.Builder
	b.WriteString("table ip vpc\ndelete table ip vpc\ntable ip vpc {\n")
	fmt.Fprintf(&b, "\tchain %s {\n\t}\n", marker(t.revision))
	for _, s := range t.sets {
		s.text(&b)
	}
	for _, c := range t.chains {
		c.text(&b)
	}
	b.WriteString("}\n")
	return b.String()
}

// parts is the table as scripts of about a length, each of which nft runs in a transaction of its own: what packets pass through,
// which drops them; sets, with few elements at a time; chains; and the marker when all is there.
func (t *Table) parts(size int) []string {
	var all []string
	var b strings.Builder
	flush := func(all []string) []string {
		if b.Len() > 0 {
			all = append(all, "table ip vpc {\n"+b.String()+"}\n")
			b.Reset()
		}
		return all
	}
	for _, c := range t.chains {
		first := chain{name: c.name}
		if strings.HasPrefix(c.rules[0], "type ") {
			first.rules = c.rules[:1]
		}
		first.text(&b)
	}
	all = append(all, "table ip vpc\ndelete table ip vpc\n"+flush(nil)[0])
	for _, s := range t.sets {
		part := *s
		for rest := s.elements; ; {
			part.elements = rest[:min(len(rest), size/64)]
			rest = rest[len(part.elements):]
			part.text(&b)
			if b.Len() > size {
				all = flush(all)
			}
			if len(rest) == 0 {
				break
			}
		}
	}
	for _, c := range t.chains {
		c.text(&b)
		if b.Len() > size {
			all = flush(all)
		}
	}
	all = flush(all)
	return append(all, "table ip vpc {\n\tchain "+marker(t.revision)+" {\n\t}\n}\n")
}

// text is the chain as text.
func (c *chain) text(b *strings.Builder) {
	fmt.Fprintf(b, "\tchain %s {\n", c.name)
	for _, r := range c.rules {
		b.WriteString("\t\t" + r + "\n")
	}
	b.WriteString("\t}\n")
}

// maxMark is the largest number of a route table that a packet's mark has room for.
const maxMark = 0xfff

// builder makes a Table.
type builder struct {
	*Table
	vpc     *dataplane.VPC
	groups  map[string]*dataplane.Group
	acls    map[string]*dataplane.ACL
	subnets map[string]*dataplane.Subnet
	byName  map[string]*set
	combos  map[string][]*dataplane.Group // of groups, by the word that names them
}

// New says what the rules of a VPC are: a function of its arguments alone. What is wrong with an object makes packets for it
// be dropped. Of two objects with one id, or two interfaces with one address, the first is meant.
func New(v *dataplane.VPC, links []Link) *Table {
	b := builder{
		Table:   &Table{vpc: v.ID, devices: map[string]string{}, addresses: map[netip.Addr]string{}},
		vpc:     v,
		groups:  index(v.Groups, func(g *dataplane.Group) string { return g.ID }),
		acls:    index(v.ACLs, func(a *dataplane.ACL) string { return a.ID }),
		subnets: index(v.Subnets, func(s *dataplane.Subnet) string { return s.ID }),
		byName:  map[string]*set{},
		combos:  map[string][]*dataplane.Group{},
	}
	b.declare()
	b.boundaries(links)
	for _, g := range b.groups {
		b.group(g)
		b.combos[word(g.ID)] = []*dataplane.Group{g}
	}
	for i := range v.Interfaces {
		b.networkInterface(&v.Interfaces[i])
	}
	b.fixedChains()
	for _, name := range sorted(b.combos) {
		b.combo(name, b.combos[name])
	}
	for _, id := range sorted(b.acls) {
		b.acl(b.acls[id])
	}
	b.finish()
	return b.Table
}

// index finds objects by their ids. Of several with one id it finds the first.
func index[T any](list []T, id func(*T) string) map[string]*T {
	m := make(map[string]*T, len(list))
	for i := range list {
		if at := id(&list[i]); m[at] == nil {
			m[at] = &list[i]
		}
	}
	return m
}

// sorted gives the keys of a map in order.
func sorted[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// set adds an empty set to the table.
func (b *builder) set(s set) *set {
	b.sets = append(b.sets, &s)
	b.byName[s.name] = &s
	return &s
}

// put puts an element into one of the sets that every table has.
func (b *builder) put(name, value string, fields ...field) { b.byName[name].add(value, fields...) }

// declare makes the sets that every table has.
func (b *builder) declare() {
	for _, s := range []set{
		{name: "eni_src", key: []kind{kindDevice, kindAddress}},                // what an interface may send from and get packets for
		{name: "eni_nosdc", key: []kind{kindDevice}},                           // for which eni_src does not matter
		{name: "eni_rtb", key: []kind{kindDevice}, value: kindMark},            // the number of the route table
		{name: "link_src", key: []kind{kindDevice, kindAddress}, ranges: true}, // what may come in through a peering or tunnel
		{name: "inside", key: []kind{kindAddress}, ranges: true, fixed: true},  // what does not come from the internet
		{name: "lls", key: []kind{kindAddress}},                                // the services that are outside of all filters
		{name: "lls_rate", key: []kind{kindDevice}, dynamic: true},             //
		{name: "same_subnet", key: []kind{kindAddress, kindAddress}, ranges: true},
		{name: "eip_pub", key: []kind{kindAddress}},
		{name: "eip_priv", key: []kind{kindAddress}},
		{name: "eip_dnat", key: []kind{kindAddress}, value: kindAddress},
		{name: "eip_snat", key: []kind{kindAddress}, value: kindAddress},
		{name: "acl_out", key: []kind{kindDevice}, value: kindVerdict},
		{name: "acl_in", key: []kind{kindDevice}, value: kindVerdict},
		{name: "acl_out_ip", key: []kind{kindAddress}, value: kindVerdict}, // of interfaces that have no device
		{name: "acl_in_ip", key: []kind{kindAddress}, value: kindVerdict},
		{name: "sg_out", key: []kind{kindDevice}, value: kindVerdict},
		{name: "sg_in", key: []kind{kindDevice}, value: kindVerdict},
		{name: "sg_out_ip", key: []kind{kindAddress}, value: kindVerdict},
		{name: "sg_in_ip", key: []kind{kindAddress}, value: kindVerdict},
		{name: "local_ip", key: []kind{kindAddress}},                           // interfaces that have no device
		{name: "dialer_ip", key: []kind{kindAddress}},                          // those from which connections are made
		{name: "listener", key: []kind{kindAddress, kindProtocol, kindPort}},   // what is answered on them
		{name: "gateway", key: []kind{kindAddress}, ranges: true, fixed: true}, // what gateway endpoints answer for
		{name: "log_again", key: []kind{kindDevice}},                           // whose packets may come a second time
		{name: "log_rate", key: []kind{kindDevice}, dynamic: true},             //
		{name: "log_rate_ip", key: []kind{kindAddress}, dynamic: true},         //
	} {
		b.set(s)
	}
}

// boundaries fills the sets that are about the VPC as a whole.
func (b *builder) boundaries(links []Link) {
	for _, a := range linkLocal(b.vpc) {
		b.put("lls", "", address(a))
	}
	inside := slices.Clone(b.vpc.CIDRs)
	inside = append(inside, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"))
	for _, l := range links {
		if !l.valid() {
			continue
		}
		for _, p := range apart(l.CIDRs) {
			b.put("link_src", "", device(l.Device), prefix(p))
			if p.Bits() > 0 { // a site that leads to the internet is not all of it
				inside = append(inside, p)
			}
		}
	}
	for _, p := range apart(inside) {
		b.put("inside", "", prefix(p))
	}
	for _, s := range b.subnets {
		if ipv4(s.CIDR) {
			b.put("same_subnet", "", prefix(s.CIDR), prefix(s.CIDR))
		}
	}
	var prefixes []netip.Prefix
	for _, g := range b.vpc.Gateways {
		prefixes = append(prefixes, g.Prefixes...)
	}
	for _, p := range apart(prefixes) {
		b.put("gateway", "", prefix(p))
	}
	if b.vpc.InternetGateway != "" {
		public, private := map[netip.Addr]bool{}, map[netip.Addr]bool{}
		for _, p := range b.vpc.Publics {
			if !p.Public.Is4() || !p.Private.Is4() || public[p.Public] || private[p.Private] {
				continue
			}
			public[p.Public], private[p.Private] = true, true
			b.put("eip_pub", "", address(p.Public))
			b.put("eip_priv", "", address(p.Private))
			b.put("eip_dnat", string(p.Private.AsSlice()), address(p.Public))
			b.put("eip_snat", string(p.Public.AsSlice()), address(p.Private))
		}
	}
	b.put("log_again", "", device("lo"))
}

// networkInterface fills the sets with an interface. One whose subnet is not there has no place in any, and all packets are dropped.
func (b *builder) networkInterface(n *dataplane.Interface) {
	subnet := b.subnets[n.Subnet]
	addresses := slices.DeleteFunc(slices.Clone(n.Addresses), func(a netip.Addr) bool { return !a.Is4() || b.addresses[a] != "" })
	dev := Device(n.ID)
	if subnet == nil || b.devices[dev] != "" {
		return
	}
	aclIn, aclOut := "refuse_acl_in", "refuse_acl_out"
	if a := b.acls[subnet.ACL]; a != nil {
		aclIn, aclOut = "acl_in_"+word(a.ID), "acl_out_"+word(a.ID)
	}
	sgIn, sgOut := "refuse_sg_in", "refuse_sg_out"
	if name := b.groupsOf(n); name != "" {
		sgIn, sgOut = "sg_in_"+name, "sg_out_"+name
	}
	for _, a := range addresses {
		b.addresses[a] = n.ID
		for _, id := range n.Groups {
			if g := b.groups[id]; g != nil {
				b.put("group_"+word(g.ID), "", address(a))
			}
		}
	}
	if n.Kind == dataplane.Guest || n.Kind == dataplane.NAT {
		b.devices[dev] = n.ID
		for _, a := range addresses {
			b.put("eni_src", "", device(dev), address(a))
		}
		if n.Unchecked || n.Kind == dataplane.NAT { // what a NAT gateway passes on is never its own
			b.put("eni_nosdc", "", device(dev))
			b.put("log_again", "", device(dev))
		}
		for i := range b.vpc.RouteTables {
			if r := &b.vpc.RouteTables[i]; r.ID == subnet.RouteTable && r.Number > 0 && r.Number <= maxMark {
				b.put("eni_rtb", string(binary.NativeEndian.AppendUint32(nil, uint32(r.Number))), device(dev))
				break
			}
		}
		b.put("acl_out", aclOut, device(dev))
		b.put("acl_in", aclIn, device(dev))
		if n.Kind == dataplane.Guest { // NAT gateways have no groups
			b.put("sg_out", sgOut, device(dev))
			b.put("sg_in", sgIn, device(dev))
		}
		return
	}
	for _, a := range addresses {
		b.put("local_ip", "", address(a))
		b.put("acl_out_ip", aclOut, address(a))
		b.put("acl_in_ip", aclIn, address(a))
		b.put("sg_in_ip", sgIn, address(a))
		listen := func(protocol, port int) { b.put("listener", "", address(a), number(protocol), number(port)) }
		switch n.Kind {
		case dataplane.Endpoint:
			listen(6, 443)
			listen(6, 80)
		case dataplane.Inbound:
			listen(6, 53)
			listen(17, 53)
		case dataplane.Outbound:
			b.put("dialer_ip", "", address(a))
			b.put("sg_out_ip", sgOut, address(a))
		case dataplane.Guest, dataplane.NAT: // above
		}
	}
}

// groupsOf gives the word for the combination of groups that an interface has, or "" when it has none.
func (b *builder) groupsOf(n *dataplane.Interface) string {
	var list []*dataplane.Group
	for _, id := range n.Groups {
		if g := b.groups[id]; g != nil && !slices.Contains(list, g) {
			list = append(list, g)
		}
	}
	if len(list) == 0 {
		return ""
	}
	slices.SortFunc(list, func(a, b *dataplane.Group) int { return strings.Compare(a.ID, b.ID) })
	name := word(list[0].ID)
	if len(list) > 1 {
		sum := sha256.New()
		for _, g := range list {
			fmt.Fprintf(sum, "%q", g.ID)
		}
		name = "x_" + hex.EncodeToString(sum.Sum(nil)[:8])
	}
	b.combos[name] = list
	return name
}

// direction is a word and the address that rules of it are about.
type direction struct{ name, peer string }

// The directions, as seen by the one that is protected.
var (
	inward  = direction{"in", "ip saddr"}
	outward = direction{"out", "ip daddr"}
)

// rules gives a group's rules of a direction.
func (d direction) rules(g *dataplane.Group) []dataplane.Rule {
	if d == inward {
		return g.Ingress
	}
	return g.Egress
}

// group makes the sets of a group: its members and, for each direction, what it permits.
func (b *builder) group(g *dataplane.Group) {
	id := word(g.ID)
	members := b.set(set{name: "group_" + id, key: []kind{kindAddress}})
	for _, a := range g.Members {
		if a.Is4() {
			members.add("", address(a))
		}
	}
	for _, d := range []direction{inward, outward} {
		b.ranges(g, d)
		b.references(g, d)
	}
}

// ranges makes the sets for a group's rules that are about ranges of addresses.
func (b *builder) ranges(g *dataplane.Group, d direction) {
	var protocols, ports, icmp []box
	for _, r := range d.rules(g) {
		m, ok := match(r.Protocol, r.From, r.To)
		if r.Group != "" || !ok || !ipv4(r.CIDR) {
			continue
		}
		p := r.CIDR.Masked()
		switch m.protocol {
		case 0:
			protocols = append(protocols, box{p, 0, m.protocols})
		case 1:
			icmp = append(icmp, box{p, m.icmp, m.numbers})
		default:
			ports = append(ports, box{p, m.protocol, m.numbers})
		}
	}
	suffix := d.name + "_" + word(g.ID)
	s := b.set(set{name: "protocol_" + suffix, key: []kind{kindAddress, kindProtocol}, ranges: true})
	for _, x := range tidy(protocols) {
		s.add("", prefix(x.prefix), numbers(x.span))
	}
	s = b.set(set{name: "port_" + suffix, key: []kind{kindAddress, kindProtocol, kindPort}, ranges: true})
	for _, x := range tidy(ports) {
		s.add("", prefix(x.prefix), number(x.key), numbers(x.span))
	}
	if len(icmp) > 0 {
		s = b.set(set{name: "icmp_" + suffix, key: []kind{kindAddress, kindType, kindCode}, ranges: true})
		for _, x := range tidy(icmp) {
			s.add("", prefix(x.prefix), number(x.key), numbers(x.span))
		}
	}
}

// references makes the sets for a group's rules that are about other groups, or itself.
func (b *builder) references(g *dataplane.Group, d direction) {
	everywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	ports, icmp, all := map[string][]box{}, map[string][]box{}, map[string]bool{}
	for _, r := range d.rules(g) {
		m, ok := match(r.Protocol, r.From, r.To)
		if !ok || b.groups[r.Group] == nil {
			continue
		}
		at := word(g.ID) + "_" + word(r.Group)
		switch {
		case m.protocols == span{0, 255}:
			all[at] = true
			ports[at] = nil
		case m.protocol == 0:
			ports[at] = append(ports[at], box{everywhere, m.protocols.lo, span{0, 65535}})
		case m.protocol == 1:
			icmp[at] = append(icmp[at], box{everywhere, m.icmp, m.numbers})
		default:
			ports[at] = append(ports[at], box{everywhere, m.protocol, m.numbers})
		}
	}
	for _, at := range sorted(ports) {
		s := b.set(set{name: "ref_port_" + d.name + "_" + at, key: []kind{kindProtocol, kindPort}, ranges: true})
		if all[at] {
			s.add("", numbers(span{0, 255}), numbers(span{0, 65535}))
			continue
		}
		for _, x := range tidy(ports[at]) {
			s.add("", number(x.key), numbers(x.span))
		}
	}
	for _, at := range sorted(icmp) {
		s := b.set(set{name: "ref_icmp_" + d.name + "_" + at, key: []kind{kindType, kindCode}, ranges: true})
		for _, x := range tidy(icmp[at]) {
			s.add("", number(x.key), numbers(x.span))
		}
	}
}

// combo makes the chains of a combination of groups. They return for what one of the groups permits.
func (b *builder) combo(name string, groups []*dataplane.Group) {
	for _, d := range []direction{inward, outward} {
		c := chain{name: "sg_" + d.name + "_" + name}
		add := func(match, set string) {
			if b.byName[set] != nil {
				c.rules = append(c.rules, match+" @"+set+" return")
			}
		}
		for _, g := range groups {
			suffix := d.name + "_" + word(g.ID)
			add(d.peer+" . meta l4proto", "protocol_"+suffix)
			add(d.peer+" . meta l4proto . th dport", "port_"+suffix)
			add(d.peer+" . icmp type . icmp code", "icmp_"+suffix)
			var seen []string
			for _, r := range d.rules(g) {
				if r.Group == "" || slices.Contains(seen, r.Group) {
					continue
				}
				seen = append(seen, r.Group)
			}
			slices.Sort(seen)
			for _, ref := range seen {
				member := d.peer + " @group_" + word(ref) + " "
				add(member+"meta l4proto . th dport", "ref_port_"+suffix+"_"+word(ref))
				add(member+"icmp type . icmp code", "ref_icmp_"+suffix+"_"+word(ref))
			}
		}
		c.rules = append(c.rules, "goto refuse_sg_"+d.name)
		b.chains = append(b.chains, c)
	}
}

// acl makes the chains of a network ACL. They return for what it allows.
func (b *builder) acl(a *dataplane.ACL) {
	for _, d := range []direction{inward, outward} {
		entries := a.Ingress
		if d == outward {
			entries = a.Egress
		}
		entries = slices.Clone(entries)
		slices.SortStableFunc(entries, func(a, b dataplane.Entry) int { return cmp.Compare(a.Number, b.Number) })
		c := chain{name: "acl_" + d.name + "_" + word(a.ID)}
		for _, e := range entries {
			if rule, ok := entry(e, d); ok {
				c.rules = append(c.rules, rule)
			}
		}
		c.rules = append(c.rules, "goto refuse_acl_"+d.name)
		b.chains = append(b.chains, c)
	}
}

// entry is an entry of a network ACL as a rule. One that means nothing allows nothing and denies everything.
func entry(e dataplane.Entry, d direction) (string, bool) {
	m, ok := match(e.Protocol, e.From, e.To)
	if ok = ok && ipv4(e.CIDR); !ok {
		return "goto refuse_acl_" + d.name, !e.Allow
	}
	var rule []string
	if e.CIDR.Bits() > 0 {
		rule = append(rule, d.peer, e.CIDR.Masked().String())
	}
	switch {
	case m.protocols == span{0, 255}:
	case m.protocol == 0:
		rule = append(rule, fmt.Sprintf("meta l4proto %d", m.protocols.lo))
	case m.protocol == 1 && m.numbers == span{0, 255}:
		rule = append(rule, fmt.Sprintf("icmp type %d", m.icmp))
	case m.protocol == 1:
		rule = append(rule, fmt.Sprintf("icmp type %d icmp code %d", m.icmp, m.numbers.lo))
	case m.numbers.lo == m.numbers.hi:
		rule = append(rule, fmt.Sprintf("meta l4proto %d th dport %d", m.protocol, m.numbers.lo))
	default:
		rule = append(rule, fmt.Sprintf("meta l4proto %d th dport %d-%d", m.protocol, m.numbers.lo, m.numbers.hi))
	}
	if e.Allow {
		rule = append(rule, "return")
	} else {
		rule = append(rule, "goto refuse_acl_"+d.name)
	}
	return strings.Join(rule, " "), true
}

// finish puts the sets in order and names the revision.
func (b *builder) finish() {
	slices.SortFunc(b.sets, func(x, y *set) int { return strings.Compare(x.name, y.name) })
	var text strings.Builder
	for _, s := range b.sets {
		s.finish()
		if s.fixed {
			s.text(&text)
		} else {
			s.header(&text)
		}
	}
	for _, c := range b.chains {
		c.text(&text)
	}
	b.shape = sha256.Sum256([]byte(text.String()))
	b.rename()
}
