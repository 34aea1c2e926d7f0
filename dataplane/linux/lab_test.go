package linux_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux"
	"github.com/vennel/vennel/dataplane/linux/netns"
)

// How long a test waits for an answer that should come, and for one that should not.
const (
	patience = 30 * time.Second
	silence  = 400 * time.Millisecond
)

// lab is a Host with servers on every guest.
type lab struct {
	t testing.TB
	*bench
}

// bench is what a lab and the labs of its subtests share.
type bench struct {
	host    *linux.Host
	options linux.Options
	config  *dataplane.Config
	mu      sync.Mutex
	open    []io.Closer
	serving map[string]uint64 // guests, by their namespace; and sockets
	wait    sync.WaitGroup
	hops    atomic.Int32 // the hop limit of what the metadata service says; 0 for the usual
}

// newLab makes a Config true and lets everybody in it answer.
func newLab(t testing.TB, c *dataplane.Config) *lab {
	t.Helper()
	need(t)
	l := &lab{t, &bench{config: c, serving: map[string]uint64{}}}
	l.options = linux.Options{Dir: t.TempDir(), Prefix: newPrefix(), Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	h, err := linux.New(l.options)
	if err != nil {
		t.Fatal(err)
	}
	l.host = h
	t.Cleanup(l.end)
	l.set()
	return l
}

// with is the same lab in a subtest.
func (l *lab) with(t testing.TB) *lab { return &lab{t, l.bench} }

// end removes everything and says what is left.
func (l *lab) end() {
	if l.host != nil {
		if err := l.host.Remove(context.Background()); err != nil {
			l.t.Errorf("removing: %v", err)
		}
	}
	l.mu.Lock()
	open := l.open
	l.mu.Unlock()
	for _, c := range open {
		_ = c.Close() // some have been closed where they were used
	}
	l.wait.Wait()
}

// set makes the Config true; nothing of it may fail.
func (l *lab) set() {
	l.t.Helper()
	status, err := l.host.Set(l.t.Context(), l.config)
	if err != nil {
		l.t.Fatal(err)
	}
	for id, why := range status.Failures {
		l.t.Errorf("%s: %s", id, why)
	}
	there := map[string]uint64{}
	for i := range l.config.Machines {
		m := &l.config.Machines[i]
		if len(m.Init) > 0 || m.Stopped {
			continue
		}
		if there[m.ID] = l.inode(m.ID); l.serving[m.ID] != there[m.ID] {
			l.serve(m.ID)
		}
	}
	for _, s := range l.config.Sockets() {
		key := fmt.Sprint(s)
		if there[key] = 1; l.serving[key] == 0 {
			l.answer(s)
		}
	}
	l.serving = there
}

// netns opens a namespace for the length of the test.
func (l *lab) netns(id string) *os.File {
	l.t.Helper()
	ns, err := l.host.Netns(id)
	if err != nil {
		l.t.Fatalf("%s: %v", id, err)
	}
	l.keep(ns)
	return ns
}

// inode tells a machine's namespace from its last.
func (l *lab) inode(id string) uint64 {
	l.t.Helper()
	at, err := l.netns(id).Stat()
	if err != nil {
		l.t.Fatal(err)
	}
	return at.Sys().(*syscall.Stat_t).Ino
}

// keep closes something at the end.
func (l *lab) keep(c io.Closer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = append(l.open, c)
}

// ports are those on which guests answer, by TCP and UDP.
var ports = []int{53, 80, 443, 7000, 7001}

// serve has a guest answer on its ports: whoever connects is told where it comes from, and hears what it says.
func (l *lab) serve(id string) {
	l.t.Helper()
	ns := l.netns(id)
	err := netns.Do(ns, func() error {
		for _, port := range ports {
			tcp, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port))
			if err != nil {
				return err
			}
			udp, err := net.ListenPacket("udp4", fmt.Sprintf("0.0.0.0:%d", port))
			if err != nil {
				return err
			}
			l.accept(tcp, func(c net.Conn) string { return addr(c.RemoteAddr()) })
			l.receive(udp)
		}
		return nil
	})
	if err != nil {
		l.t.Fatalf("%s: %v", id, err)
	}
}

// addr is an address without its port.
func addr(a net.Addr) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	return ap.Addr().Unmap().String()
}

// accept greets whoever connects and says again what it says, until the end.
func (l *lab) accept(s net.Listener, greeting func(net.Conn) string) {
	l.keep(s)
	l.wait.Go(func() {
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			l.keep(c)
			l.wait.Go(func() {
				defer c.Close()
				if _, err := fmt.Fprintln(c, greeting(c)); err == nil {
					_, _ = io.Copy(c, c)
				}
			})
		}
	})
}

// receive answers every packet with where it came from.
func (l *lab) receive(s net.PacketConn) {
	l.keep(s)
	l.wait.Go(func() {
		b := make([]byte, 64<<10)
		for {
			_, from, err := s.ReadFrom(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_, _ = s.WriteTo([]byte(addr(from)), from)
			}
		}
	})
}

// answer has one of the Config's sockets answer: with the role, the VPC, and the addresses of both sides; the services also say the mark.
func (l *lab) answer(s dataplane.Socket) {
	l.t.Helper()
	if s.Network == "udp" {
		p, err := l.host.Packets(s)
		if err != nil {
			l.t.Fatal(err)
		}
		l.receive(p)
		return
	}
	n, err := l.host.Listener(s)
	if err != nil {
		l.t.Fatal(err)
	}
	l.accept(n, func(c net.Conn) string {
		if n := int(l.hops.Load()); n > 0 && s.Role == dataplane.Metadata {
			limit(c, n)
		}
		at := s.VPC
		if at == "" {
			at = "internet"
		}
		return fmt.Sprintf("%s %s %s from %s mark %d", s.Role, at, addr(c.LocalAddr()), addr(c.RemoteAddr()), mark(c))
	})
}

// limit sets the hop limit of a connection's packets.
func limit(c net.Conn, hops int) {
	if raw, err := c.(syscall.Conn).SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TTL, hops) })
	}
}

// mark is the mark of a connection.
func mark(c net.Conn) int {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return -1
	}
	m := -1
	_ = raw.Control(func(fd uintptr) { m, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK) })
	return m
}

// dial connects from a namespace; the connection lasts as long as the test.
func (l *lab) dial(from, network, to string, wait time.Duration) (net.Conn, error) {
	ns, err := l.host.Netns(from)
	if err != nil {
		return nil, err
	}
	defer func() { _ = ns.Close() }() // only read
	var c net.Conn
	err = netns.Do(ns, func() (err error) {
		d := net.Dialer{Timeout: wait, FallbackDelay: -1}
		c, err = d.Dial(network+"4", to)
		return err
	})
	if err == nil {
		l.keep(c)
	}
	return c, err
}

// Results of a probe that got no greeting.
const (
	timeout = "timeout"
	refused = "refused"
)

// probe connects, and says how it was greeted or why not. A UDP probe sends one packet.
func (l *lab) probe(from, network, to string, wait time.Duration) string {
	c, err := l.dial(from, network, to, wait)
	if err != nil {
		return outcome(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(wait))
	if network == "udp" {
		if _, err := c.Write([]byte("?")); err != nil {
			return outcome(err)
		}
		b := make([]byte, 256)
		n, err := c.Read(b)
		if err != nil {
			return outcome(err)
		}
		return string(b[:n])
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return outcome(err)
	}
	return strings.TrimSpace(line)
}

// outcome is an error in a word.
func outcome(err error) string {
	var e net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF):
		return refused
	case errors.As(err, &e) && e.Timeout(), errors.Is(err, syscall.EHOSTUNREACH): // nobody has answered, not even to ARP
		return timeout
	}
	return err.Error()
}

// check is one expectation: who asks, whom, and what comes of it.
type check struct {
	name     string
	from, to string // "tcp 10.0.0.1:443"; TCP when the network is not said
	want     string
}

// expect tries all of them at once.
func (l *lab) expect(checks ...check) {
	l.t.Helper()
	for _, failed := range l.failing(checks...) {
		l.t.Error(failed)
	}
}

// failing tries expectations all at once and gives those that fail, in order.
func (l *lab) failing(checks ...check) []string { return l.try(patience, checks) }

// hasty is failing for expectations that are to fail: nobody waits long for what should come.
func (l *lab) hasty(checks ...check) []string { return l.try(silence, checks) }

// try tries expectations, and waits so long for what should come.
func (l *lab) try(long time.Duration, checks []check) []string {
	results := make([]string, len(checks))
	var wait sync.WaitGroup
	turn := make(chan struct{}, 64)
	for i, c := range checks {
		wait.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			network, to, ok := strings.Cut(c.to, " ")
			if !ok {
				network, to = "tcp", c.to
			}
			wait := long
			if c.want == timeout {
				wait = silence
			}
			if got := l.probe(c.from, network, to, wait); got != c.want {
				results[i] = fmt.Sprintf("%s: from %s to %s: %q, want %q", c.name, c.from, c.to, got, c.want)
			}
		})
	}
	wait.Wait()
	var failed []string
	for _, r := range results {
		if r != "" {
			failed = append(failed, r)
		}
	}
	return failed
}
