package linux

import (
	"slices"

	"github.com/vennel/vennel/dataplane"
)

// memory is a Config that was made true, and what it came to. The Config is a copy, because callers go on with theirs.
type memory struct {
	config *dataplane.Config
	absent map[string]bool
	plan   *plan
}

// same says whether nothing but the groups of VPCs is different in another Config, and of which VPCs.
func (m *memory) same(c *dataplane.Config, absent map[string]bool) (groups []int, ok bool) {
	o := m.config
	if len(absent) != len(m.absent) || len(o.VPCs) != len(c.VPCs) || !slices.Equal(o.Services, c.Services) || !slices.Equal(o.Peerings, c.Peerings) ||
		!slices.Equal(o.Sites, c.Sites) || !slices.EqualFunc(o.Tunnels, c.Tunnels, sameTunnel) || !slices.EqualFunc(o.Machines, c.Machines, sameMachine) {
		return nil, false
	}
	for id, is := range absent {
		if was, known := m.absent[id]; !known || was != is {
			return nil, false
		}
	}
	for i := range c.VPCs {
		a, b := &o.VPCs[i], &c.VPCs[i]
		if !sameButGroups(a, b) {
			return nil, false
		}
		if !slices.EqualFunc(a.Groups, b.Groups, sameGroup) {
			groups = append(groups, i)
		}
	}
	return groups, true
}

// sameButGroups says whether two VPCs are the same but for their groups.
func sameButGroups(a, b *dataplane.VPC) bool {
	return a.ID == b.ID && a.Number == b.Number && slices.Equal(a.CIDRs, b.CIDRs) && a.DNS == b.DNS && slices.Equal(a.Subnets, b.Subnets) &&
		slices.EqualFunc(a.RouteTables, b.RouteTables, func(a, b dataplane.RouteTable) bool {
			return a.ID == b.ID && a.Number == b.Number && slices.Equal(a.Routes, b.Routes)
		}) &&
		slices.EqualFunc(a.ACLs, b.ACLs, func(a, b dataplane.ACL) bool {
			return a.ID == b.ID && slices.Equal(a.Ingress, b.Ingress) && slices.Equal(a.Egress, b.Egress)
		}) &&
		slices.EqualFunc(a.Gateways, b.Gateways, func(a, b dataplane.Gateway) bool { return a.ID == b.ID && slices.Equal(a.Prefixes, b.Prefixes) }) &&
		a.InternetGateway == b.InternetGateway && slices.Equal(a.Publics, b.Publics) && slices.EqualFunc(a.Interfaces, b.Interfaces, sameInterface)
}

// sameInterface says whether two interfaces are the same.
func sameInterface(a, b dataplane.Interface) bool {
	return a.ID == b.ID && a.Subnet == b.Subnet && a.Kind == b.Kind && a.MAC == b.MAC && slices.Equal(a.Addresses, b.Addresses) &&
		slices.Equal(a.Groups, b.Groups) && a.Unchecked == b.Unchecked && a.Machine == b.Machine && a.Device == b.Device && a.Owner == b.Owner
}

// sameGroup says whether two groups are the same.
func sameGroup(a, b dataplane.Group) bool {
	return a.ID == b.ID && slices.Equal(a.Ingress, b.Ingress) && slices.Equal(a.Egress, b.Egress) && slices.Equal(a.Members, b.Members)
}

// sameTunnel says whether two tunnels are the same.
func sameTunnel(a, b dataplane.Tunnel) bool {
	return a.ID == b.ID && a.Number == b.Number && a.Site == b.Site && a.VPC == b.VPC && slices.Equal(a.Prefixes, b.Prefixes)
}

// sameMachine says whether two machines are the same.
func sameMachine(a, b dataplane.Machine) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Site == b.Site && a.Address == b.Address && a.Boot == b.Boot && a.Stopped == b.Stopped && a.Gone == b.Gone &&
		slices.Equal(a.Init, b.Init) && slices.Equal(a.Env, b.Env) && slices.Equal(a.Mounts, b.Mounts) &&
		slices.Equal(a.Nameservers, b.Nameservers) && slices.Equal(a.Search, b.Search) && a.Memory == b.Memory && a.Pids == b.Pids
}

// each copies a list and gives every element to a function that copies what is in it.
func each[T any](list []T, deep func(*T)) []T {
	list = slices.Clone(list)
	for i := range list {
		deep(&list[i])
	}
	return list
}

// clone copies a Config.
func clone(c *dataplane.Config) *dataplane.Config {
	return &dataplane.Config{
		Services: slices.Clone(c.Services), Peerings: slices.Clone(c.Peerings), Sites: slices.Clone(c.Sites),
		Tunnels: each(c.Tunnels, func(t *dataplane.Tunnel) { t.Prefixes = slices.Clone(t.Prefixes) }),
		Machines: each(c.Machines, func(m *dataplane.Machine) {
			m.Init, m.Env, m.Mounts = slices.Clone(m.Init), slices.Clone(m.Env), slices.Clone(m.Mounts)
			m.Nameservers, m.Search = slices.Clone(m.Nameservers), slices.Clone(m.Search)
		}),
		VPCs: each(c.VPCs, func(v *dataplane.VPC) {
			v.CIDRs, v.Subnets, v.Publics = slices.Clone(v.CIDRs), slices.Clone(v.Subnets), slices.Clone(v.Publics)
			v.RouteTables = each(v.RouteTables, func(t *dataplane.RouteTable) { t.Routes = slices.Clone(t.Routes) })
			v.ACLs = each(v.ACLs, func(a *dataplane.ACL) { a.Ingress, a.Egress = slices.Clone(a.Ingress), slices.Clone(a.Egress) })
			v.Interfaces = each(v.Interfaces, func(n *dataplane.Interface) {
				n.Addresses, n.Groups = slices.Clone(n.Addresses), slices.Clone(n.Groups)
			})
			v.Gateways = each(v.Gateways, func(g *dataplane.Gateway) { g.Prefixes = slices.Clone(g.Prefixes) })
			v.Groups = cloneGroups(v.Groups)
		}),
	}
}

// cloneGroups copies groups.
func cloneGroups(list []dataplane.Group) []dataplane.Group {
	return each(list, func(g *dataplane.Group) {
		g.Ingress, g.Egress, g.Members = slices.Clone(g.Ingress), slices.Clone(g.Egress), slices.Clone(g.Members)
	})
}
