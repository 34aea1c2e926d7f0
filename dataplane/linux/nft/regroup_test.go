package nft

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/vennel/vennel/dataplane"
)

// TestRegroup changes groups at random: what Regroup says is what New says.
func TestRegroup(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	v := big()
	table := New(v, nil)
	quick := 0
	for range 300 {
		old := *v
		old.Groups = slices.Clone(v.Groups)
		for range 1 + r.IntN(3) {
			g := &v.Groups[r.IntN(len(v.Groups))]
			switch r.IntN(6) {
			case 0:
				g.Members = append(slices.Clone(g.Members), netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(50)), byte(r.IntN(30))}))
			case 1:
				g.Members = nil
			case 2:
				g.Ingress = slices.Delete(slices.Clone(g.Ingress), 0, min(1, len(g.Ingress)))
			case 3:
				g.Egress = append(slices.Clone(g.Egress), dataplane.Rule{Protocol: 17, From: r.IntN(3), To: 5, CIDR: pfx("10.9.0.0/16")})
			case 4:
				g.Ingress = append(slices.Clone(g.Ingress), dataplane.Rule{Protocol: 1, From: 8, To: -1, CIDR: pfx("10.9.0.0/16")})
			case 5:
				g.Ingress = append(slices.Clone(g.Ingress), dataplane.Rule{Protocol: 6, From: 9, To: 9, Group: v.Groups[r.IntN(len(v.Groups))].ID})
			}
		}
		want := New(v, nil)
		got, ok := table.Regroup(&old, v)
		if ok {
			quick++
			if got.Revision() != want.Revision() || got.Text() != want.Text() {
				t.Fatalf("it says something else:\n%s\nwant\n%s", got.Text(), want.Text())
			}
		} else if want.shape == table.shape {
			t.Error("it does not say, though only elements differ")
		}
		table = want
	}
	if quick < 100 {
		t.Errorf("it said something %d times of 300", quick)
	}
	other := *v
	other.Groups = v.Groups[1:]
	if _, ok := table.Regroup(v, &other); ok {
		t.Error("it says something without a group")
	}
}

// BenchmarkRegroup adds a rule to a group of a large VPC.
func BenchmarkRegroup(b *testing.B) {
	v := big()
	table := New(v, nil)
	next := *v
	next.Groups = slices.Clone(v.Groups)
	next.Groups[7].Ingress = append(slices.Clone(next.Groups[7].Ingress), dataplane.Rule{Protocol: 6, From: 9, To: 9, CIDR: pfx("10.9.0.0/16")})
	for b.Loop() {
		if _, ok := table.Regroup(v, &next); !ok {
			b.Fatal("it says nothing")
		}
	}
}
