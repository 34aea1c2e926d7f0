package linux

import (
	"net/netip"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux/nft"
)

// check gives a Config without what cannot be, and says why. What it is given stays as it is.
func (p *plan) check(c *dataplane.Config) *dataplane.Config {
	k := &checker{plan: p, spaces: map[string]bool{internet: true}, vpcs: map[int]bool{}, joins: map[int]bool{},
		publics: map[netip.Addr]bool{}, devices: map[device]bool{}, machines: map[string]bool{}}
	out := *c
	out.Services = keep(c.Services, func(a *netip.Addr) bool { return k.public("services", *a) })
	out.Sites = keep(c.Sites, k.site)
	sites := map[string]netip.Prefix{}
	for _, s := range out.Sites {
		sites[s.ID] = s.CIDR
	}
	out.Machines = keep(c.Machines, func(m *dataplane.Machine) bool { return k.machine(m, sites) })
	out.VPCs = make([]dataplane.VPC, 0, len(c.VPCs))
	for i := range c.VPCs {
		if v, ok := k.vpc(&c.VPCs[i]); ok {
			out.VPCs = append(out.VPCs, v)
		}
	}
	out.Peerings = keep(c.Peerings, func(g *dataplane.Peering) bool {
		return k.ok(g.ID, validID(g.ID) && g.A != g.B, "a peering has an id and two VPCs") && k.join(g.ID, g.Number)
	})
	out.Tunnels = keep(c.Tunnels, func(t *dataplane.Tunnel) bool {
		return k.ok(t.ID, validID(t.ID) && valid(t.Prefixes...), "a tunnel has an id and ranges of IPv4") && k.join(t.ID, t.Number)
	})
	return &out
}

// checker remembers what only one object may have.
type checker struct {
	plan     *plan
	spaces   map[string]bool
	vpcs     map[int]bool
	joins    map[int]bool
	publics  map[netip.Addr]bool
	devices  map[device]bool
	machines map[string]bool // hosts of sites
}

// device is an interface of a machine.
type device struct {
	machine string
	number  int
}

// ok records a failure unless a condition holds.
func (k *checker) ok(id string, holds bool, format string, args ...any) bool {
	if !holds {
		k.plan.failures.add(id, format, args...)
	}
	return holds
}

// once says whether a value is new to a set, and adds it.
func once[K comparable](seen map[K]bool, key K) bool {
	fresh := !seen[key]
	seen[key] = true
	return fresh
}

// keep gives the elements of a list that are as they should be: the list itself when all are.
func keep[T any](list []T, ok func(*T) bool) []T {
	for i := range list {
		if ok(&list[i]) {
			continue
		}
		kept := append([]T(nil), list[:i]...)
		for j := i + 1; j < len(list); j++ {
			if ok(&list[j]) {
				kept = append(kept, list[j])
			}
		}
		return kept
	}
	return list
}

// validID says whether an id may become part of a name: letters, digits, dots and hyphens, 64 at most.
func validID(id string) bool {
	if id == "" || len(id) > 64 || id[0] == '-' || id[0] == '.' {
		return false
	}
	for i := range len(id) {
		b := id[i]
		if !(b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-' || b == '.') {
			return false
		}
	}
	return true
}

// valid says whether ranges are of IPv4.
func valid(list ...netip.Prefix) bool {
	for _, p := range list {
		if !p.IsValid() || !p.Addr().Is4() {
			return false
		}
	}
	return true
}

// space takes an id for a network namespace.
func (k *checker) space(id string) bool {
	return k.ok(id, validID(id), "an id has letters, digits and hyphens, 64 at most") &&
		k.ok(id, once(k.spaces, id), "another object has this id")
}

// public takes a public address.
func (k *checker) public(whose string, a netip.Addr) bool {
	return k.ok(whose, a.Is4(), "%s is no address of IPv4", a) && k.ok(whose, once(k.publics, a), "%s is another's, too", a)
}

// join takes the number of a peering or tunnel.
func (k *checker) join(id string, number int) bool {
	return k.ok(id, number >= 1 && number <= 8000, "its number, %d, is not from 1 to 8000", number) &&
		k.ok(id, once(k.joins, number), "another has its number, %d", number)
}

// site checks a site.
func (k *checker) site(s *dataplane.Site) bool {
	return k.space(s.ID) && k.ok(s.ID, valid(s.CIDR) && s.CIDR.Bits() <= 30, "%s is no range of IPv4 with a router", s.CIDR) &&
		(!s.Internet.IsValid() || k.public(s.ID, s.Internet))
}

// machine checks a machine, and a host of a site against its site.
func (k *checker) machine(m *dataplane.Machine, sites map[string]netip.Prefix) bool {
	if !k.space(m.ID) || m.Site == "" {
		return k.plan.failures[m.ID] == ""
	}
	site, known := sites[m.Site]
	return k.ok(m.ID, known, "it is on %s, which is not there", m.Site) &&
		k.ok(m.ID, site.Contains(m.Address), "its address, %s, is not of %s", m.Address, site) &&
		k.ok(m.ID, m.Address != (&dataplane.Subnet{CIDR: site}).Router(), "its address, %s, is the router's", m.Address) &&
		k.ok(m.ID, once(k.machines, m.Site+"/"+m.Address.String()), "another machine has its address, %s", m.Address) &&
		k.ok(m.ID, once(k.devices, device{m.ID, 0}), "it has one interface only")
}

// vpc checks a VPC. What is wrong with a part of it is that part's failure.
func (k *checker) vpc(in *dataplane.VPC) (dataplane.VPC, bool) {
	v := *in
	if !k.space(v.ID) ||
		!k.ok(v.ID, v.Number >= 1 && v.Number < 1<<24, "its number, %d, is not from 1 to 2^24-1", v.Number) ||
		!k.ok(v.ID, once(k.vpcs, v.Number), "another VPC has its number, %d", v.Number) ||
		!k.ok(v.ID, len(v.CIDRs) > 0 && valid(v.CIDRs...) && v.CIDRs[0].Bits() <= 29, "a VPC has ranges of IPv4") {
		return v, false
	}
	ids := map[string]bool{}
	named := func(id string) bool { return k.named(id, ids) }
	numbers := map[int]bool{}
	v.RouteTables = keep(v.RouteTables, func(t *dataplane.RouteTable) bool {
		for i := range t.Routes {
			if !k.ok(t.ID, valid(t.Routes[i].Destination), "a route leads to %s, which is no range of IPv4", t.Routes[i].Destination) {
				return false
			}
		}
		return named(t.ID) && k.ok(t.ID, t.Number >= 1 && t.Number <= 3000, "its number, %d, is not from 1 to 3000", t.Number) &&
			k.ok(t.ID, once(numbers, t.Number), "another has its number, %d", t.Number)
	})
	v.Groups = k.groups(v.Groups, ids)
	v.ACLs = keep(v.ACLs, func(a *dataplane.ACL) bool {
		return named(a.ID) && k.entries(a.ID, a.Ingress) && k.entries(a.ID, a.Egress)
	})
	v.Gateways = keep(v.Gateways, func(g *dataplane.Gateway) bool {
		return named(g.ID) && k.ok(g.ID, valid(g.Prefixes...), "its prefixes are no ranges of IPv4")
	})
	subnets := map[string]netip.Prefix{}
	taken := map[netip.Addr]bool{v.Base2(): true}
	v.Subnets = keep(v.Subnets, func(n *dataplane.Subnet) bool {
		if !named(n.ID) || !k.ok(n.ID, valid(n.CIDR) && n.CIDR.Bits() <= 30, "%s is no range of IPv4 with a router", n.CIDR) {
			return false
		}
		for _, other := range subnets {
			if !k.ok(n.ID, !other.Overlaps(n.CIDR), "%s overlaps with another subnet's %s", n.CIDR, other) {
				return false
			}
		}
		taken[n.Router()] = true
		subnets[n.ID] = n.CIDR
		return true
	})
	links := map[string]bool{}
	v.Interfaces = keep(v.Interfaces, func(n *dataplane.Interface) bool {
		cidr, known := subnets[n.Subnet]
		if !named(n.ID) || !k.ok(n.ID, known, "its subnet, %s, is not there", n.Subnet) ||
			!k.ok(n.ID, once(links, nft.Device(n.ID)), "another interface's id ends like its own") ||
			!k.ok(n.ID, len(n.Addresses) > 0, "it has no address") {
			return false
		}
		for _, a := range n.Addresses {
			if !k.ok(n.ID, cidr.Contains(a), "its address, %s, is not of its subnet, %s", a, cidr) ||
				!k.ok(n.ID, once(taken, a), "its address, %s, is another's", a) {
				return false
			}
		}
		switch n.Kind {
		case dataplane.Guest:
			return n.Machine == "" || k.ok(n.ID, n.Device >= 0 && n.Device < 32, "its device, %d, is not from 0 to 31", n.Device) &&
				k.ok(n.ID, once(k.devices, device{n.Machine, n.Device}), "%s has a device %d already", n.Machine, n.Device)
		case dataplane.NAT:
			return k.space(n.ID)
		case dataplane.Endpoint, dataplane.Inbound, dataplane.Outbound:
			return true
		}
		return k.ok(n.ID, false, "nothing is known of the kind %q", n.Kind)
	})
	v.Publics = keep(v.Publics, func(a *dataplane.Public) bool {
		return k.ok(v.ID, a.Private.Is4(), "%s is no address of IPv4", a.Private) && k.public(v.ID, a.Public)
	})
	return v, true
}

// named takes an id within a VPC.
func (k *checker) named(id string, ids map[string]bool) bool {
	return k.ok(id, validID(id), "an id has letters, digits and hyphens, 64 at most") && k.ok(id, once(ids, id), "another object has this id")
}

// groups checks security groups.
func (k *checker) groups(list []dataplane.Group, ids map[string]bool) []dataplane.Group {
	return keep(list, func(g *dataplane.Group) bool {
		return k.named(g.ID, ids) && k.rules(g.ID, g.Ingress) && k.rules(g.ID, g.Egress)
	})
}

// rules checks the rules of a security group.
func (k *checker) rules(id string, list []dataplane.Rule) bool {
	for i := range list {
		r := &list[i]
		if !k.ok(id, r.Group != "" && validID(r.Group) || valid(r.CIDR), "a rule is about neither a range of IPv4 nor a group") ||
			!k.ports(id, r.Protocol, r.From, r.To) {
			return false
		}
	}
	return true
}

// entries checks the entries of a network ACL.
func (k *checker) entries(id string, list []dataplane.Entry) bool {
	for i := range list {
		e := &list[i]
		if !k.ok(id, valid(e.CIDR), "entry %d is about no range of IPv4", e.Number) || !k.ports(id, e.Protocol, e.From, e.To) {
			return false
		}
	}
	return true
}

// ports checks what packets a rule or entry is about.
func (k *checker) ports(id string, protocol, from, to int) bool {
	return k.ok(id, protocol >= dataplane.AllProtocols && protocol <= 255, "there is no protocol %d", protocol) &&
		k.ok(id, from >= -1 && from <= 65535 && to >= -1 && to <= 65535, "there are no ports %d to %d", from, to)
}
