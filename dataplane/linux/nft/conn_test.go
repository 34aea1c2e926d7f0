package nft

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux/netns/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// open gives a line to the nftables of a network namespace.
func open(t testing.TB, ns *os.File) *Conn {
	t.Helper()
	c, err := Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// listed is what nft says of the table: sets with their elements in order, and chains with their rules.
func listed(t testing.TB, ns *os.File) map[string][]string {
	t.Helper()
	var all struct {
		Nftables []map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(netnstest.Run(t, ns, "nft", "-j", "list", "table", "ip", "vpc")), &all); err != nil {
		t.Fatal(err)
	}
	m := map[string][]string{}
	for _, object := range all.Nftables {
		for what, o := range object {
			delete(o, "handle")
			say := func(v any) string {
				b, err := json.Marshal(v)
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			}
			switch what {
			case "rule":
				key := fmt.Sprint("chain ", o["chain"])
				m[key] = append(m[key], say(o["expr"]))
			case "set", "map":
				key := fmt.Sprint(what, " ", o["name"])
				elements, _ := o["elem"].([]any)
				delete(o, "elem")
				list := []string{}
				for _, e := range elements {
					list = append(list, say(e))
				}
				slices.Sort(list)
				m[key] = append([]string{say(o)}, list...)
			case "chain":
				key := fmt.Sprint("chain ", o["name"])
				m[key] = append(m[key], say(o))
			}
		}
	}
	return m
}

// random is a VPC of which much is left to chance, and rules that overlap in all ways.
func random(r *rand.Rand) (*dataplane.VPC, []Link) {
	v, links := everything()
	pick := func(list ...int) int { return list[r.IntN(len(list))] }
	addr := func() netip.Addr {
		return netip.AddrFrom4([4]byte{10, byte(pick(0, 1)), byte(pick(0, 1, 255)), byte(pick(0, 1, 128, 255))})
	}
	cidr := func() netip.Prefix { return netip.PrefixFrom(addr(), pick(0, 1, 8, 9, 15, 16, 17, 24, 25, 31, 32)) }
	rule := func() dataplane.Rule {
		x := dataplane.Rule{Protocol: pick(-1, 0, 1, 1, 6, 6, 6, 17, 50, 255), From: r.IntN(10), CIDR: cidr()}
		x.To = x.From + r.IntN(10)
		if r.IntN(4) == 0 {
			x.CIDR, x.Group = netip.Prefix{}, pickID(r, "sg-1", "sg-2", "sg-3")
		}
		if x.Protocol == 1 {
			x.From, x.To = pick(-1, 0, 3, 8), pick(-1, 0, 1)
		}
		return x
	}
	for i := range v.Groups {
		for range r.IntN(12) {
			v.Groups[i].Ingress = append(v.Groups[i].Ingress, rule())
		}
		for range r.IntN(6) {
			v.Groups[i].Egress = append(v.Groups[i].Egress, rule())
		}
		for range r.IntN(3) {
			v.Groups[i].Members = append(v.Groups[i].Members, addr())
		}
	}
	for i := range v.Interfaces {
		n := &v.Interfaces[i]
		if r.IntN(2) == 0 {
			n.Groups = []string{pickID(r, "sg-1", "sg-2", "sg-3", "sg-dns")}
		}
		n.Unchecked = r.IntN(4) == 0
		n.Subnet = pickID(r, "subnet-1", "subnet-2", "subnet-3")
	}
	r.Shuffle(len(v.Interfaces), func(i, j int) { v.Interfaces[i], v.Interfaces[j] = v.Interfaces[j], v.Interfaces[i] })
	v.Interfaces = v.Interfaces[:r.IntN(len(v.Interfaces)+1)]
	return v, links
}

// pickID picks an id.
func pickID(r *rand.Rand, ids ...string) string { return ids[r.IntN(len(ids))] }

// vary changes what changes often: rules, members, interfaces and addresses.
func vary(r *rand.Rand, v *dataplane.VPC) *dataplane.VPC {
	w, _ := random(r)
	out := *v
	out.Groups = slices.Clone(v.Groups)
	for i := range out.Groups {
		if r.IntN(2) == 0 { // references stay: those that come or go are chains
			kept := slices.DeleteFunc(slices.Clone(out.Groups[i].Ingress), func(x dataplane.Rule) bool { return x.Group == "" && x.Protocol != 1 })
			fresh := slices.DeleteFunc(w.Groups[i].Ingress, func(x dataplane.Rule) bool { return x.Group != "" || x.Protocol == 1 })
			out.Groups[i].Ingress, out.Groups[i].Members = append(kept, fresh...), w.Groups[i].Members
		}
	}
	out.Interfaces = slices.Clone(v.Interfaces)
	for i := range out.Interfaces {
		if n := &out.Interfaces[i]; len(n.Groups) == 1 && r.IntN(2) == 0 {
			n.Groups = []string{pickID(r, "sg-1", "sg-2", "sg-3", "sg-dns", "sg-none")}
			n.Unchecked = !n.Unchecked
		}
	}
	out.Publics = w.Publics[:r.IntN(len(w.Publics)+1)]
	return &out
}

// TestApply goes from table to table, by elements where that is possible, and finds what a whole reload makes.
func TestApply(t *testing.T) {
	ns, fresh := netnstest.New(t), netnstest.New(t)
	c, d := open(t, ns), open(t, fresh)
	r := rand.New(rand.NewPCG(1, 2))
	var old *Table
	var last *dataplane.VPC
	small := 0
	for i := range 60 {
		v, links := random(r)
		if i%3 > 0 {
			v = vary(r, last)
		}
		last = v
		table := New(v, links)
		if old != nil && old.shape == table.shape && old.revision != table.revision {
			changes, few := difference(old, table)
			if !few {
				t.Fatal("a small change is not small")
			}
			if err := c.change(changes, old, table); err != nil {
				t.Fatalf("step %d: %v\n%s", i, err, table.Text())
			}
			small++
		} else if _, err := c.Apply(t.Context(), old, table); err != nil {
			t.Fatalf("step %d: %v\n%s", i, err, table.Text())
		}
		if _, err := d.Apply(t.Context(), nil, table); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(listed(t, fresh), listed(t, ns)); diff != "" {
			t.Fatalf("step %d: %s", i, diff)
		}
		if have, ok, err := c.Read(t.Context()); err != nil || !ok || have != table.Revision() {
			t.Fatalf("the revision is %s, not %s: %v", have, table.Revision(), err)
		}
		old = table
	}
	if small < 20 {
		t.Errorf("only %d changes were small", small)
	}
}

// TestApplyAfterDrift finds that the table is not what it was thought to be, and replaces it.
func TestApplyAfterDrift(t *testing.T) {
	ns := netnstest.New(t)
	c := open(t, ns)
	if have, ok, err := c.Read(t.Context()); err != nil || ok {
		t.Fatalf("an empty namespace has revision %q: %v", have, err)
	}
	v, links := everything()
	one := New(v, links)
	v.Groups[0].Ingress = append(v.Groups[0].Ingress, everyone(6, 22, 22))
	two := New(v, links)
	want := func(table *Table) {
		t.Helper()
		if have, ok, err := c.Read(t.Context()); err != nil || !ok || have != table.Revision() {
			t.Errorf("the revision is %q, not %s: %v", have, table.Revision(), err)
		}
	}
	drifts := map[string][]string{
		"no table":         {"delete", "table", "ip", "vpc"},
		"no set":           {"flush", "ruleset"},
		"another marker":   {"delete", "chain", "ip", "vpc", marker(one.Revision())},
		"a foreign rule":   {"add", "element", "ip", "vpc", "port_in_sg-1", "{ 0.0.0.0/0 . tcp . 22 }"},
		"an overlapping":   {"add", "element", "ip", "vpc", "port_in_sg-1", "{ 10.0.0.0/8 . tcp . 20-30, 0.0.0.0/0 . tcp . 10-25 }"},
		"nothing happened": {"list", "ruleset"},
	}
	for name, drift := range drifts {
		t.Run(name, func(t *testing.T) {
			if _, err := c.Apply(t.Context(), nil, one); err != nil {
				t.Fatal(err)
			}
			want(one)
			before, err := c.Generation()
			if err != nil {
				t.Fatal(err)
			}
			netnstest.Run(t, ns, append([]string{"nft"}, drift...)...)
			after, err := c.Generation()
			if err != nil {
				t.Fatal(err)
			}
			if (before == after) != (name == "nothing happened") {
				t.Errorf("the generation was %d and is %d", before, after)
			}
			if _, err := c.Apply(t.Context(), one, two); err != nil {
				t.Fatal(err)
			}
			want(two)
			fresh := netnstest.New(t)
			if _, err := open(t, fresh).Apply(t.Context(), nil, two); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(listed(t, fresh), listed(t, ns)); diff != "" {
				t.Error(diff)
			}
		})
	}
	// What nft refuses changes nothing, and says why.
	bad := New(v, links)
	bad.chains = append(bad.chains, chain{"x", []string{"nonsense"}})
	bad.revision = "0"
	_, err := c.Apply(t.Context(), nil, bad)
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a bad table: %v", err)
	}
	want(two)
}

// TestLoadInParts makes a large table in one transaction, or what an unprivileged user can instead, and in parts.
func TestLoadInParts(t *testing.T) {
	ns, other := netnstest.New(t), netnstest.New(t)
	c, d := open(t, ns), open(t, other)
	v := big()
	for i := range 2000 {
		v.Groups[0].Members = append(v.Groups[0].Members, netip.AddrFrom4([4]byte{10, 9, byte(i / 256), byte(i)}))
	}
	table := New(v, nil)
	if _, err := c.Apply(t.Context(), nil, table); err != nil {
		t.Fatal(err)
	}
	parts := table.parts(partBytes)
	if len(parts) < 10 {
		t.Errorf("%d parts", len(parts))
	}
	for i, part := range parts {
		if _, ok, err := d.Read(t.Context()); err != nil || ok {
			t.Fatalf("there is a marker before part %d: %v", i, err)
		}
		if err := d.run(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(listed(t, ns), listed(t, other)); diff != "" {
		t.Error(diff)
	}
	if have, ok, err := d.Read(t.Context()); err != nil || !ok || have != table.Revision() {
		t.Errorf("the revision is %q, not %s: %v", have, table.Revision(), err)
	}
}

// TestTidy compares random boxes with what is made of them, address by address, and looks for corners in each other.
func TestTidy(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	at := func(list []box, a netip.Addr, key, n int) bool {
		return slices.ContainsFunc(list, func(b box) bool {
			return b.prefix.Contains(a) && b.key == key && b.span.lo <= n && n <= b.span.hi
		})
	}
	for range 2000 {
		var in []box
		for range 1 + r.IntN(8) {
			lo := r.IntN(8)
			a := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(16))})
			in = append(in, box{netip.PrefixFrom(a, 28+r.IntN(5)).Masked(), r.IntN(2), span{lo, lo + r.IntN(8-lo)}})
		}
		out := tidy(in)
		for a := range 16 {
			for key := range 2 {
				for n := range 8 {
					addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(a)})
					if at(in, addr, key, n) != at(out, addr, key, n) {
						t.Fatalf("%v is not %v at %v, %d, %d", out, in, addr, key, n)
					}
				}
			}
		}
		for i, x := range out {
			others := slices.Delete(slices.Clone(out), i, i+1)
			if at(others, x.prefix.Addr(), x.key, x.span.lo) || at(others, last(x.prefix), x.key, x.span.hi) {
				t.Fatalf("a corner of %v is in another of %v", x, out)
			}
		}
	}
}

// big is a VPC with 50 subnets, 500 instances, 50 groups and 1,000 rules, a fifth of them references.
func big() *dataplane.VPC {
	v := &dataplane.VPC{ID: "vpc-0123456789abcdef0", CIDRs: []netip.Prefix{pfx("10.0.0.0/16")}, DNS: true}
	v.ACLs = []dataplane.ACL{{ID: "acl-1",
		Ingress: []dataplane.Entry{{Number: 100, Protocol: dataplane.AllProtocols, CIDR: pfx("0.0.0.0/0"), Allow: true}},
		Egress:  []dataplane.Entry{{Number: 100, Protocol: dataplane.AllProtocols, CIDR: pfx("0.0.0.0/0"), Allow: true}}}}
	id := func(kind string, n int) string { return fmt.Sprintf("%s-%017x", kind, n) }
	for i := range 50 {
		v.Subnets = append(v.Subnets, dataplane.Subnet{ID: id("subnet", i), CIDR: pfx(fmt.Sprintf("10.0.%d.0/24", i)), RouteTable: id("rtb", i), ACL: "acl-1"})
		v.RouteTables = append(v.RouteTables, dataplane.RouteTable{ID: id("rtb", i), Number: i + 1})
		g := dataplane.Group{ID: id("sg", i), Egress: []dataplane.Rule{everyone(dataplane.AllProtocols, -1, -1)}}
		for j := range 19 {
			rule := dataplane.Rule{Protocol: 6, From: 1000 + j, To: 1000 + j, CIDR: pfx(fmt.Sprintf("10.%d.%d.0/24", i, j))}
			if j%5 == 0 {
				rule.CIDR, rule.Group = netip.Prefix{}, id("sg", (i+j)%50)
			}
			g.Ingress = append(g.Ingress, rule)
		}
		v.Groups = append(v.Groups, g)
		for j := range 10 {
			n := dataplane.Interface{ID: id("eni", i*10+j), Subnet: id("subnet", i), Kind: dataplane.Guest,
				Addresses: []netip.Addr{ip(fmt.Sprintf("10.0.%d.%d", i, 10+j))}, Groups: []string{id("sg", i)}}
			if j%2 == 0 {
				n.Groups = append(n.Groups, id("sg", (i+1)%50))
			}
			v.Interfaces = append(v.Interfaces, n)
		}
	}
	return v
}

// BenchmarkApply makes changes in a VPC of 500 instances and 1,000 rules.
func BenchmarkApply(b *testing.B) {
	v := big()
	with := func(f func(*dataplane.VPC)) *Table {
		w := *v
		w.Groups, w.Interfaces = slices.Clone(v.Groups), slices.Clone(v.Interfaces)
		f(&w)
		return New(&w, nil)
	}
	base := New(v, nil)
	changes := []struct {
		name string
		to   *Table
	}{
		{"member", with(func(v *dataplane.VPC) { v.Groups[7].Members = []netip.Addr{ip("10.9.0.1")} })},
		{"rule", with(func(v *dataplane.VPC) {
			v.Groups[7].Ingress = append(slices.Clone(v.Groups[7].Ingress), dataplane.Rule{Protocol: 6, From: 443, To: 443, CIDR: pfx("10.0.0.0/8")})
		})},
		{"interface", with(func(v *dataplane.VPC) { v.Interfaces = v.Interfaces[:len(v.Interfaces)-1] })},
	}
	for _, change := range changes {
		b.Run(change.name, func(b *testing.B) {
			c := open(b, netnstest.New(b))
			if _, err := c.Apply(b.Context(), nil, base); err != nil {
				b.Fatal(err)
			}
			from, to := base, change.to
			for b.Loop() {
				list, few := difference(from, to)
				if !few {
					b.Fatal("it is not a small change")
				}
				if err := c.change(list, from, to); err != nil {
					b.Fatal(err)
				}
				from, to = to, from
			}
		})
	}
	b.Run("all", func(b *testing.B) {
		c := open(b, netnstest.New(b))
		for b.Loop() {
			if _, err := c.Apply(b.Context(), nil, base); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("read", func(b *testing.B) {
		c := open(b, netnstest.New(b))
		if _, err := c.Apply(b.Context(), nil, base); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, ok, err := c.Read(b.Context()); err != nil || !ok {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkNew says what the rules of a VPC of 500 instances and 1,000 rules are.
func BenchmarkNew(b *testing.B) {
	v := big()
	for b.Loop() {
		New(v, nil)
	}
}
