package nft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux/netns"
	"github.com/vennel/vennel/dataplane/linux/netns/netnstest"
)

// router is a network namespace that routes between cables, with nothing but a table to keep them apart.
type router struct {
	t  testing.TB
	ns *os.File
}

// newRouter makes a router that has addresses of its own.
func newRouter(t testing.TB, addresses ...string) *router {
	t.Helper()
	r := &router{t, netnstest.New(t)}
	r.set("net/ipv4/ip_forward", "1")
	r.set("net/ipv4/conf/all/rp_filter", "0")
	r.set("net/ipv4/conf/default/rp_filter", "0")
	r.set("net/ipv4/ip_early_demux", "0")
	for _, a := range addresses {
		netnstest.Run(t, r.ns, "ip", "addr", "add", a+"/32", "dev", "lo")
	}
	return r
}

// set sets a setting of the network namespace.
func (r *router) set(name, value string) {
	r.t.Helper()
	if err := netns.Do(r.ns, func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0o644) }); err != nil {
		r.t.Fatal(err)
	}
}

// cable joins a network namespace with addresses to a device of the router's.
func (r *router) cable(dev string, addresses ...string) *os.File {
	r.t.Helper()
	ns := netnstest.New(r.t)
	netnstest.Run(r.t, r.ns, "ip", "link", "add", dev, "address", "06:01:00:00:00:01", "type", "veth",
		"peer", "name", "eth0", "address", "06:02:00:00:00:02", "netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.Fd()))
	netnstest.Run(r.t, r.ns, "ip", "link", "set", dev, "up")
	netnstest.Run(r.t, ns, "ip", "link", "set", "eth0", "up")
	netnstest.Run(r.t, ns, "ip", "route", "add", "169.254.255.1", "dev", "eth0")
	netnstest.Run(r.t, ns, "ip", "neigh", "add", "169.254.255.1", "lladdr", "06:01:00:00:00:01", "dev", "eth0", "nud", "permanent")
	for _, a := range addresses {
		netnstest.Run(r.t, ns, "ip", "addr", "add", a+"/32", "dev", "eth0")
		netnstest.Run(r.t, r.ns, "ip", "route", "add", a, "dev", dev)
		netnstest.Run(r.t, r.ns, "ip", "neigh", "add", a, "lladdr", "06:02:00:00:00:02", "dev", dev, "nud", "permanent")
	}
	netnstest.Run(r.t, ns, "ip", "route", "add", "default", "via", "169.254.255.1", "dev", "eth0")
	return ns
}

// serve answers on a TCP port: it sends back what comes.
func serve(t testing.TB, ns *os.File, address string) {
	t.Helper()
	var l net.Listener
	err := netns.Do(ns, func() (err error) {
		l, err = (&net.ListenConfig{Control: transparent}).Listen(t.Context(), "tcp4", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				_, _ = io.Copy(conn, conn) // ends when either side does
			})
		}
	})
	t.Cleanup(func() { l.Close(); stop(); wg.Wait() })
}

// transparent lets a socket answer for addresses that a route alone makes local.
func transparent(_, _ string, raw syscall.RawConn) error {
	var err error
	outer := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1) })
	return errors.Join(outer, err)
}

// dialFrom makes a TCP connection, or finds that there is no answer.
func dialFrom(ns *os.File, from, to string, wait time.Duration) (conn net.Conn, err error) {
	d := net.Dialer{Timeout: wait, FallbackDelay: -1}
	if from != "" {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip(from), 0))
	}
	err = netns.Do(ns, func() error {
		conn, err = d.Dial("tcp4", to)
		return err
	})
	return conn, err
}

// answers says whether a connection can be made and carries something. It waits for long when it should, and otherwise
// for less than it takes until a second attempt is made.
func answers(ns *os.File, from, to string, should bool) (bool, error) {
	wait := 200 * time.Millisecond
	if should {
		wait = 5 * time.Second
	}
	conn, err := dialFrom(ns, from, to, wait)
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return false, err
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		return false, err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err == nil, err
}

// flowLog gathers flows.
type flowLog struct {
	mu    sync.Mutex
	flows []dataplane.Flow // guarded by mu
	lost  int              // guarded by mu
}

// follow reads the flows of a network namespace until the test ends.
func follow(t testing.TB, ns *os.File, table func() *Table) *flowLog {
	t.Helper()
	l := new(flowLog)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		err := Flows(ctx, ns, table, func(flows []dataplane.Flow, lost int) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.flows, l.lost = append(l.flows, flows...), l.lost+lost
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("flows: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	until(t, "the log is read", func() bool { // /proc/net/netfilter/nfnetlink_log lists who reads
		var readers []byte
		err := netns.Do(ns, func() (err error) {
			readers, err = os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_log")
			return err
		})
		return err != nil || len(readers) > 0
	})
	return l
}

// until waits for something to be true.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); {
		if time.Now().After(end) {
			t.Fatalf("it never came true: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// take waits for a number of flows, and gives and forgets them, as text.
func (l *flowLog) take(t testing.TB, n int) []string {
	t.Helper()
	end := time.Now().Add(5 * time.Second)
	for {
		l.mu.Lock()
		if len(l.flows) >= n || time.Now().After(end) {
			break
		}
		l.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
	defer l.mu.Unlock()
	var list []string
	for _, f := range l.flows {
		verdict, way := "accept", "in"
		if !f.Accepted {
			verdict = f.By
		}
		if f.Egress {
			way = "out"
		}
		if f.VPC == "" || f.Bytes < 20 || time.Since(f.Time) > time.Minute {
			t.Errorf("%+v", f)
		}
		list = append(list, fmt.Sprintf("%s %s %s %d %s>%s:%d", f.ENI[len(f.ENI)-2:], way, verdict, f.Protocol, f.From.Addr(), f.To.Addr(), f.To.Port()))
	}
	l.flows = nil
	slices.Sort(list)
	return list
}

// TestPackets sends packets for each verdict, and reads what the flow log says of it. source: the data plane's facts, whose
// assertions these are; userguide for what a flow log has
func TestPackets(t *testing.T) {
	v, _ := seed()
	// Interface 11, of the seed page, is 10.0.1.10 and may send everything. 12 is the endpoint 10.0.1.20.
	v.InternetGateway = "igw-1"
	allow := dataplane.Entry{Number: 100, Protocol: dataplane.AllProtocols, CIDR: pfx("0.0.0.0/0"), Allow: true}
	v.Subnets = append(v.Subnets, dataplane.Subnet{ID: "subnet-2", CIDR: pfx("10.0.2.0/24"), ACL: "acl-2"})
	v.ACLs = append(v.ACLs, dataplane.ACL{
		ID:      "acl-2",
		Ingress: []dataplane.Entry{{Number: 90, Protocol: 6, From: 7, To: 7, CIDR: pfx("0.0.0.0/0")}, allow},
		Egress:  []dataplane.Entry{{Number: 90, Protocol: 6, From: 8, To: 8, CIDR: pfx("0.0.0.0/0")}, allow},
	})
	within := func(port int) dataplane.Entry {
		return dataplane.Entry{Number: 80, Protocol: 6, From: port, To: port, CIDR: pfx("10.0.1.0/24")}
	}
	v.ACLs[0].Ingress = append(v.ACLs[0].Ingress, within(443), within(6))
	v.ACLs[0].Egress = append(v.ACLs[0].Egress, within(443), within(6))
	v.Groups = append(v.Groups,
		dataplane.Group{ID: "sg-six", Ingress: []dataplane.Rule{everyone(6, 6, 6), everyone(6, 9, 9)}},
		dataplane.Group{
			ID:      "sg-3",
			Ingress: []dataplane.Rule{{Protocol: 6, From: 1, To: 10, Group: "sg-1"}, {Protocol: 17, From: 9, To: 9, CIDR: pfx("10.0.1.0/24")}, everyone(6, 80, 80)},
			Egress:  []dataplane.Rule{everyone(dataplane.AllProtocols, -1, -1)},
		},
		dataplane.Group{ID: "sg-mute"},
		dataplane.Group{ID: "sg-dns", Egress: []dataplane.Rule{everyone(6, 5, 6), everyone(6, 8, 8)}},
		dataplane.Group{ID: "sg-in", Ingress: []dataplane.Rule{{Protocol: 6, From: 1, To: 100, CIDR: pfx("10.0.1.53/32")}, {Protocol: 6, From: 53, To: 53, CIDR: pfx("10.9.0.0/16")}}})
	v.Interfaces[0].Groups = append(v.Interfaces[0].Groups, "sg-six")
	v.Interfaces = append(v.Interfaces,
		dataplane.Interface{ID: "eni-21", Subnet: "subnet-2", Kind: dataplane.Guest, Addresses: []netip.Addr{ip("10.0.2.10")}, Groups: []string{"sg-3"}},
		dataplane.Interface{ID: "eni-22", Subnet: "subnet-2", Kind: dataplane.Guest, Addresses: []netip.Addr{ip("10.0.2.11")}, Groups: []string{"sg-mute"}},
		dataplane.Interface{ID: "eni-23", Subnet: "subnet-2", Kind: dataplane.Guest, Addresses: []netip.Addr{ip("10.0.2.12")}},
		dataplane.Interface{ID: "eni-24", Subnet: "subnet-1", Kind: dataplane.Guest, Addresses: []netip.Addr{ip("10.0.1.11")}, Groups: []string{"sg-1", "sg-six"}, Unchecked: true},
		dataplane.Interface{ID: "eni-31", Subnet: "subnet-1", Kind: dataplane.Outbound, Addresses: []netip.Addr{ip("10.0.1.53")}, Groups: []string{"sg-dns", "sg-1"}},
		dataplane.Interface{ID: "eni-32", Subnet: "subnet-2", Kind: dataplane.Outbound, Addresses: []netip.Addr{ip("10.0.2.53")}, Groups: []string{"sg-dns"}},
		dataplane.Interface{ID: "eni-33", Subnet: "subnet-2", Kind: dataplane.Inbound, Addresses: []netip.Addr{ip("10.0.2.54")}, Groups: []string{"sg-in"}})
	v.Publics = []dataplane.Public{{Public: ip("198.51.100.1"), Private: ip("10.0.2.10")}}
	v.Gateways = []dataplane.Gateway{{ID: "vpce-1", Prefixes: []netip.Prefix{pfx("192.0.2.0/24")}}} // where route table 1 leads there
	table := New(v, []Link{{Device: PeeringDevice(1), CIDRs: []netip.Prefix{pfx("10.9.0.0/16")}}})

	r := newRouter(t, "10.0.1.20", "10.0.1.53", "10.0.2.53", "10.0.2.54", "10.0.0.2", "169.254.169.254")
	c := open(t, r.ns)
	if _, err := c.Apply(t.Context(), nil, table); err != nil {
		t.Fatal(err)
	}
	one := r.cable(Device("eni-00000000000000011"), "10.0.1.10", "10.66.0.1") // the second is not its own
	two := r.cable(Device("eni-21"), "10.0.2.10")
	mute := r.cable(Device("eni-22"), "10.0.2.11")
	bare := r.cable(Device("eni-23"), "10.0.2.12")
	free := r.cable(Device("eni-24"), "10.0.1.11", "10.77.0.1")
	peer := r.cable(PeeringDevice(1), "10.9.0.1", "10.10.0.1")
	internet := r.cable(InternetDevice, "203.0.113.1", "203.0.113.2")
	netnstest.Run(t, internet, "ip", "addr", "add", "10.0.1.99/32", "dev", "eth0")
	for _, l := range []struct {
		ns   *os.File
		port string
	}{{r.ns, "443"}, {r.ns, "80"}, {r.ns, "53"}, {one, "5"}, {one, "9"}, {free, "6"}, {two, "5"}, {two, "7"}, {two, "80"}, {two, "99"}, {mute, "5"}, {bare, "5"}, {free, "5"}, {peer, "5"}, {peer, "8"}, {internet, "5"}} {
		serve(t, l.ns, "0.0.0.0:"+l.port)
	}
	netnstest.Run(t, r.ns, "ip", "route", "add", "blackhole", "default")
	netnstest.Run(t, r.ns, "ip", "rule", "add", "fwmark", "1/0xfff", "lookup", "101")
	netnstest.Run(t, r.ns, "ip", "route", "add", "local", "192.0.2.0/24", "dev", "lo", "table", "101")
	// What the second sends to the first's port 9 goes through the free one.
	free24 := &router{t, free}
	free24.set("net/ipv4/ip_forward", "1")
	free24.set("net/ipv4/conf/all/rp_filter", "0")
	free24.set("net/ipv4/conf/eth0/rp_filter", "0")
	free24.set("net/ipv4/conf/all/send_redirects", "0")
	free24.set("net/ipv4/conf/eth0/send_redirects", "0")
	netnstest.Run(t, r.ns, "ip", "rule", "add", "iif", Device("eni-21"), "ipproto", "tcp", "dport", "9", "lookup", "103")
	netnstest.Run(t, r.ns, "ip", "route", "add", "10.0.1.10", "dev", Device("eni-24"), "table", "103")
	netnstest.Run(t, r.ns, "ip", "neigh", "add", "10.0.1.10", "lladdr", "06:02:00:00:00:02", "dev", Device("eni-24"), "nud", "permanent")
	log := follow(t, r.ns, func() *Table { return table })
	for _, c := range []struct {
		name     string
		ns       *os.File
		from, to string
		ok       bool
		flows    []string
	}{
		{"an endpoint", one, "", "10.0.1.20:443", true, []string{"11 out accept 6 10.0.1.10>10.0.1.20:443", "12 in accept 6 10.0.1.10>10.0.1.20:443"}},
		{"an endpoint's group", one, "", "10.0.1.20:80", false, []string{"11 out accept 6 10.0.1.10>10.0.1.20:80", "12 in sg 6 10.0.1.10>10.0.1.20:80"}},
		{"an endpoint, from a subnet with an ACL", two, "", "10.0.1.20:443", true, []string{"12 in accept 6 10.0.2.10>10.0.1.20:443", "21 out accept 6 10.0.2.10>10.0.1.20:443"}},
		{"an endpoint of a peer's", peer, "10.9.0.1", "10.0.1.20:443", false, []string{"12 in sg 6 10.9.0.1>10.0.1.20:443"}},
		{"no ACL within a subnet", one, "10.0.1.10", "10.0.1.11:6", true, []string{"11 out accept 6 10.0.1.10>10.0.1.11:6", "24 in accept 6 10.0.1.10>10.0.1.11:6"}},
		{"a group within a subnet", one, "10.0.1.10", "10.0.1.11:5", false, []string{"11 out accept 6 10.0.1.10>10.0.1.11:5", "24 in sg 6 10.0.1.10>10.0.1.11:5"}},
		{"no ACL within a subnet, for an outbound resolver", r.ns, "10.0.1.53", "10.0.1.11:6", true, []string{"24 in accept 6 10.0.1.53>10.0.1.11:6", "31 out accept 6 10.0.1.53>10.0.1.11:6"}},
		{"through an unchecked interface", two, "10.0.2.10", "10.0.1.10:9", true, []string{
			"11 in accept 6 10.0.2.10>10.0.1.10:9", "21 out accept 6 10.0.2.10>10.0.1.10:9",
			"24 in accept 6 10.0.2.10>10.0.1.10:9", "24 out accept 6 10.0.2.10>10.0.1.10:9"}},
		{"a reference", one, "10.0.1.10", "10.0.2.10:5", true, []string{"11 out accept 6 10.0.1.10>10.0.2.10:5", "21 in accept 6 10.0.1.10>10.0.2.10:5"}},
		{"a group inward", one, "10.0.1.10", "10.0.2.10:99", false, []string{"11 out accept 6 10.0.1.10>10.0.2.10:99", "21 in sg 6 10.0.1.10>10.0.2.10:99"}},
		{"an ACL inward", one, "10.0.1.10", "10.0.2.10:7", false, []string{"11 out accept 6 10.0.1.10>10.0.2.10:7", "21 in acl 6 10.0.1.10>10.0.2.10:7"}},
		{"an ACL outward", two, "", "10.9.0.1:8", false, []string{"21 out acl 6 10.0.2.10>10.9.0.1:8"}},
		{"no ACL in the way", two, "", "10.9.0.1:5", true, []string{"21 out accept 6 10.0.2.10>10.9.0.1:5"}},
		{"no ingress rule", two, "", "10.0.1.10:5", false, []string{"11 in sg 6 10.0.2.10>10.0.1.10:5", "21 out accept 6 10.0.2.10>10.0.1.10:5"}},
		{"no egress rule", mute, "", "10.0.2.10:80", false, []string{"22 out sg 6 10.0.2.11>10.0.2.10:80"}},
		{"no group", bare, "", "10.0.2.10:80", false, []string{"23 out sg 6 10.0.2.12>10.0.2.10:80"}},
		{"no group inward", one, "10.0.1.10", "10.0.2.12:5", false, []string{"11 out accept 6 10.0.1.10>10.0.2.12:5", "23 in sg 6 10.0.1.10>10.0.2.12:5"}},
		{"a spoofed source", one, "10.66.0.1", "10.0.2.10:80", false, nil},
		{"an unchecked source", free, "10.77.0.1", "10.0.2.10:80", true, []string{"21 in accept 6 10.77.0.1>10.0.2.10:80", "24 out accept 6 10.77.0.1>10.0.2.10:80"}},
		{"a destination that is not its own", free, "10.0.1.11", "10.66.0.1:5", false, nil},
		{"a peer's source", peer, "10.9.0.1", "10.0.2.10:80", true, []string{"21 in accept 6 10.9.0.1>10.0.2.10:80"}},
		{"a peer's spoofed source", peer, "10.10.0.1", "10.0.2.10:80", false, nil},
		{"a resolver of a group that is mute", mute, "", "10.0.0.2:53", true, nil},
		{"no resolver of another port", mute, "", "10.0.0.2:443", false, nil},
		{"a peer's resolver", peer, "10.9.0.1", "10.0.0.2:53", false, nil},
		{"metadata", bare, "", "169.254.169.254:80", true, nil},
		{"a gateway endpoint", one, "10.0.1.10", "192.0.2.1:443", true, []string{"11 out accept 6 10.0.1.10>192.0.2.1:443"}},
		{"a gateway endpoint of another route table's", two, "", "192.0.2.1:443", false, nil},
		{"a gateway endpoint of a peer's", peer, "10.9.0.1", "192.0.2.1:443", false, nil},
		{"a gateway endpoint's other port", one, "10.0.1.10", "192.0.2.1:53", false, []string{"11 out accept 6 10.0.1.10>192.0.2.1:53"}},
		{"an outbound resolver", r.ns, "10.0.1.53", "10.9.0.1:5", true, []string{"31 out accept 6 10.0.1.53>10.9.0.1:5"}},
		{"an outbound resolver's group", r.ns, "10.0.2.53", "10.9.0.1:80", false, []string{"32 out sg 6 10.0.2.53>10.9.0.1:80"}},
		{"an outbound resolver's ACL", r.ns, "10.0.2.53", "10.9.0.1:8", false, []string{"32 out acl 6 10.0.2.53>10.9.0.1:8"}},
		{"an outbound resolver, to another's ACL", r.ns, "10.0.1.53", "10.0.2.10:7", false, []string{"21 in acl 6 10.0.1.53>10.0.2.10:7", "31 out accept 6 10.0.1.53>10.0.2.10:7"}},
		{"an outbound resolver, to another's group", r.ns, "10.0.1.53", "10.0.2.10:99", false, []string{"21 in sg 6 10.0.1.53>10.0.2.10:99", "31 out accept 6 10.0.1.53>10.0.2.10:99"}},
		{"an outbound resolver, to a neighbour's group", r.ns, "10.0.1.53", "10.0.1.11:5", false, []string{"24 in sg 6 10.0.1.53>10.0.1.11:5", "31 out accept 6 10.0.1.53>10.0.1.11:5"}},
		{"an outbound resolver, to a member", r.ns, "10.0.1.53", "10.0.2.10:5", true, []string{"21 in accept 6 10.0.1.53>10.0.2.10:5", "31 out accept 6 10.0.1.53>10.0.2.10:5"}},
		{"an inbound resolver, from a peer", peer, "10.9.0.1", "10.0.2.54:53", true, []string{"33 in accept 6 10.9.0.1>10.0.2.54:53"}},
		{"an inbound resolver's ACL", peer, "10.9.0.1", "10.0.2.54:7", false, []string{"33 in acl 6 10.9.0.1>10.0.2.54:7"}},
		{"an ACL outward, to an endpoint", two, "", "10.0.1.20:8", false, []string{"21 out acl 6 10.0.2.10>10.0.1.20:8"}},
		{"an inbound resolver, from an outbound one", r.ns, "10.0.1.53", "10.0.2.54:53", true, []string{"31 out accept 6 10.0.1.53>10.0.2.54:53", "33 in accept 6 10.0.1.53>10.0.2.54:53"}},
		{"nobody listens", r.ns, "10.0.1.53", "10.0.2.54:80", false, []string{"31 out accept 6 10.0.1.53>10.0.2.54:80", "33 in accept 6 10.0.1.53>10.0.2.54:80"}},
		{"an endpoint by itself", r.ns, "10.0.1.20", "10.0.2.10:80", false, nil},
		{"the router itself", r.ns, "10.0.0.2", "10.0.2.10:80", false, nil},
		{"a public address", internet, "203.0.113.1", "198.51.100.1:80", true, []string{"21 in accept 6 203.0.113.1>10.0.2.10:80"}},
		{"a public address's group", internet, "203.0.113.1", "198.51.100.1:5", false, []string{"21 in sg 6 203.0.113.1>10.0.2.10:5"}},
		{"a member's address from the internet", internet, "10.0.1.99", "198.51.100.1:80", false, nil},
		{"a private address from the internet", internet, "203.0.113.1", "10.0.2.10:80", false, nil},
		{"the internet", two, "", "203.0.113.1:5", true, []string{"21 out accept 6 10.0.2.10>203.0.113.1:5"}},
		{"the internet without a public address", one, "10.0.1.10", "203.0.113.1:5", false, []string{"11 out accept 6 10.0.1.10>203.0.113.1:5"}},
	} {
		ok, err := answers(c.ns, c.from, c.to, c.ok)
		if ok != c.ok || err != nil {
			t.Errorf("%s: it is %v that it answers: %v", c.name, ok, err)
		}
		if diff := cmp.Diff(c.flows, log.take(t, len(c.flows))); diff != "" {
			t.Errorf("%s: flows %s", c.name, diff)
		}
	}
	// What must not leave does not: the first that arrives is the second that was sent.
	var there net.PacketConn
	if err := netns.Do(internet, func() (err error) {
		there, err = (&net.ListenConfig{}).ListenPacket(t.Context(), "udp4", "203.0.113.1:9")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = there.Close() }() // it was only read
	for _, ns := range []*os.File{one, r.ns, two} {
		from := &net.UDPAddr{}
		if ns == r.ns {
			from.IP = net.IPv4(10, 0, 1, 53)
		}
		if err := netns.Do(ns, func() error {
			conn, err := net.DialUDP("udp4", from, net.UDPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.1:9")))
			if err != nil {
				return err
			}
			if _, err := conn.Write([]byte("x")); err != nil && !errors.Is(err, unix.EPERM) {
				return err
			}
			return conn.Close()
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := there.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, from, err := there.ReadFrom(make([]byte, 16)); err != nil || !strings.HasPrefix(from.String(), "198.51.100.1:") {
		t.Errorf("a packet from %v has left: %v", from, err)
	}
	if log.lost != 0 {
		t.Errorf("%d records were lost", log.lost)
	}
}

// TestLiveConnection changes a hundred elements, and the whole table, under a connection that talks all the time.
func TestLiveConnection(t *testing.T) {
	v, _ := seed()
	v.Interfaces = append(v.Interfaces, dataplane.Interface{ID: "eni-21", Subnet: "subnet-1", Kind: dataplane.Guest,
		Addresses: []netip.Addr{ip("10.0.1.11")}, Groups: []string{"sg-2"}})
	r := newRouter(t)
	c := open(t, r.ns)
	table := New(v, nil)
	if _, err := c.Apply(t.Context(), nil, table); err != nil {
		t.Fatal(err)
	}
	one, two := r.cable(Device("eni-00000000000000011"), "10.0.1.10"), r.cable(Device("eni-21"), "10.0.1.11")
	serve(t, two, "0.0.0.0:443")
	conn, err := dialFrom(one, "", "10.0.1.11:443", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var wg sync.WaitGroup
	rounds, stop := 0, make(chan struct{})
	wg.Go(func() {
		b := []byte("x")
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Error(err)
				return
			}
			_, err := conn.Write(b)
			if err == nil {
				_, err = io.ReadFull(conn, b)
			}
			if err != nil {
				t.Error(err)
				return
			}
			rounds++
		}
	})
	for i := range 103 {
		switch {
		case i == 100: // nothing is permitted any more, which established connections survive
			v.Groups[1].Ingress = nil
		case i == 101:
			v.ACLs[0].Ingress = v.ACLs[0].Ingress[:0] // another chain, so the whole table; within a subnet it does not matter
		case i%2 == 0:
			v.Groups[1].Ingress = append(v.Groups[1].Ingress, everyone(6, 1000+i, 1000+i))
		default:
			v.Groups[0].Members = append(v.Groups[0].Members, netip.AddrFrom4([4]byte{10, 9, 0, byte(i)}))
		}
		next := New(v, nil)
		if _, err := c.Apply(t.Context(), table, next); err != nil {
			t.Fatal(err)
		}
		table = next
	}
	close(stop)
	wg.Wait()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var info *unix.TCPInfo
	outer := raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err := errors.Join(outer, err); err != nil {
		t.Fatal(err)
	}
	// A busy machine is late now and then, which TCP takes for a loss.
	if info.Total_retrans > 10 || rounds < 100 {
		t.Errorf("%d packets were sent again in %d rounds", info.Total_retrans, rounds)
	}
	if ok, err := answers(one, "", "10.0.1.11:443", false); ok || err != nil {
		t.Errorf("a new connection is permitted: %v", err)
	}
}

// TestRefusalsAreFew floods with packets that are refused. The log has some of them, and is open for another interface.
func TestRefusalsAreFew(t *testing.T) {
	v, _ := seed()
	v.Groups[0].Egress = nil
	v.Interfaces = append(v.Interfaces, dataplane.Interface{ID: "eni-21", Subnet: "subnet-1", Kind: dataplane.Guest,
		Addresses: []netip.Addr{ip("10.0.1.11")}, Groups: []string{"sg-1"}})
	table := New(v, nil)
	r := newRouter(t, "10.0.1.20")
	if _, err := open(t, r.ns).Apply(t.Context(), nil, table); err != nil {
		t.Fatal(err)
	}
	one, two := r.cable(Device("eni-00000000000000011"), "10.0.1.10"), r.cable(Device("eni-21"), "10.0.1.11")
	netnstest.Run(t, r.ns, "ip", "route", "add", "blackhole", "default")
	netnstest.Run(t, r.ns, "ip", "rule", "add", "fwmark", "1/0xfff", "lookup", "101")
	netnstest.Run(t, r.ns, "ip", "route", "add", "local", "192.0.2.0/24", "dev", "lo", "table", "101")
	log := follow(t, r.ns, func() *Table { return table })
	send := func(ns *os.File, n int) {
		var conn net.Conn
		err := netns.Do(ns, func() (err error) {
			conn, err = (&net.Dialer{}).Dial("udp4", "10.0.1.20:53")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for range n {
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(one, 5000)
	send(two, 1)
	mine, others := 0, 0
	until(t, "the second interface is in the log", func() bool {
		for _, f := range log.take(t, 1) {
			if strings.HasPrefix(f, "21 out sg 17") {
				others++
			} else {
				mine++
			}
		}
		return others > 0
	})
	if mine < 150 || mine > 2500 {
		t.Errorf("%d of 5000 refusals are in the log", mine)
	}
}

// TestServicesAreLimited asks the resolver more often than an interface may. Groups and ACLs have no say in it.
func TestServicesAreLimited(t *testing.T) {
	v, _ := seed()
	v.Interfaces[0].Groups, v.ACLs[0].Ingress, v.ACLs[0].Egress = nil, nil, nil
	r := newRouter(t, "10.0.0.2")
	if _, err := open(t, r.ns).Apply(t.Context(), nil, New(v, nil)); err != nil {
		t.Fatal(err)
	}
	one := r.cable(Device("eni-00000000000000011"), "10.0.1.10")
	var server net.PacketConn
	var client net.Conn
	err := netns.Do(r.ns, func() (err error) {
		server, err = (&net.ListenConfig{}).ListenPacket(t.Context(), "udp4", "10.0.0.2:53")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }() // a datagram waits for nobody
	if err := netns.Do(one, func() (err error) {
		client, err = (&net.Dialer{}).Dial("udp4", "10.0.0.2:53")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var got, sent int
	begin := time.Now()
	b := make([]byte, 16)
	for ; sent < 8000; sent++ {
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		for { // what has come has come: this cable has no queue
			if err := server.SetReadDeadline(time.Now().Add(time.Microsecond)); err != nil {
				t.Fatal(err)
			}
			_, from, err := server.ReadFrom(b)
			if err != nil {
				break
			}
			if got++; got == 1 {
				if _, err := server.WriteTo(b[:1], from); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	limit := 1024 + int(time.Since(begin).Seconds()*1024)
	if got < 1000 || got > limit+50 || sent < limit+1000 {
		t.Errorf("%d of %d packets came through in %v", got, sent, time.Since(begin))
	}
	if err := client.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(b); err != nil {
		t.Errorf("no answer: %v", err)
	}
	var tracked []byte
	if err := netns.Do(r.ns, func() (err error) {
		tracked, err = os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
		return err
	}); err != nil || strings.TrimSpace(string(tracked)) != "0" {
		t.Errorf("%s connections are tracked: %v", tracked, err)
	}
}

// echo sends something and waits for as long for the answer.
func echo(conn net.Conn, wait time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}

// TestEstablishedIsCut takes away, on each way of a connection, what is not a matter of its state: network ACLs and public
// addresses. It stops, and goes on when it is permitted again. source: userguide, for ACLs are stateless
func TestEstablishedIsCut(t *testing.T) {
	allow := dataplane.Entry{Number: 100, Protocol: dataplane.AllProtocols, CIDR: pfx("0.0.0.0/0"), Allow: true}
	config := func() *dataplane.VPC {
		v, _ := seed()
		v.InternetGateway = "igw-1"
		v.Subnets = append(v.Subnets, dataplane.Subnet{ID: "subnet-2", CIDR: pfx("10.0.2.0/24"), ACL: "acl-2"})
		v.ACLs = append(v.ACLs, dataplane.ACL{ID: "acl-2", Ingress: []dataplane.Entry{allow}, Egress: []dataplane.Entry{allow}})
		v.Groups[1].Egress = v.Groups[0].Egress
		v.Interfaces = append(v.Interfaces,
			dataplane.Interface{ID: "eni-21", Subnet: "subnet-2", Kind: dataplane.Guest, Addresses: []netip.Addr{ip("10.0.2.10")}, Groups: []string{"sg-2"}},
			dataplane.Interface{ID: "eni-22", Subnet: "subnet-2", Kind: dataplane.Endpoint, Addresses: []netip.Addr{ip("10.0.2.20")}, Groups: []string{"sg-2"}})
		v.Publics = []dataplane.Public{{Public: ip("198.51.100.1"), Private: ip("10.0.2.10")}}
		return v
	}
	r := newRouter(t, "10.0.1.20", "10.0.2.20")
	c := open(t, r.ns)
	table := New(config(), nil)
	if _, err := c.Apply(t.Context(), nil, table); err != nil {
		t.Fatal(err)
	}
	one, two := r.cable(Device("eni-00000000000000011"), "10.0.1.10"), r.cable(Device("eni-21"), "10.0.2.10")
	internet := r.cable(InternetDevice, "203.0.113.1")
	for _, ns := range []*os.File{r.ns, two, internet} {
		serve(t, ns, "0.0.0.0:443")
	}
	acl := func(n int, d direction) func(*dataplane.VPC) {
		return func(v *dataplane.VPC) {
			if d == inward {
				v.ACLs[n].Ingress = nil
			} else {
				v.ACLs[n].Egress = nil
			}
		}
	}
	for _, x := range []struct {
		name string
		ns   *os.File
		to   string
		cut  func(*dataplane.VPC)
		same bool // it makes no difference
	}{
		{"sender's subnet, outward", one, "10.0.2.10", acl(0, outward), false},
		{"sender's subnet, inward", one, "10.0.2.10", acl(0, inward), false},
		{"receiver's subnet, outward", one, "10.0.2.10", acl(1, outward), false},
		{"receiver's subnet, inward", one, "10.0.2.10", acl(1, inward), false},
		{"endpoint, sender's subnet, outward", one, "10.0.2.20", acl(0, outward), false},
		{"endpoint, sender's subnet, inward", one, "10.0.2.20", acl(0, inward), false},
		{"endpoint, its subnet, outward", one, "10.0.2.20", acl(1, outward), false},
		{"endpoint, its subnet, inward", one, "10.0.2.20", acl(1, inward), false},
		{"endpoint of the same subnet", one, "10.0.1.20", func(v *dataplane.VPC) { acl(0, outward)(v); acl(0, inward)(v) }, true},
		{"group", one, "10.0.2.10", func(v *dataplane.VPC) { v.Groups[0].Egress, v.Groups[1].Ingress = nil, nil }, true},
		{"public address", two, "203.0.113.1", func(v *dataplane.VPC) { v.Publics = nil }, false},
		{"internet gateway", two, "203.0.113.1", func(v *dataplane.VPC) { v.InternetGateway = "" }, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			conn, err := dialFrom(x.ns, "", x.to+":443", 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := echo(conn, 5*time.Second); err != nil {
				t.Fatal(err)
			}
			v := config()
			x.cut(v)
			next := New(v, nil)
			if _, err := c.Apply(t.Context(), table, next); err != nil {
				t.Fatal(err)
			}
			wait := 150 * time.Millisecond
			if x.same {
				wait = 5 * time.Second
			}
			if err := echo(conn, wait); (err == nil) != x.same {
				t.Errorf("after the cut: %v", err)
			}
			if _, err := c.Apply(t.Context(), next, table); err != nil {
				t.Fatal(err)
			}
			if err := echo(conn, 5*time.Second); err != nil {
				t.Errorf("after the cut is mended: %v", err)
			}
		})
	}
}
