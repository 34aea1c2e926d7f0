package linux_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux"
)

// crowd is a VPC with 50 subnets with a route table each, 500 interfaces of bare machines, 50 groups and 1,000 rules, of which 200 are references.
func crowd() *dataplane.Config {
	c := &dataplane.Config{VPCs: make([]dataplane.VPC, 1)}
	v := &c.VPCs[0]
	*v = dataplane.VPC{ID: "vpc-crowd", Number: 1, CIDRs: []netip.Prefix{px("10.0.0.0/16")}, DNS: true, ACLs: []dataplane.ACL{openACL("acl-1")}}
	for i := range 50 {
		g := dataplane.Group{ID: fmt.Sprintf("sg-%017x", i), Egress: open}
		for j := range 15 {
			g.Ingress = append(g.Ingress, tcp(1000+j, fmt.Sprintf("10.0.%d.0/24", (i+j)%50)))
		}
		for j := range 4 {
			g.Ingress = append(g.Ingress, tcp(7000, fmt.Sprintf("sg-%017x", (i+j)%50)))
		}
		v.Groups = append(v.Groups, g)
		v.RouteTables = append(v.RouteTables, dataplane.RouteTable{ID: fmt.Sprintf("rtb-%017x", i), Number: i + 1})
		v.Subnets = append(v.Subnets, dataplane.Subnet{
			ID: fmt.Sprintf("subnet-%017x", i), CIDR: px(fmt.Sprintf("10.0.%d.0/24", i)), RouteTable: fmt.Sprintf("rtb-%017x", i), ACL: "acl-1"})
		for j := range 10 {
			groups := []string{g.ID}
			if j%2 == 0 {
				groups = append(groups, fmt.Sprintf("sg-%017x", (i+1)%50))
			}
			guest(c, v, fmt.Sprintf("%017x", i*10+j), fmt.Sprintf("subnet-%017x", i), fmt.Sprintf("10.0.%d.%d", i, 10+j), groups...)
		}
	}
	eni(v, dataplane.Interface{Subnet: v.Subnets[0].ID, Kind: dataplane.Endpoint, Groups: []string{"sg-all"}, Owner: "vpce-1"}, "10.0.0.200")
	v.Groups = append(v.Groups, dataplane.Group{ID: "sg-all", Ingress: open, Egress: open})
	v.Interfaces[0].Groups, v.Interfaces[20].Groups = []string{"sg-all"}, []string{"sg-all"}
	return c
}

// middle is the middle of some times, and the best.
func middle(times []time.Duration) (median, best time.Duration) {
	slices.Sort(times)
	return times[len(times)/2], times[0]
}

// TestBench measures, with VENNEL_BENCH=1, what Set takes on a large VPC, and what the way to an endpoint costs.
func TestBench(t *testing.T) {
	if os.Getenv("VENNEL_BENCH") != "1" {
		t.Skip("measures with VENNEL_BENCH=1")
	}
	need(t)
	o := linux.Options{Dir: t.TempDir(), Prefix: newPrefix(), Log: slog.New(slog.DiscardHandler)}
	h, err := linux.New(o)
	if err != nil {
		t.Fatal(err)
	}
	c := crowd()
	l := &lab{t, &bench{config: c, host: h, options: o, serving: map[string]uint64{}}}
	t.Cleanup(func() { l.end() })
	set := func() time.Duration {
		began := time.Now()
		status, err := l.host.Set(t.Context(), c)
		took := time.Since(began)
		if err != nil || len(status.Failures) > 0 {
			t.Fatal(err, status.Failures)
		}
		return took
	}
	t.Logf("building 50 subnets, 500 interfaces, 1,000 rules: %v", set())
	v := &c.VPCs[0]
	measure := func(what string, n int, change func(i int)) (best time.Duration) {
		var times []time.Duration
		for i := range n {
			change(i)
			times = append(times, set())
		}
		median, best := middle(times)
		t.Logf("%s: median %v, best %v", what, median, best)
		return best
	}
	on := l.talk(v.Interfaces[0].Machine, v.Interfaces[20].Machine, "10.0.2.10:7000")
	measure("nothing", 200, func(int) {})
	if rule := measure("a rule", 200, func(i int) {
		g := &v.Groups[0]
		if i%2 == 0 {
			g.Ingress = append(g.Ingress, tcp(5000+i, "10.0.7.0/24"))
		} else {
			g.Ingress = g.Ingress[:len(g.Ingress)-1]
		}
	}); rule > time.Millisecond {
		t.Errorf("a rule takes %v at best, want a millisecond", rule)
	}
	measure("a member", 200, func(i int) {
		if g := &v.Groups[1]; i%2 == 0 {
			g.Members = []netip.Addr{ip("10.9.9.9")}
		} else {
			g.Members = nil
		}
	})
	measure("the groups of an interface", 100, func(i int) {
		v.Interfaces[33].Groups = []string{v.Groups[i%2*5].ID}
	})
	last := v.Interfaces[len(v.Interfaces)-2]
	measure("an interface", 20, func(i int) {
		if i%2 == 0 {
			v.Interfaces = slices.DeleteFunc(slices.Clone(v.Interfaces), func(n dataplane.Interface) bool { return n.ID == last.ID })
		} else {
			v.Interfaces = append(v.Interfaces, last)
		}
	})
	began := time.Now()
	if n, err := l.host.Repair(t.Context()); n != 0 || err != nil {
		t.Errorf("%d to repair: %v", n, err)
	}
	t.Logf("looking at everything: %v", time.Since(began))
	worst := on.end()
	t.Logf("a connection meanwhile: slowest answer %v", worst)
	l.again()
	t.Logf("a new host: %v", set())

	ratio := l.ratio(v.Interfaces[0].Machine, v.Interfaces[20].Machine, "10.0.2.10:9000", "10.0.0.200:443")
	t.Logf("endpoint path: %.2f of routed", ratio)
	if ratio < 0.9 {
		t.Errorf("the way to an endpoint has %.2f of the routed one's throughput, want 0.9", ratio)
	}
	began = time.Now()
	c.VPCs, c.Machines = nil, nil
	set()
	t.Logf("removing it: %v", time.Since(began))
}

// talker talks all the time.
type talker struct {
	stop chan struct{}
	done chan time.Duration
	t    testing.TB
}

// talk has one guest talk to another.
func (l *lab) talk(from, to, address string) *talker {
	l.serve(to)
	on := l.call(from, address)
	k := &talker{make(chan struct{}), make(chan time.Duration), l.t}
	go func() { // end waits for it
		var worst time.Duration
		for {
			select {
			case <-k.stop:
				k.done <- worst
				return
			default:
			}
			began := time.Now()
			if err := on.says(patience); err != nil {
				l.t.Errorf("a connection has broken: %v", err)
			}
			worst = max(worst, time.Since(began))
			time.Sleep(500 * time.Microsecond)
		}
	}()
	return k
}

// end stops talking and says how long the slowest answer took.
func (k *talker) end() time.Duration {
	close(k.stop)
	return <-k.done
}

// ratio compares how fast bytes flow to an endpoint with how fast they flow to a guest.
func (l *lab) ratio(from, to, routed, endpoint string) float64 {
	drain := func(s net.Listener) {
		l.keep(s)
		l.wait.Go(func() {
			for {
				c, err := s.Accept()
				if err != nil {
					return
				}
				l.wait.Go(func() { defer c.Close(); _, _ = io.Copy(io.Discard, c) })
			}
		})
	}
	l.in(to, func() error {
		s, err := net.Listen("tcp4", strings.Replace(routed, strings.Split(routed, ":")[0], "0.0.0.0", 1))
		if err == nil {
			drain(s)
		}
		return err
	})
	for _, s := range l.config.Sockets() {
		if s.Role == dataplane.Front {
			n, err := l.host.Listener(s)
			if err != nil {
				l.t.Fatal(err)
			}
			drain(n)
		}
	}
	speed := func(address string) float64 {
		c, err := l.dial(from, "tcp", address, patience)
		if err != nil {
			l.t.Fatal(err)
		}
		defer c.Close()
		b := make([]byte, 1<<20)
		began, n := time.Now(), 0
		for time.Since(began) < 500*time.Millisecond {
			m, err := c.Write(b)
			if err != nil {
				l.t.Fatal(err)
			}
			n += m
		}
		return float64(n) / time.Since(began).Seconds()
	}
	var direct, through float64 // the best of each, in turn, because others use this machine too
	for range 6 {
		direct, through = max(direct, speed(routed)), max(through, speed(endpoint))
	}
	l.t.Logf("routed %.1f Gbit/s, endpoint %.1f Gbit/s", direct*8e-9, through*8e-9)
	return through / direct
}
