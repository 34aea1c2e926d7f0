package linux_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux"
)

// again replaces the lab's Host with a new one, as a start of the program does.
func (l *lab) again() {
	l.t.Helper()
	if err := l.host.Close(); err != nil {
		l.t.Fatal(err)
	}
	h, err := linux.New(l.options)
	if err != nil {
		l.t.Fatal(err)
	}
	l.host = h
	for _, s := range l.config.Sockets() { // guests' servers are there still
		delete(l.serving, fmt.Sprint(s))
	}
}

// TestAdopt starts a second Host where a first has ended: it changes nothing, and connections go on.
func TestAdopt(t *testing.T) {
	t.Parallel()
	l := newLab(t, world())
	lines := map[string]*line{
		"between instances": l.call("i-a1", "10.10.2.10:7000"), "over peering": l.call("i-b1", "10.10.1.10:7000"),
		"through the NAT gateway": l.call("i-a1", ssm+":443"), "to an endpoint": l.call("i-a1", "10.10.3.20:443"),
		"to a gateway endpoint": l.call("i-a1", s3+":443"),
	}
	l.again()
	l.set()
	if n := l.host.Changes(); n != 0 {
		t.Errorf("a new host has made %d changes, want none", n)
	}
	for what, on := range lines {
		l.alive(what, on)
	}
	forward(l, "i-box")
	l.expect(standing...)
	l.set()
	if n, err := l.host.Repair(t.Context()); n != 0 || l.host.Changes() != 0 || err != nil {
		t.Errorf("setting the same again has made %d changes, and looking at everything %d: %v", l.host.Changes(), n, err)
	}

	// What has changed while nobody was there is made true, too.
	l.again()
	l.config.Peerings = l.config.Peerings[1:]
	l.config.VPCs = l.config.VPCs[:3]
	a := vpc(l.config, "vpc-a")
	group(a, "sg-web").Ingress = nil
	l.set()
	l.expect(
		check{"a peering that is gone", "i-a1", "10.20.1.10:7000", timeout},
		check{"a rule that is gone", "i-a1", "10.10.6.23:80", timeout},
		check{"what is the same", "i-a1", "10.10.3.20:443", front("vpc-a", "10.10.3.20", "10.10.1.10", "2")})
	l.alive("between instances", lines["between instances"])
	if ns, err := l.host.Netns("vpc-d"); err == nil {
		l.keep(ns)
		t.Error("a VPC that is gone has a network namespace")
	}
}

// TestDrift lets others change what is ours while the Host runs.
func TestDrift(t *testing.T) {
	t.Parallel()
	l := newLab(t, world())
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.host.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	on := l.call("i-b1", "10.20.1.11:7000")
	a := vpc(l.config, "vpc-a")
	dev := nftDevice(a, "10.10.1.10")
	reach := check{"", "i-a1", "10.10.2.10:7000", "10.10.1.10"}
	for _, d := range []struct {
		where string
		argv  []string
		check check
	}{
		{"i-a1", []string{"ip", "link", "del", "eth0"}, reach},
		{"vpc-a", []string{"ip", "link", "del", dev}, reach},
		{"vpc-a", []string{"ip", "link", "set", dev, "down"}, reach},
		{"vpc-a", []string{"ip", "link", "set", dev, "address", "06:00:00:00:00:99"}, reach},
		{"vpc-a", []string{"ip", "route", "del", "10.10.1.10", "table", "50"}, check{"", "i-iso", "10.10.1.10:7000", "10.10.2.10"}},
		{"vpc-a", []string{"ip", "route", "add", "blackhole", "10.20.1.10", "table", "10002"}, check{"", "i-a1", "10.20.1.10:7000", "10.10.1.10"}},
		{"vpc-a", []string{"ip", "route", "flush", "table", "10002"}, check{"", "i-a1", ssm + ":443", front("internet", ssm, natPublic, "0")}},
		{"vpc-a", []string{"ip", "rule", "del", "pref", "100"}, reach},
		{"vpc-a", []string{"ip", "rule", "add", "pref", "5", "blackhole"}, reach},
		{"vpc-a", []string{"ip", "addr", "del", "10.10.3.20/32", "dev", "lo"}, check{"", "i-a1", "10.10.3.20:443", front("vpc-a", "10.10.3.20", "10.10.1.10", "2")}},
		{"vpc-a", []string{"ip", "addr", "add", "10.10.2.10/32", "dev", "lo"}, reach},
		{"vpc-a", []string{"ip", "link", "del", "p1"}, check{"", "i-a1", "10.20.1.10:7000", "10.10.1.10"}},
		{"vpc-a", []string{"ip", "link", "del", "igw0"}, check{"", "i-web", ssm + ":443", front("internet", ssm, webPublic, "0")}},
		{"vpc-a", []string{"nft", "delete", "table", "ip", "vpc"}, check{"", "i-a1", "10.10.6.26:7000", timeout}},
		{"vpc-a", []string{"nft", "flush", "chain", "ip", "vpc", "forward"}, reach},
		{"vpc-a", []string{"nft", "add", "element", "ip", "vpc", "group_sg-client", "{ 10.10.6.11 }"}, check{"", "i-other", "10.10.6.20:7000", timeout}},
		{eniID(a, "10.10.0.30"), []string{"nft", "delete", "table", "ip", "guard"}, check{"", "i-a1", ssm + ":443", front("internet", ssm, natPublic, "0")}},
		{"site-1", []string{"ip", "link", "del", "t3"}, check{"", "i-a1", "192.168.0.10:7000", "10.10.1.10"}},
	} {
		l.run(d.where, d.argv...)
		l.eventually(strings.Join(d.argv, " "), func() bool {
			return l.probe(d.check.from, "tcp", d.check.to, 250*time.Millisecond) == d.check.want
		})
	}
	l.alive("a connection elsewhere", on)
	forward(l, "i-box")
	l.expect(standing...)

	// What the kernel does not tell of is found by looking at everything.
	for _, d := range []struct {
		where string
		argv  []string
	}{
		{"vpc-a", []string{"ip", "neigh", "del", "10.10.1.10", "dev", dev}},
		{"vpc-a", []string{"sysctl", "-qw", "net.ipv4.ip_early_demux=1"}},
		{"vpc-a", []string{"sysctl", "-qw", "net.ipv4.neigh." + dev + ".proxy_delay=80"}},
		{"i-a2", []string{"ip", "link", "set", "eth0", "name", "else0"}},
		{"i-a2", []string{"ip", "route", "del", "default"}},
	} {
		if d.argv[1] == "route" {
			l.run("i-a2", "ip", "route", "replace", "10.99.0.0/16", "via", "10.10.1.1") // its root's own, which stays
		}
		l.run(d.where, d.argv...)
		if n, err := l.host.Repair(t.Context()); n == 0 || err != nil {
			t.Errorf("%v: %d repaired: %v", d.argv, n, err)
		}
		if n, err := l.host.Repair(t.Context()); n != 0 || err != nil {
			t.Errorf("%v: %d repaired the second time: %v", d.argv, n, err)
		}
	}
	if !strings.Contains(l.run("i-a2", "ip", "route"), "10.99.0.0/16") {
		t.Error("a route that a machine's root has added is gone")
	}
	l.expect(standing...)
}

// names are the network namespaces of a Host.
func names(t *testing.T, o linux.Options) []string {
	t.Helper()
	var found []string
	for _, folder := range []string{"/run/netns", filepath.Join(o.Dir, "netns")} {
		list, err := filepath.Glob(filepath.Join(folder, o.Prefix+"*"))
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, list...)
	}
	return found
}

// TestRemove leaves nothing of a Host, and everything of another.
func TestRemove(t *testing.T) {
	t.Parallel()
	other := newLab(t, world())
	c := world()
	l := newLab(t, c)
	if os.Getuid() == 0 && os.Getenv(rootless) == "" {
		c.Machines = append(c.Machines, dataplane.Machine{ID: "i-real", Name: "real", Init: []string{"/bin/sleep", "1000"}})
		v := vpc(c, "vpc-a")
		eni(v, dataplane.Interface{Subnet: "private", Kind: dataplane.Guest, Machine: "i-real", Groups: []string{"sg-open"}}, "10.10.1.60")
		l.set()
		if !l.ping("10.10.1.60", patience) {
			t.Error("a machine that runs does not answer")
		}
	}
	if len(names(t, l.options)) < len(c.Machines) {
		t.Fatal("there are fewer names than machines")
	}
	if err := l.host.Close(); err != nil {
		t.Fatal(err)
	}
	h, err := linux.New(l.options) // one that has set nothing
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.host = nil
	if left := names(t, l.options); len(left) > 0 {
		t.Errorf("names are left: %v", left)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(mounts, []byte(l.options.Prefix)) || bytes.Contains(mounts, []byte(l.options.Dir)) {
		t.Errorf("mounts are left:\n%s", mounts)
	}
	if left, err := os.ReadDir(l.options.Dir); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
	if _, err := h.Set(t.Context(), c); err == nil {
		t.Error("a host that is removed sets")
	}
	other.expect(check{"another host", "i-a1", "10.10.2.10:7000", "10.10.1.10"})
	if n, err := other.host.Repair(t.Context()); n != 0 || err != nil {
		t.Errorf("another host has %d things to repair: %v", n, err)
	}
}

// setForever is a program that makes one world after another true, until it is killed.
func setForever() {
	ctx := context.Background()
	h, err := linux.New(linux.Options{Dir: os.Getenv("DIR"), Prefix: os.Getenv("PREFIX"), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		panic(err)
	}
	for {
		if _, err := h.Set(ctx, someWorld()); err != nil {
			panic(err)
		}
	}
}

// someWorld is a world of which something is missing.
func someWorld() *dataplane.Config {
	c := world()
	some := func(n int) bool { return rand.IntN(n) == 0 }
	for i := range c.VPCs {
		v := &c.VPCs[i]
		v.DNS = v.DNS && !some(5)
		v.Interfaces = keep(v.Interfaces, func() bool { return !some(8) })
		v.Groups = keep(v.Groups, func() bool { return !some(8) })
		v.RouteTables = keep(v.RouteTables, func() bool { return !some(8) })
		v.Publics = keep(v.Publics, func() bool { return !some(4) })
		if some(4) {
			v.InternetGateway = ""
		}
	}
	c.VPCs = keep(c.VPCs, func() bool { return !some(6) })
	c.Peerings = keep(c.Peerings, func() bool { return !some(3) })
	c.Tunnels = keep(c.Tunnels, func() bool { return !some(3) })
	c.Sites = keep(c.Sites, func() bool { return !some(8) })
	c.Machines = keep(c.Machines, func() bool { return !some(8) })
	return c
}

// keep keeps some elements of a list.
func keep[T any](list []T, chosen func() bool) []T {
	var kept []T
	for _, e := range list {
		if chosen() {
			kept = append(kept, e)
		}
	}
	return kept
}

// TestKill kills a program that sets, at random points: whatever it leaves, one Set makes it right.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := 6
	if os.Getenv("VENNEL_SOAK") == "1" {
		rounds = 100
	}
	l := newLab(t, world())
	for round := range rounds {
		if err := l.host.Close(); err != nil {
			t.Fatal(err)
		}
		for range 1 + rand.IntN(3) {
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
			cmd.Env = append(os.Environ(), helper+"=set", "DIR="+l.options.Dir, "PREFIX="+l.options.Prefix)
			var said bytes.Buffer
			cmd.Stderr = io.Writer(&said)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(20+rand.IntN(500)) * time.Millisecond)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			err := cmd.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("it ended before it was killed: %v\n%s", err, &said)
			}
		}
		l.again()
		l.set()
		if n, err := l.host.Repair(t.Context()); n != 0 || err != nil {
			t.Errorf("round %d: after a Set the kernel differs in %d things: %v", round, n, err)
		}
	}
	forward(l, "i-box")
	l.expect(standing...)
}

// TestWander makes one world after another true, with parts missing at random: each is what a look at the kernel finds, none
// leaves files open, and what is in all of them goes on.
func TestWander(t *testing.T) {
	t.Parallel()
	rounds := 15
	if os.Getenv("VENNEL_SOAK") == "1" {
		rounds = 300
	}
	need(t)
	o := linux.Options{Dir: t.TempDir(), Prefix: newPrefix(), Log: slog.New(slog.DiscardHandler)}
	h, err := linux.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t, &bench{host: h, options: o, serving: map[string]uint64{}}}
	t.Cleanup(l.end)
	for round := range rounds {
		c := someWorld()
		if _, err := h.Set(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if n, err := h.Repair(t.Context()); n != 0 || err != nil {
			t.Errorf("round %d: after a Set the kernel differs in %d things: %v", round, n, err)
		}
		spaces := len(c.VPCs) + len(c.Sites) + 1
		for i := range c.Machines {
			if c.Machines[i].Site == "" || len(c.Sites) > 0 { // a host of a site that is not there is nowhere
				spaces++
			}
		}
		for i := range c.VPCs {
			for _, n := range c.VPCs[i].Interfaces {
				if n.Kind == dataplane.NAT {
					spaces++
				}
			}
		}
		if got := len(names(t, o)); got != spaces {
			t.Errorf("round %d: %d network namespaces, want %d", round, got, spaces)
		}
	}
	if _, err := h.Set(t.Context(), &dataplane.Config{}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, o); len(got) != 1 {
		t.Errorf("of an empty world there is %v", got)
	}
}
