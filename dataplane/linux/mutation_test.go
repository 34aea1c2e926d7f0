package linux_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vennel/vennel/dataplane"
)

// mutate changes the packet filter of vpc-a behind the Host's back: it removes the only rule of a chain with a text.
func (l *lab) mutate(chain, text string) {
	l.t.Helper()
	found := regexp.MustCompile(`(?m)^.*`+regexp.QuoteMeta(text)+`.* # handle (\d+)$`).FindAllStringSubmatch(l.run("vpc-a", "nft", "-a", "list", "chain", "ip", "vpc", chain), -1)
	if len(found) != 1 {
		l.t.Fatalf("%d rules of %s have the text %q", len(found), chain, text)
	}
	l.run("vpc-a", "nft", "delete", "rule", "ip", "vpc", chain, "handle", found[0][1])
}

// TestMutations removes one thing after another from the packet filter and from the routing, and wants the assertion about it to
// fail: one that cannot fail says nothing.
func TestMutations(t *testing.T) {
	t.Parallel()
	const labs = 3
	for i := range labs {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			mutations(t, func(n int) bool { return n%labs == i })
		})
	}
}

// mutations tries some of the mutations.
func mutations(t *testing.T, chosen func(n int) bool) {
	l := newLab(t, world())
	forward(l, "i-box")
	byName := map[string]check{}
	for _, c := range standing {
		byName[c.name] = c
	}
	nft := func(argv ...string) func(*lab) {
		return func(l *lab) { l.run("vpc-a", append([]string{"nft"}, argv...)...) }
	}
	ipr := func(argv ...string) func(*lab) {
		return func(l *lab) { l.run("vpc-a", append([]string{"ip"}, argv...)...) }
	}
	gone := func(chain, text string) func(*lab) { return func(l *lab) { l.mutate(chain, text) } }
	dev := nftDevice(vpc(l.config, "vpc-a"), "10.10.6.26")
	for i, m := range []struct {
		name   string
		mutate func(*lab)
		fails  []string
	}{
		{"no groups at the receiver", gone("forward", "oifname vmap @sg_in"), []string{"group: denies by default", "group: not itself"}},
		{"no groups at a receiver in the subnet", gone("forward_near", "oifname vmap @sg_in"), []string{"group: no member of the reference"}},
		{"no groups at the sender", gone("forward", "iifname vmap @sg_out"), []string{"group: egress, another port", "group: who may answer may not ask"}},
		{"no group of an interface", nft("delete", "element", "ip", "vpc", "sg_in", "{ "+dev+" }"), []string{"group: denies by default"}},
		{"a group that refuses nothing", gone("sg_in_sg-none", "goto refuse_sg_in"), []string{"group: denies by default", "endpoint with an empty group"}},
		{"no rule of a group", nft("flush", "set", "ip", "vpc", "port_in_sg-web"), []string{"group: a range", "group: union, by the other", "internet gateway, in"}},
		{"no member of a group", nft("flush", "set", "ip", "vpc", "group_sg-client"), []string{"group: a reference", "group: union, by one"}},
		{"no member of a peer's group", nft("flush", "set", "ip", "vpc", "group_sg-b"), []string{"group: a peer's"}},
		{"no route tables", nft("flush", "map", "ip", "vpc", "eni_rtb"), []string{"gateway endpoint", "NAT gateway", "internet gateway, out", "middlebox"}},
		{"no addresses of interfaces", nft("flush", "set", "ip", "vpc", "eni_src"), []string{"same subnet", "endpoint"}},
		{"no unchecked interface", nft("flush", "set", "ip", "vpc", "eni_nosdc"), []string{"middlebox", "NAT gateway"}},
		{"no way out of the filters for services", gone("input", "@lls goto lls"), []string{"DNS at base+2", "metadata"}},
		{"no listeners", nft("flush", "set", "ip", "vpc", "listener"), []string{"endpoint", "Resolver inbound endpoint, from a peer"}},
		{"no gateway endpoint", gone("input_new", "@gateway"), []string{"gateway endpoint", "gateway endpoint, without TLS"}},
		{"no groups of endpoints", gone("input_new", "ip daddr vmap @sg_in_ip"), []string{"endpoint with an empty group", "Resolver inbound endpoint, not by its group"}},
		{"no public address on the way out", nft("flush", "map", "ip", "vpc", "eip_snat"), []string{"internet gateway, out", "NAT gateway"}},
		{"no public address on the way in", nft("flush", "map", "ip", "vpc", "eip_dnat"), []string{"internet gateway, in"}},
		{"nothing from peers", nft("flush", "set", "ip", "vpc", "link_src"), []string{"peering", "peering, the other way", "site to VPC"}},
		{"no table of interfaces", ipr("rule", "del", "pref", "100"), []string{"same subnet", "other subnet"}},
		{"no replies from endpoints", func(l *lab) {
			l.run("vpc-a", "ip", "rule", "del", "pref", "2000", "from", "10.10.3.0/24")
		}, []string{"endpoint, from a peer", "endpoint, from a site", "Resolver inbound endpoint, TCP"}},
		{"no gateway endpoint's route", ipr("route", "del", "local", "198.51.100.0/24", "table", "10002"), []string{"gateway endpoint"}},
		{"no mark on accepted connections", func(l *lab) {
			l.run("vpc-a", "sysctl", "-qw", "net.ipv4.tcp_fwmark_accept=0")
		}, []string{"gateway endpoint", "endpoint"}},
		{"no NAT", func(l *lab) {
			l.run(eniID(vpc(l.config, "vpc-a"), "10.10.0.30"), "nft", "flush", "chain", "ip", "guard", "nat_post")
		}, []string{"NAT gateway", "NAT gateway, to a public address of the VPC"}},
		{"a NAT gateway that lets everything in", func(l *lab) {
			l.run(eniID(vpc(l.config, "vpc-a"), "10.10.0.30"), "nft", "flush ruleset")
		}, []string{"NAT gateway, unsolicited", "NAT gateway, by itself"}},
	} {
		if !chosen(i) {
			continue
		}
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			l := l.with(t)
			m.mutate(l)
			var checks []check
			for _, name := range m.fails {
				c, ok := byName[name]
				if !ok {
					t.Fatalf("there is no assertion %q", name)
				}
				checks = append(checks, c)
			}
			failed := l.hasty(checks...)
			for _, name := range m.fails {
				if !slices.ContainsFunc(failed, func(f string) bool { return strings.HasPrefix(f, name+":") }) {
					t.Errorf("without it, this holds still: %s", name)
				}
			}
			if n, err := l.host.Repair(t.Context()); n == 0 || err != nil {
				t.Errorf("%d things are repaired: %v", n, err)
			}
			if failed := l.failing(checks...); len(failed) > 0 {
				t.Errorf("after the repair: %v", failed)
			}
		})
	}
}

// TestMutationsOfMore is TestMutations for what takes more than a connection to see.
func TestMutationsOfMore(t *testing.T) {
	t.Parallel()
	l := newLab(t, world())
	seen := l.count("i-a2")
	spoofs := func(from, source string) func(*lab) bool {
		return func(l *lab) bool { // the honest packet comes after the other, on the same way
			before, honest := seen.of("spoofed "+source), seen.of("spoofed 10.10.2.10")
			l.raw(from, source, "10.10.1.11:7100")
			l.raw("i-iso", "10.10.2.10", "10.10.1.11:7100")
			l.eventually("an honest packet", func() bool { return seen.of("spoofed 10.10.2.10") > honest })
			return seen.of("spoofed "+source) == before
		}
	}
	at(vpc(l.config, "vpc-b"), "10.20.1.10").Unchecked = true
	l.set()
	for _, m := range []struct {
		name   string
		mutate func(*lab)
		holds  func(*lab) bool
	}{
		{"no source check", func(l *lab) { l.mutate("raw_eni", "@eni_src drop") }, spoofs("i-a1", "10.10.1.99")},
		{"no source check of a peer", func(l *lab) {
			l.run("vpc-a", "nft", "insert", "rule", "ip", "vpc", "raw_pre", "iifname", "p1", "accept")
		}, spoofs("i-b1", "10.10.2.99")},
		{"no rate", func(l *lab) { l.mutate("lls", "@lls_rate") }, holdsBack},
		{"no public address needed", func(l *lab) {
			l.mutate("forward", `oifname "igw0" ip saddr != @eip_priv drop`)
		}, func(l *lab) bool { return l.leaks("i-bare", ssm) == 0 }},
	} {
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			l := l.with(t)
			if !m.holds(l) {
				t.Error("it does not hold")
			}
			m.mutate(l)
			if m.holds(l) {
				t.Error("without it, it holds still")
			}
			if n, err := l.host.Repair(t.Context()); n == 0 || err != nil {
				t.Errorf("%d things are repaired: %v", n, err)
			}
			if !m.holds(l) {
				t.Error("after the repair it does not hold")
			}
		})
	}
}

// TestMutationOfACLs is TestMutations for a connection that an ACL cuts.
func TestMutationOfACLs(t *testing.T) {
	t.Parallel()
	l := newLab(t, world())
	s := &vpc(l.config, "vpc-a").Subnets[5]
	on := l.call("i-x1", "10.10.1.10:7000")
	s.ACL = "acl-none"
	l.set()
	if on.says(silence) == nil {
		t.Error("it does not hold")
	}
	for _, text := range []string{"iifname vmap @acl_out", "oifname vmap @acl_in"} {
		l.mutate("forward_known", text)
	}
	if err := on.says(patience); err != nil {
		t.Errorf("without it, it holds still: %v", err)
	}
	vpc(l.config, "vpc-b").DNS = false // a Set about something else does not hide what somebody has done
	vpc(l.config, "vpc-a").Groups[1].Ingress = []dataplane.Rule{tcp(9, "10.0.0.0/8")}
	l.set()
	if on.says(silence) == nil {
		t.Error("after another Set it does not hold")
	}
	if n, err := l.host.Repair(t.Context()); n != 0 || err != nil {
		t.Errorf("%d things are repaired: %v", n, err)
	}
}
