package linux

import (
	"net/netip"
	"slices"
)

// equal says whether two states are the same, in the same order. None is like no other.
func (s *state) equal(o *state) bool {
	return s == o || s != nil && o != nil && slices.Equal(s.links, o.links) && slices.Equal(s.addresses, o.addresses) && slices.Equal(s.neighbours, o.neighbours) &&
		slices.Equal(s.rules, o.rules) && slices.Equal(s.routes, o.routes) && slices.Equal(s.settings, o.settings)
}

// key is what tells one route from another.
type key struct {
	table int
	to    netip.Prefix
	prio  int
}

// key is what tells the route from others.
func (r route) key() key { return key{r.Table, r.To, r.Prio} }

// missing gives the elements of a list that another lacks, in order.
func missing[T comparable](list, from []T) []T {
	if slices.Equal(list, from) {
		return nil
	}
	there := make(map[T]bool, len(from))
	for _, e := range from {
		there[e] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(e T) bool { return there[e] })
}

// common gives the elements of a list that another has, too, in order.
func common[T comparable](list, with []T) []T {
	if slices.Equal(list, with) {
		return list
	}
	there := make(map[T]bool, len(with))
	for _, e := range with {
		there[e] = true
	}
	return slices.DeleteFunc(slices.Clone(list), func(e T) bool { return !there[e] })
}

// has says whether a link is there.
func (s *seen) has(dev string) bool {
	return slices.ContainsFunc(s.links, func(l link) bool { return l.Name == dev })
}

// forget takes away a link and what goes with it.
func (s *seen) forget(dev string) {
	delete(s.up, dev)
	delete(s.peers, dev)
	s.links = slices.DeleteFunc(s.links, func(l link) bool { return l.Name == dev })
	s.addresses = slices.DeleteFunc(s.addresses, func(a address) bool { return a.Dev == dev })
	s.neighbours = slices.DeleteFunc(s.neighbours, func(n neighbour) bool { return n.Dev == dev })
	s.routes = slices.DeleteFunc(s.routes, func(r route) bool { return r.Dev == dev })
}
