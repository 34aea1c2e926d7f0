package linux_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux/netns"
	"github.com/vennel/vennel/dataplane/linux/netns/netnstest"
)

// front is what the services say to whoever comes to them.
func front(vpc, local, from, mark string) string {
	return "front " + vpc + " " + local + " from " + from + " mark " + mark
}

// standing are the expectations of a world that nobody has changed.
var standing = []check{
	{"same subnet", "i-a1", "10.10.1.11:7000", "10.10.1.10"},
	{"other subnet", "i-a1", "10.10.2.10:7000", "10.10.1.10"},
	{"other subnet, UDP", "i-a1", "udp 10.10.2.10:7000", "10.10.1.10"},
	{"an address that nobody has, in the subnet", "i-a1", "10.10.1.77:7000", timeout},
	{"an address that nobody has, elsewhere", "i-a1", "10.10.2.77:7000", timeout},
	{"an address that no subnet has", "i-a1", "10.10.200.1:7000", timeout},

	{"group: denies by default", "i-a1", "10.10.6.26:7000", timeout},
	{"group: a range", "i-a1", "10.10.6.23:80", "10.10.1.10"},
	{"group: another port", "i-a1", "10.10.6.23:443", timeout},
	{"group: itself", "i-self2", "10.10.6.21:7000", "10.10.6.22"},
	{"group: not itself", "i-a1", "10.10.6.21:7000", timeout},
	{"group: a reference", "i-client", "10.10.6.20:7000", "10.10.6.10"},
	{"group: a reference, another port", "i-client", "10.10.6.20:7001", timeout},
	{"group: no member of the reference", "i-other", "10.10.6.20:7000", timeout},
	{"group: union, by one", "i-client", "10.10.6.23:7000", "10.10.6.10"},
	{"group: union, by the other", "i-other", "10.10.6.23:80", "10.10.6.11"},
	{"group: egress", "i-narrow", "10.10.1.11:7000", "10.10.6.24"},
	{"group: egress, another port", "i-narrow", "10.10.1.11:7001", timeout},
	{"group: egress, another address", "i-narrow", "10.10.1.10:7000", timeout},
	{"group: who may answer may not ask", "i-ref", "10.10.1.10:7000", timeout},
	{"group: a peer's", "i-b1", "10.10.6.25:7000", "10.20.1.10"},
	{"group: a peer's, no member", "i-b2", "10.10.6.25:7000", timeout},
	{"group: a reference by private address", "i-pubclient", "10.10.0.12:7000", "10.10.0.13"},
	{"group: a reference by public address", "i-pubclient", "203.0.113.12:7000", timeout},

	{"closed to all but DNS", "i-closed", "10.10.1.10:7000", timeout},
	{"DNS at base+2", "i-closed", "udp 10.10.0.2:53", "10.10.7.10"},
	{"DNS at base+2, TCP", "i-closed", "10.10.0.2:53", "dns vpc-a 10.10.0.2 from 10.10.7.10 mark 3"},
	{"DNS at 169.254.169.253", "i-closed", "udp 169.254.169.253:53", "10.10.7.10"},
	{"metadata", "i-closed", "169.254.169.254:80", "metadata vpc-a 169.254.169.254 from 10.10.7.10 mark 3"},
	{"metadata, another port", "i-a1", "169.254.169.254:443", timeout},
	{"no DNS in a VPC without it", "i-c1", "udp 10.30.0.2:53", timeout},
	{"no DNS in a VPC without it, link-local", "i-c1", "udp 169.254.169.253:53", timeout},
	{"metadata of another VPC", "i-c1", "169.254.169.254:80", "metadata vpc-c 169.254.169.254 from 10.30.0.10 mark 1"},
	{"DNS of a peer", "i-b1", "udp 10.10.0.2:53", timeout},
	{"a router is nobody", "i-a1", "10.10.1.1:443", timeout},

	{"endpoint", "i-a1", "10.10.3.20:443", front("vpc-a", "10.10.3.20", "10.10.1.10", "2")},
	{"endpoint, from an isolated subnet", "i-iso", "10.10.3.20:443", front("vpc-a", "10.10.3.20", "10.10.2.10", "3")},
	{"endpoint, a port that its group lacks", "i-a1", "10.10.3.20:80", timeout},
	{"endpoint, a port that it lacks", "i-a1", "10.10.3.20:7000", timeout},
	{"endpoint with an empty group", "i-a1", "10.10.3.21:443", timeout},
	{"endpoint, from a peer", "i-b1", "10.10.3.20:443", front("vpc-a", "10.10.3.20", "10.20.1.10", "0")},
	{"endpoint, from a peer's peer", "i-c1", "10.10.3.20:443", timeout},
	{"endpoint, from a site", "mi-1", "10.10.3.20:443", front("vpc-a", "10.10.3.20", "192.168.0.10", "0")},
	{"endpoint, from a subnet that an ACL closes", "i-closed", "10.10.3.20:443", timeout},
	{"endpoint of the same address in another VPC", "i-d1", "10.10.3.20:443", front("vpc-d", "10.10.3.20", "10.10.1.10", "9")},

	{"gateway endpoint", "i-a1", s3 + ":443", front("vpc-a", s3, "10.10.1.10", "2")},
	{"gateway endpoint, without TLS", "i-a1", s3 + ":80", front("vpc-a", s3, "10.10.1.10", "2")},
	{"gateway endpoint, another address", "i-a1", "198.51.100.200:443", front("vpc-a", "198.51.100.200", "10.10.1.10", "2")},
	{"gateway endpoint, another port", "i-a1", s3 + ":7000", timeout},
	{"gateway endpoint, from a subnet without a route", "i-iso", s3 + ":443", timeout},
	{"gateway endpoint, from a public subnet", "i-web", s3 + ":443", front("internet", s3, webPublic, "0")},
	{"gateway endpoint, from a peer", "i-b1", s3 + ":443", timeout},
	{"gateway endpoint, by a group with its prefixes", "i-narrow", s3 + ":443", front("vpc-a", s3, "10.10.6.24", "2")},
	{"a group with the prefixes of a gateway endpoint", "i-narrow", ssm + ":443", timeout},

	{"internet gateway, out", "i-web", ssm + ":443", front("internet", ssm, webPublic, "0")},
	{"internet gateway, in", "mi-1", webPublic + ":80", outside},
	{"internet gateway, in, a port that the group lacks", "mi-1", webPublic + ":7000", timeout},
	{"internet gateway, without a public address", "i-bare", ssm + ":443", timeout},
	{"NAT gateway", "i-a1", ssm + ":443", front("internet", ssm, natPublic, "0")},
	{"NAT gateway, unsolicited", "mi-1", natPublic + ":443", timeout},
	{"NAT gateway, to a public address of the VPC", "i-a1", webPublic + ":80", natPublic},
	{"NAT gateway, by itself", "i-a1", "10.10.0.30:443", timeout},
	{"no way to the internet", "i-iso", ssm + ":443", timeout},
	{"a route to what is gone", "i-c1", ssm + ":443", timeout},

	{"peering", "i-a1", "10.20.1.10:7000", "10.10.1.10"},
	{"peering, the other way", "i-b1", "10.10.1.10:7000", "10.20.1.10"},
	{"peering, without a route", "i-iso", "10.20.1.10:7000", timeout},
	{"peering, without a route back", "i-b1", "10.10.2.10:7000", timeout},
	{"peering is not transitive", "i-a1", "10.30.0.10:7000", timeout},
	{"peering is not transitive, the other way", "i-c1", "10.10.1.10:7000", timeout},
	{"peering of b and c", "i-c1", "10.20.1.10:7000", "10.30.0.10"},
	{"a peer's internet gateway", "i-b1", ssm + ":443", timeout},

	{"Resolver inbound endpoint, from a peer", "i-b1", "udp 10.10.3.53:53", "10.20.1.10"},
	{"Resolver inbound endpoint, TCP", "i-b1", "10.10.3.53:53", "resolver vpc-a 10.10.3.53 from 10.20.1.10 mark 0"},
	{"Resolver inbound endpoint, from a site", "mi-1", "udp 10.10.3.53:53", "192.168.0.10"},
	{"Resolver inbound endpoint, not by its group", "i-a1", "udp 10.10.3.53:53", timeout},

	{"site", "mi-1", "192.168.0.11:7000", "192.168.0.10"},
	{"site to VPC", "mi-1", "10.10.1.10:7000", "192.168.0.10"},
	{"VPC to site", "i-a1", "192.168.0.10:7000", "10.10.1.10"},
	{"site to a VPC's peer", "mi-1", "10.20.1.10:7000", timeout},
	{"site to the internet", "mi-1", ssm + ":443", front("internet", ssm, outside, "0")},
	{"site to a subnet without a route back", "mi-1", "10.10.2.10:7000", timeout},

	{"middlebox", "i-mid", "10.20.1.10:7000", "10.10.4.10"},
}

// TestConformance holds a world to what is known of AWS, as it stands and while it is changed.
func TestConformance(t *testing.T) {
	t.Parallel()
	type part struct {
		name string
		test func(*lab)
	}
	for _, parts := range [][]part{
		{{"Standing", func(l *lab) { l.expect(standing...) }}, {"Member", member}, {"Rule", rule}, {"Reload", reload}, {"ACL", acls}, {"ACLInside", aclInside},
			{"ACLEndpoint", aclEndpoint}, {"Gateways", gateways}, {"Hops", hops}},
		{{"Rate", rate}, {"Ping", pings}, {"Spoof", spoof}, {"Check", sourceCheck}, {"OwnFirewall", ownFirewall}, {"MTU", mtu}, {"Fragments", fragments}, {"Dial", dials}, {"Flows", flows}},
		{{"PeeringGone", peeringGone}, {"Move", move}, {"Addresses", addresses}, {"Stop", stop}, {"DNSSupport", dnsSupport}, {"Inside", inside},
			{"Two", twoInterfaces}, {"Failures", failures}},
	} {
		t.Run(parts[0].name+"To"+parts[len(parts)-1].name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, world())
			forward(l, "i-box")
			for _, p := range parts {
				t.Run(p.name, func(t *testing.T) { p.test(l.with(t)) })
			}
			l.expect(standing...) // what was changed has been changed back
			if n, err := l.host.Repair(t.Context()); n != 0 || err != nil {
				t.Errorf("after all that, the kernel differs in %d things: %v", n, err)
			}
		})
	}
}

// member takes a member out of a group that another's rule names.
func member(l *lab) {
	a := vpc(l.config, "vpc-a")
	n := at(a, "10.10.6.10")
	was := n.Groups
	on := l.call("i-client", "10.10.6.20:7000")
	n.Groups = []string{"sg-web"}
	l.set()
	l.alive("a connection from before the removal", on)
	l.expect(check{"a member that was removed", "i-client", "10.10.6.20:7000", timeout})
	n.Groups = was
	l.set()
	l.expect(check{"a member again", "i-client", "10.10.6.20:7000", "10.10.6.10"})
}

// rule takes a rule out of a group, and puts another in.
func rule(l *lab) {
	g := group(vpc(l.config, "vpc-a"), "sg-web")
	was := g.Ingress
	on := l.call("i-a1", "10.10.6.23:80")
	g.Ingress = []dataplane.Rule{tcp(443, "10.10.1.10/32")}
	l.set()
	l.alive("a connection from before the removal", on)
	l.expect(
		check{"a rule that was removed", "i-a1", "10.10.6.23:80", timeout},
		check{"a rule that was added", "i-a1", "10.10.6.23:443", "10.10.1.10"},
		check{"a rule that was added, from elsewhere", "i-a2", "10.10.6.23:443", timeout})
	g.Ingress = was
	l.set()
	l.expect(check{"a rule again", "i-a1", "10.10.6.23:80", "10.10.1.10"})
}

// reload changes the shape of the packet filter while connections of all kinds are open.
func reload(l *lab) {
	a := vpc(l.config, "vpc-a")
	lines := map[string]*line{
		"within a subnet": l.call("i-a1", "10.10.1.11:7000"), "between subnets": l.call("i-a1", "10.10.2.10:7000"),
		"to an endpoint": l.call("i-a1", "10.10.3.20:443"), "to a gateway endpoint": l.call("i-a1", s3+":443"),
		"over peering": l.call("i-b1", "10.10.1.10:7000"), "through a public address": l.call("i-web", ssm+":443"),
		"through the NAT gateway": l.call("i-a1", ssm+":443"), "over a tunnel": l.call("mi-1", "10.10.1.10:7000"),
		"through a middlebox": l.call("i-mid", "10.20.1.10:7000"),
	}
	a.Groups = append(a.Groups, dataplane.Group{ID: "sg-new", Ingress: []dataplane.Rule{tcp(7001, "sg-self")}})
	n := at(a, "10.10.6.26")
	n.Groups = append(n.Groups, "sg-new")
	l.set()
	l.expect(check{"a new combination of groups", "i-self1", "10.10.6.26:7001", "10.10.6.21"})
	for what, on := range lines {
		l.alive(what, on)
	}
	n.Groups = n.Groups[:1]
	a.Groups = a.Groups[:len(a.Groups)-1]
	l.set()
	for what, on := range lines {
		l.alive(what+", the second time", on)
	}
}

// acls cuts and mends connections by the ACL of a subnet.
func acls(l *lab) {
	x := acl(vpc(l.config, "vpc-a"), "acl-x")
	was := *x
	on, endpoint := l.call("i-x1", "10.10.1.10:7000"), l.call("i-x1", "10.10.3.20:443")
	x.Ingress = []dataplane.Entry{deny(50, "10.10.1.0/24"), deny(60, "10.10.3.0/24"), allow(100, "0.0.0.0/0")}
	l.set()
	for what, n := range map[string]*line{"to an instance": on, "to an endpoint": endpoint} {
		if n.says(silence) == nil {
			l.t.Errorf("a connection %s goes on across an ACL that denies it", what)
		}
	}
	l.expect(
		check{"an ACL denies replies", "i-x1", "10.10.1.10:7000", timeout},
		check{"an ACL denies what comes in", "i-a1", "10.10.5.10:7000", timeout},
		check{"an ACL is about what it names", "i-iso", "10.10.5.10:7000", "10.10.2.10"},
		check{"an ACL does not filter DNS", "i-x1", "udp 10.10.0.2:53", "10.10.5.10"})
	*x = was
	l.set()
	l.alive("the same connection, when the ACL allows it again", on)
	l.alive("the same connection to an endpoint, when the ACL allows it again", endpoint)

	x.Ingress, x.Egress = []dataplane.Entry{allow(100, "0.0.0.0/0")}, []dataplane.Entry{
		{Number: 90, Protocol: 6, From: 7000, To: 7000, CIDR: anywhere, Allow: true}}
	l.set()
	l.expect(
		check{"an ACL that allows asking", "i-x1", "10.10.1.10:7000", "10.10.5.10"},
		check{"an ACL that does not allow answering", "i-a1", "10.10.5.10:7000", timeout})
	*x = was
	l.set()
}

// aclInside denies everything at a subnet's border.
func aclInside(l *lab) {
	x := acl(vpc(l.config, "vpc-a"), "acl-x")
	was := *x
	x.Ingress, x.Egress = nil, nil
	l.set()
	l.expect(
		check{"an ACL within a subnet", "i-x1", "10.10.5.11:7000", "10.10.5.10"},
		check{"an ACL at the border", "i-x1", "10.10.6.21:7000", timeout})
	*x = was
	l.set()
}

// aclEndpoint closes the subnet of the endpoints.
func aclEndpoint(l *lab) {
	s := &vpc(l.config, "vpc-a").Subnets[3]
	s.ACL = "acl-none"
	l.set()
	l.expect(
		check{"an endpoint behind an ACL", "i-a1", "10.10.3.20:443", timeout},
		check{"an endpoint behind an ACL, from a peer", "i-b1", "10.10.3.20:443", timeout},
		check{"a Resolver endpoint behind an ACL", "i-b1", "udp 10.10.3.53:53", timeout})
	s.ACL = "acl-x"
	x := acl(vpc(l.config, "vpc-a"), "acl-x")
	was := *x
	x.Egress = []dataplane.Entry{deny(1, "10.10.1.10/32"), allow(100, "0.0.0.0/0")}
	l.set()
	l.expect(
		check{"an endpoint whose replies an ACL denies", "i-a1", "10.10.3.20:443", timeout},
		check{"an endpoint whose replies to others it does not", "i-a2", "10.10.3.20:443", front("vpc-a", "10.10.3.20", "10.10.1.11", "2")})
	*x = was
	s.ACL = "acl-a"
	l.set()
}

// rate floods the resolver from one instance.
func rate(l *lab) {
	began := time.Now()
	n := l.flood("i-a1", "10.10.0.2:53", func() {
		l.expect(check{"DNS of another instance during a flood", "i-a2", "udp 10.10.0.2:53", "10.10.1.11"})
	})
	most := 1024 + int(1024*time.Since(began).Seconds()) + 16
	if n < 200 || n > most {
		l.t.Errorf("%d packets of 5000 were answered, want at most %d", n, most)
	}
}

// holdsBack says whether a flood from one instance is held back: no more is answered than the rate allows in the time it takes.
func holdsBack(l *lab) bool {
	began := time.Now()
	return l.flood("i-a1", "10.10.0.2:53", func() {}) < 1024+int(1024*time.Since(began).Seconds())+16
}

// flood sends 5000 packets, does something, and says how many were answered.
func (l *lab) flood(from, to string, then func()) int {
	l.t.Helper()
	c, err := l.dial(from, "udp", to, patience)
	if err != nil {
		l.t.Fatal(err)
	}
	defer c.Close()
	answers := make(chan int)
	go func() { // ends with the deadline below
		n := 0
		b := make([]byte, 512)
		for {
			if _, err := c.Read(b); err != nil {
				answers <- n
				return
			}
			n++
		}
	}()
	for i := range 5000 {
		_, _ = c.Write([]byte("?")) // a full buffer is a part of the flood
		if i%50 == 0 {
			time.Sleep(time.Millisecond) // for those who answer, in this process
		}
	}
	then()
	_ = c.SetReadDeadline(time.Now().Add(silence))
	return <-answers
}

// pings says who answers to echoes.
func pings(l *lab) {
	if !l.ping("10.10.1.11", patience) || !l.ping("10.20.1.10", patience) {
		l.t.Error("an instance does not answer though its group allows it")
	}
	var wait sync.WaitGroup
	for what, to := range map[string]string{
		"an endpoint": "10.10.3.20", "a router": "10.10.1.1", "a gateway endpoint": s3, "the resolver": "10.10.0.2",
		"a closed instance": "10.10.6.26", "the NAT gateway": "10.10.0.30",
	} {
		wait.Go(func() {
			if l.ping(to, silence) {
				l.t.Errorf("%s answers to an echo", what)
			}
		})
	}
	wait.Wait()
}

// spoof sends with addresses that are not the sender's.
func spoof(l *lab) {
	c := l.count("i-a2")
	d := l.count("i-b2")
	for _, source := range []string{"10.10.1.99", "10.10.2.10", "10.10.1.11", "203.0.113.10", "127.0.0.1", "169.254.169.254"} {
		l.raw("i-a1", source, "10.10.1.11:7100")
	}
	b := at(vpc(l.config, "vpc-b"), "10.20.1.10")
	b.Unchecked = true
	l.set()
	for _, source := range []string{"10.30.0.10", "10.10.1.10", "192.0.2.1"} { // only the border of vpc-a is in their way
		l.raw("i-b1", source, "10.10.1.11:7100")
	}
	l.raw("i-b1", "10.99.0.1", "10.20.1.11:7100")
	l.raw("i-b1", "10.20.1.10", "10.10.1.11:7100")
	l.raw("i-a1", "10.10.1.10", "10.10.1.11:7100")
	l.eventually("honest packets", func() bool { return c.of("spoofed 10.10.1.10") == 1 && c.of("spoofed 10.20.1.10") == 1 })
	l.eventually("an unchecked interface's packet", func() bool { return d.of("spoofed 10.99.0.1") == 1 })
	b.Unchecked = false
	l.set()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.seen) != 2 {
		l.t.Errorf("spoofed packets were delivered: %v", c.seen)
	}
}

// sourceCheck switches a middlebox's check on.
func sourceCheck(l *lab) {
	a := vpc(l.config, "vpc-a")
	box := at(a, "10.10.0.20")
	box.Unchecked = false
	l.set()
	l.expect(check{"a middlebox whose check is on", "i-mid", "10.20.1.10:7000", timeout})
	box.Unchecked, box.Groups = true, []string{"sg-none"}
	l.set()
	l.expect(check{"a middlebox whose own group allows nothing", "i-mid", "10.20.1.10:7000", timeout})
	box.Groups = []string{"sg-open"}
	l.set()
	l.expect(check{"a middlebox again", "i-mid", "10.20.1.10:7000", "10.10.4.10"})
}

// ownFirewall has an instance's root try what it can.
func ownFirewall(l *lab) {
	l.run("i-shut", "nft", "add table ip mine; add chain ip mine input { type filter hook input priority 0; policy accept; }")
	l.run("i-shut", "nft", "flush", "ruleset")
	l.run("i-shut", "ip", "addr", "add", "10.10.6.99/24", "dev", "eth0")
	l.run("i-shut", "ip", "route", "add", "10.10.1.0/24", "via", "10.10.6.1", "src", "10.10.6.99")
	l.expect(
		check{"an instance that has flushed its own firewall", "i-a1", "10.10.6.26:7000", timeout},
		check{"an address that an instance has given itself", "i-a1", "10.10.6.99:7000", timeout},
		check{"an instance that asks from such an address", "i-shut", "10.10.1.10:7000", timeout})
	l.run("i-shut", "ip", "route", "del", "10.10.1.0/24")
	l.run("i-shut", "ip", "addr", "del", "10.10.6.99/24", "dev", "eth0")
}

// hops asks the metadata service from a container behind an instance.
func hops(l *lab) {
	inner := netnstest.New(l.t)
	l.run("i-a1", "ip", "link", "add", "docker0", "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), inner.Fd()))
	defer l.run("i-a1", "ip", "link", "del", "docker0")
	for _, c := range [][]string{{"ip", "addr", "add", "172.17.0.1/24", "dev", "docker0"}, {"ip", "link", "set", "docker0", "up"},
		{"nft", "table ip docker { chain post { type nat hook postrouting priority 100; oifname eth0 masquerade; }; }"}} {
		l.run("i-a1", c...)
	}
	defer l.run("i-a1", "nft", "delete table ip docker")
	forward(l, "i-a1")
	for _, c := range [][]string{{"ip", "addr", "add", "172.17.0.2/24", "dev", "eth0"}, {"ip", "link", "set", "eth0", "up"},
		{"ip", "route", "add", "default", "via", "172.17.0.1"}} {
		netnstest.Run(l.t, inner, c...)
	}
	ask := func(to string, wait time.Duration) string {
		var c net.Conn
		err := netns.Do(inner, func() (err error) {
			c, err = (&net.Dialer{Timeout: patience, FallbackDelay: -1}).Dial("tcp4", to)
			return err
		})
		if err != nil {
			return outcome(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(wait))
		said, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			return outcome(err)
		}
		return strings.TrimSpace(said)
	}
	l.hops.Store(1)
	defer l.hops.Store(0)
	l.expect(check{"an instance with a hop limit of 1", "i-a1", "169.254.169.254:80", "metadata vpc-a 169.254.169.254 from 10.10.1.10 mark 2"})
	if got := ask("169.254.169.254:80", silence); got != timeout {
		l.t.Errorf("a container is told with a hop limit of 1: %s", got)
	}
	l.hops.Store(2)
	want := "metadata vpc-a 169.254.169.254 from 10.10.1.10 mark 2"
	if got := ask("169.254.169.254:80", patience); got != want {
		l.t.Errorf("a container is told with a hop limit of 2: %s, want %s", got, want)
	}
	if got, want := ask("10.10.3.20:443", patience), front("vpc-a", "10.10.3.20", "10.10.1.10", "2"); got != want {
		l.t.Errorf("an endpoint says to a container: %s, want %s", got, want)
	}
}

// mtu sends packets of many sizes that may not be taken apart.
func mtu(l *lab) {
	whole := func(from, to string, size int) (int, error) {
		c, err := l.dial(from, "udp", to, patience)
		if err != nil {
			return 0, err
		}
		raw, err := c.(syscall.Conn).SyscallConn()
		if err != nil {
			return 0, err
		}
		var known int
		var failed error
		err = raw.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
			for range 40 { // until the router's word is here, or for long enough to say that there is none
				if failed != nil {
					break
				}
				time.Sleep(5 * time.Millisecond)
				failed = unix.Send(int(fd), make([]byte, size), 0)
			}
			known, _ = unix.GetsockoptInt(int(fd), unix.SOL_IP, unix.IP_MTU)
		})
		return known, errors.Join(err, failed)
	}
	if known, err := whole("i-a1", "10.10.1.11:7000", 8973); known != 9001 || err != nil {
		l.t.Errorf("inside, packets may have %d bytes (%v), want 9001", known, err)
	}
	if known, err := whole("i-web", ssm+":7000", 3000); known != 1500 || !errors.Is(err, unix.EMSGSIZE) {
		l.t.Errorf("to the internet, packets may have %d bytes (%v), want 1500 and to be told", known, err)
	}
	if known, err := whole("i-a1", "10.20.1.10:7000", 8800); known != 8500 || !errors.Is(err, unix.EMSGSIZE) {
		l.t.Errorf("over peering, packets may have %d bytes (%v), want 8500 and to be told", known, err)
	}
}

// fragments sends packets that have to be taken apart.
func fragments(l *lab) {
	for to, from := range map[string]string{"10.10.2.10:7000": "i-a1", "10.10.1.10:7000": "i-b1", "192.168.0.10:7000": "i-a1"} {
		c, err := l.dial(from, "udp", to, patience)
		if err != nil {
			l.t.Fatal(err)
		}
		answer := make([]byte, 64)
		l.eventually("an answer to fragments from "+from+" to "+to, func() bool { // the first may be lost to a smaller network on the way
			_ = c.SetDeadline(time.Now().Add(silence))
			if _, err := c.Write(make([]byte, 20000)); err != nil {
				return false
			}
			n, err := c.Read(answer)
			return err == nil && string(answer[:n]) == addr(c.LocalAddr())
		})
	}
}

// gateways puts a second gateway endpoint for the same service into another route table: the mark tells them apart.
func gateways(l *lab) {
	a := vpc(l.config, "vpc-a")
	was := a.Gateways
	a.Gateways = append(slices.Clone(was), dataplane.Gateway{ID: "vpce-s3b", Prefixes: was[0].Prefixes})
	t := &a.RouteTables[2]
	t.Routes = []dataplane.Route{{Destination: px("198.51.100.0/24"), Target: dataplane.ToGateway, ID: "vpce-s3b"}}
	l.set()
	l.expect(
		check{"one gateway endpoint", "i-a1", s3 + ":443", front("vpc-a", s3, "10.10.1.10", "2")},
		check{"another for the same service", "i-iso", s3 + ":443", front("vpc-a", s3, "10.10.2.10", "3")})
	on := l.call("i-a1", s3+":443")
	a.Gateways, t.Routes = was, nil
	l.set()
	l.expect(check{"a gateway endpoint that is gone", "i-iso", s3 + ":443", timeout})
	l.alive("a connection to the other", on)
}

// dials asks from an outbound Resolver endpoint.
func dials(l *lab) {
	ask := func(network, from, to string, wait time.Duration) string {
		ctx, stop := context.WithTimeout(l.t.Context(), wait)
		defer stop()
		c, err := l.host.Dial(ctx, dataplane.Call{VPC: "vpc-a", From: ip(from), Network: network, To: netip.MustParseAddrPort(to)})
		if err != nil {
			return outcome(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(wait))
		if _, err := c.Write([]byte("?")); err != nil {
			return outcome(err)
		}
		b := make([]byte, 100)
		n, err := c.Read(b)
		if err != nil {
			return outcome(err)
		}
		said, _, _ := strings.Cut(string(b[:n]), "\n") // before its echo
		return said
	}
	for _, network := range []string{"tcp", "udp"} {
		if got := ask(network, "10.10.3.54", "192.168.0.10:53", patience); got != "10.10.3.54" {
			l.t.Errorf("a call by %s to a site: %s", network, got)
		}
	}
	if got := ask("tcp", "10.10.3.54", "10.10.1.10:7000", patience); got != "10.10.3.54" {
		l.t.Errorf("a call to an instance: %s", got)
	}
	if got := ask("tcp", "10.10.3.54", "10.10.1.10:7001", silence); got != timeout {
		l.t.Errorf("a call that its group does not allow: %s", got)
	}
	if got := ask("tcp", "10.10.3.20", "10.10.1.10:7000", silence); got != timeout {
		l.t.Errorf("a call from an endpoint's address: %s", got)
	}
	if _, err := l.host.Dial(l.t.Context(), dataplane.Call{VPC: "vpc-a", From: ip("10.10.1.10"), Network: "tcp", To: netip.MustParseAddrPort("10.10.1.11:7000")}); err == nil {
		l.t.Error("a call from an address that is an instance's")
	}
	if _, err := l.host.Dial(l.t.Context(), dataplane.Call{VPC: "vpc-z", From: ip("10.10.1.10"), Network: "tcp", To: netip.MustParseAddrPort("10.10.1.11:7000")}); err == nil {
		l.t.Error("a call from a VPC that is not there")
	}
}

// flows reads what is decided.
func flows(l *lab) {
	ctx, stop := context.WithCancel(l.t.Context())
	var mu sync.Mutex
	var seen []dataplane.Flow
	done := make(chan error, 1)
	go func() {
		done <- l.host.Flows(ctx, func(flows []dataplane.Flow, lost int) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, flows...)
		})
	}()
	defer func() {
		stop()
		if err := <-done; err != nil {
			l.t.Error(err)
		}
	}()
	a := vpc(l.config, "vpc-a")
	has := func(eni, by string, accepted, egress bool, to string) func() bool {
		return func() bool {
			l.failing(check{"", "i-a1", "10.10.2.10:7000", "10.10.1.10"}, check{"", "i-a1", "10.10.6.26:7000", timeout}, check{"", "i-a1", "10.10.7.10:7000", timeout})
			mu.Lock()
			defer mu.Unlock()
			return slices.ContainsFunc(seen, func(f dataplane.Flow) bool {
				return f.VPC == "vpc-a" && f.ENI == eniID(a, eni) && f.Accepted == accepted && f.Egress == egress && f.By == by && f.Protocol == 6 &&
					f.From.Addr() == ip("10.10.1.10") && f.To == netip.MustParseAddrPort(to)
			})
		}
	}
	l.eventually("accepted on the way out", has("10.10.1.10", "", true, true, "10.10.2.10:7000"))
	l.eventually("accepted on the way in", has("10.10.2.10", "", true, false, "10.10.2.10:7000"))
	l.eventually("refused by a group", has("10.10.6.26", "sg", false, false, "10.10.6.26:7000"))
	l.eventually("refused by an ACL", has("10.10.7.10", "acl", false, false, "10.10.7.10:7000"))
	if err := l.host.Flows(ctx, nil); err == nil {
		l.t.Error("two read the flows at once")
	}
}

// peeringGone takes the peering away.
func peeringGone(l *lab) {
	was := l.config.Peerings
	l.config.Peerings = was[1:]
	l.set()
	l.expect(
		check{"a peering that is gone", "i-a1", "10.20.1.10:7000", timeout},
		check{"one that is not", "i-c1", "10.20.1.10:7000", "10.30.0.10"},
		check{"an endpoint over a peering that is gone", "i-b1", "10.10.3.20:443", timeout})
	l.config.Peerings = was
	l.set()
	l.expect(check{"the peering again", "i-a1", "10.20.1.10:7000", "10.10.1.10"})
}

// move gives an interface to another machine.
func move(l *lab) {
	n := at(vpc(l.config, "vpc-a"), "10.10.2.10")
	on := l.call("i-a1", "10.10.1.11:7000")
	l.config.Machines = append(l.config.Machines, dataplane.Machine{ID: "i-heir"})
	n.Machine = "i-heir"
	l.set()
	l.expect(check{"an interface that has moved", "i-heir", "10.10.1.11:7000", "10.10.2.10"}, check{"to it", "i-a1", "10.10.2.10:7000", "10.10.1.10"})
	n.Machine = "i-iso"
	l.config.Machines = l.config.Machines[:len(l.config.Machines)-1]
	l.set()
	l.expect(check{"an interface that is back", "i-iso", "10.10.1.11:7000", "10.10.2.10"})
	l.alive("another's connection", on)
	if ns, err := l.host.Netns("i-heir"); err == nil {
		l.keep(ns)
		l.t.Error("a machine that is gone has a network namespace")
	}
}

// addresses gives an interface a second address, and takes it.
func addresses(l *lab) {
	n := at(vpc(l.config, "vpc-a"), "10.10.1.11")
	on := l.call("i-a1", "10.10.1.11:7000")
	n.Addresses = append(n.Addresses, ip("10.10.1.12"))
	l.set()
	l.expect(check{"a second address", "i-iso", "10.10.1.12:7000", "10.10.2.10"})
	n.Addresses = n.Addresses[:1]
	l.set()
	l.expect(check{"a second address that is gone", "i-iso", "10.10.1.12:7000", timeout})
	l.alive("a connection to the first", on)
}

// stop stops a machine and starts it.
func stop(l *lab) {
	m := &l.config.Machines[slices.IndexFunc(l.config.Machines, func(m dataplane.Machine) bool { return m.ID == "i-iso" })]
	m.Stopped = true
	l.set()
	l.expect(check{"a machine that is stopped", "i-a1", "10.10.2.10:7000", timeout})
	m.Stopped = false
	l.set()
	l.expect(check{"a machine that is started", "i-a1", "10.10.2.10:7000", "10.10.1.10"})
}

// dnsSupport switches the resolver off.
func dnsSupport(l *lab) {
	a := vpc(l.config, "vpc-a")
	a.DNS = false
	l.set()
	l.expect(check{"no DNS", "i-a1", "udp 10.10.0.2:53", timeout}, check{"no DNS, link-local", "i-a1", "udp 169.254.169.253:53", timeout},
		check{"metadata without DNS", "i-a1", "169.254.169.254:80", "metadata vpc-a 169.254.169.254 from 10.10.1.10 mark 2"})
	a.DNS = true
	l.set()
	l.expect(check{"DNS again", "i-a1", "udp 10.10.0.2:53", "10.10.1.10"})
}

// inside sends what is for one subnet through a middlebox: a route more specific than the VPC's own.
func inside(l *lab) {
	a := vpc(l.config, "vpc-a")
	t := &a.RouteTables[1]
	was := t.Routes
	on := l.count("i-box")
	c := l.count("i-iso")
	t.Routes = append(slices.Clone(was), dataplane.Route{Destination: px("10.10.2.0/24"), Target: dataplane.ToInterface, ID: eniID(a, "10.10.0.20")})
	l.set()
	l.run("i-box", "sysctl", "-qw", "net.ipv4.ip_forward=0")
	l.expect(
		check{"through a middlebox that forwards nothing", "i-a1", "10.10.2.10:7000", timeout},
		check{"from a subnet that does not go through it", "i-web", "10.10.2.10:7000", "10.10.0.10"},
		check{"to a subnet that is not beyond it", "i-a1", "10.10.1.11:7000", "10.10.1.10"})
	l.run("i-box", "sysctl", "-qw", "net.ipv4.ip_forward=1")
	l.expect(check{"through a middlebox", "i-a1", "10.10.2.10:7000", "10.10.1.10"})
	t.Routes = was
	l.set()
	if len(on.seen)+len(c.seen) != 0 {
		l.t.Error("packets came from nowhere")
	}
}

// twoInterfaces gives a machine a second interface in another subnet.
func twoInterfaces(l *lab) {
	a := vpc(l.config, "vpc-a")
	was := a.Interfaces
	a.Interfaces = slices.Clone(was)
	eni(a, dataplane.Interface{Subnet: "isolated", Kind: dataplane.Guest, Machine: "i-a1", Device: 1, Groups: []string{"sg-open"}}, "10.10.2.50")
	l.set()
	l.expect(
		check{"a second interface", "i-a2", "10.10.2.50:7000", "10.10.1.11"},
		check{"a second interface, from its subnet", "i-iso", "10.10.2.50:7000", "10.10.2.10"},
		check{"the first interface of a machine with two", "i-a2", "10.10.1.10:7000", "10.10.1.11"})
	a.Interfaces = was
	l.set()
	l.expect(check{"a second interface that is gone", "i-a2", "10.10.2.50:7000", timeout}, check{"the first", "i-a2", "10.10.1.10:7000", "10.10.1.11"})
}

// failures wants what cannot be, beside what can.
func failures(l *lab) {
	c := *l.config
	c.VPCs = slices.Clone(c.VPCs)
	a := &c.VPCs[0]
	a.Interfaces = append(slices.Clone(a.Interfaces),
		dataplane.Interface{ID: "eni-lost", Subnet: "subnet-z", Kind: dataplane.Guest, Addresses: []netip.Addr{ip("10.10.1.200")}},
		dataplane.Interface{ID: "eni-twice", Subnet: "private", Kind: dataplane.Guest, Machine: "i-a1", Device: 7, Addresses: []netip.Addr{ip("10.10.1.11")}},
		dataplane.Interface{ID: "eni-astray", Subnet: "private", Kind: dataplane.Guest, Machine: "i-a1", Device: 8, Addresses: []netip.Addr{ip("10.99.1.11")}},
		dataplane.Interface{ID: "eni-odd", Subnet: "private", Kind: "odd", Addresses: []netip.Addr{ip("10.10.1.201")}})
	c.VPCs = append(c.VPCs, dataplane.VPC{ID: "vpc-; drop", Number: 9, CIDRs: []netip.Prefix{px("10.0.0.0/16")}},
		dataplane.VPC{ID: "vpc-same", Number: 1, CIDRs: []netip.Prefix{px("10.0.0.0/16")}}, dataplane.VPC{ID: "vpc-six", Number: 8, CIDRs: []netip.Prefix{px("fd00::/64")}})
	c.Peerings = append(slices.Clone(c.Peerings), dataplane.Peering{ID: "pcx-half", Number: 77, A: "vpc-a", B: "vpc-far"})
	c.Tunnels = append(slices.Clone(c.Tunnels), dataplane.Tunnel{ID: "vpn-twice", Number: 78, Site: "site-1", VPC: "vpc-d", Prefixes: []netip.Prefix{px("192.168.0.0/24")}})
	status, err := l.host.Set(l.t.Context(), &c)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, id := range []string{"eni-lost", "eni-twice", "eni-astray", "eni-odd", "vpc-; drop", "vpc-same", "vpc-six", "pcx-half", "vpn-twice"} {
		if status.Failures[id] == "" {
			l.t.Errorf("%s has not failed", id)
		}
		delete(status.Failures, id)
	}
	for id, why := range status.Failures {
		l.t.Errorf("%s has failed: %s", id, why)
	}
	l.expect(check{"what can be", "i-a1", "10.10.1.11:7000", "10.10.1.10"})
	l.set()
}
