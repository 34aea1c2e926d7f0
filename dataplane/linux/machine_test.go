package linux_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vennel/vennel/dataplane"
)

// TestMachines boots, reboots, stops and removes machines with processes.
func TestMachines(t *testing.T) {
	t.Parallel()
	c := world()
	l := newLab(t, c)
	m := dataplane.Machine{
		ID: "i-real", Name: "real", Boot: 1, Nameservers: []netip.Addr{ip("10.10.0.2")},
		Init: []string{"/bin/sh", "-c", "cat /sys/class/net/eth0/address > /address; exec sleep 1000"},
	}
	c.Machines = append(c.Machines, m)
	eni(vpc(c, "vpc-a"), dataplane.Interface{
		Subnet: "private", Kind: dataplane.Guest, Machine: "i-real", Groups: []string{"sg-open"}, MAC: "0a:12:34:56:78:9a",
	}, "10.10.1.60")
	at := func() *dataplane.Machine { return &c.Machines[len(c.Machines)-1] }
	check := func(what string, running bool, boot int) {
		t.Helper()
		status, err := l.host.Set(t.Context(), c)
		if err != nil || len(status.Failures) > 0 {
			t.Fatal(what, err, status.Failures)
		}
		if s := status.Machines["i-real"]; s.Running != running || s.Boot != boot || running == s.Since.IsZero() {
			t.Errorf("%s: %+v, want running %v, boot %d", what, s, running, boot)
		}
		wait := patience
		if !running {
			wait = silence
		}
		if l.ping("10.10.1.60", wait) != running {
			t.Errorf("%s: that it answers is %v", what, !running)
		}
	}
	other := l.call("i-a1", "10.10.1.11:7000")
	check("started", true, 1)
	on := l.call("i-a1", "10.10.2.10:7000")
	l.set()
	l.again()
	check("taken over", true, 1)
	at().Boot = 2
	check("rebooted", true, 2)
	if n, err := l.host.Repair(t.Context()); n != 0 || err != nil {
		t.Errorf("after a reboot %d things are to repair: %v", n, err)
	}
	at().Stopped = true
	check("stopped", false, 2)
	at().Stopped, at().Boot = false, 3
	check("started again", true, 3)
	root := filepath.Join(l.options.Dir, "machines", "i-real")
	found := ""
	l.eventually("what the first process saw", func() bool {
		_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Name() == "address" && !strings.Contains(path, "/sys/") {
				b, _ := os.ReadFile(path)
				found = strings.TrimSpace(string(b))
			}
			return nil
		})
		return found != ""
	})
	if found != "0a:12:34:56:78:9a" {
		t.Errorf("its first interface was %q when its first process started", found)
	}
	at().Gone = true
	v := vpc(c, "vpc-a")
	v.Interfaces = v.Interfaces[:len(v.Interfaces)-1]
	l.set()
	if _, err := os.Stat(root); err == nil {
		t.Error("a machine that is gone has a disk")
	}
	l.alive("another's connection", other)
	l.alive("another's connection that is younger", on)
}
