package nft

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/vennel/vennel/dataplane"
)

// Regroup says what New does, of a VPC that differs in its groups only from the one that the table is of, in the time that the
// groups take that are not the same. It is false when that changes more than elements of their sets.
func (t *Table) Regroup(old, v *dataplane.VPC) (*Table, bool) {
	if len(old.Groups) != len(v.Groups) {
		return nil, false
	}
	same := *t
	same.sets = slices.Clone(t.sets)
	b := builder{Table: new(Table), vpc: v, byName: map[string]*set{}}
	for i := range v.Groups {
		was, g := &old.Groups[i], &v.Groups[i]
		if was.ID != g.ID {
			return nil, false
		}
		members := slices.Equal(was.Members, g.Members)
		if members && slices.Equal(was.Ingress, g.Ingress) && slices.Equal(was.Egress, g.Egress) {
			continue
		}
		if b.groups == nil {
			b.groups = index(v.Groups, func(g *dataplane.Group) string { return g.ID })
		}
		if b.groups[g.ID] != g { // another of its id is meant
			continue
		}
		b.group(g)
		if !b.replaces(was) {
			return nil, false
		}
		at := slices.IndexFunc(b.sets, func(s *set) bool { return s.name == "group_"+word(g.ID) })
		if members {
			b.sets = slices.Delete(b.sets, at, at+1)
			continue
		}
		for j := range v.Interfaces {
			n := &v.Interfaces[j]
			for _, a := range n.Addresses {
				if slices.Contains(n.Groups, g.ID) && t.addresses[a] == n.ID {
					b.sets[at].add("", address(a))
				}
			}
		}
	}
	for _, s := range b.sets {
		s.finish()
		at, ok := slices.BinarySearchFunc(same.sets, s.name, func(s *set, name string) int { return strings.Compare(s.name, name) })
		if !ok {
			return nil, false
		}
		same.sets[at] = s
	}
	same.rename()
	return &same, true
}

// replaces says whether the sets that a group has now, which the builder has just made, are those that it had.
func (b *builder) replaces(was *dataplane.Group) bool {
	before := builder{Table: new(Table), vpc: b.vpc, groups: b.groups, byName: map[string]*set{}}
	before.group(was)
	after := b.sets[max(0, len(b.sets)-len(before.sets)):]
	return slices.EqualFunc(before.sets, after, func(x, y *set) bool { return x.name == y.name })
}

// rename names the revision.
func (t *Table) rename() {
	sum := sha256.New()
	sum.Write(t.shape[:])
	for _, s := range t.sets {
		sum.Write(s.sum[:])
	}
	t.revision = hex.EncodeToString(sum.Sum(nil)[:16])
}
