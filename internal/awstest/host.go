package awstest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/internal/memnet"
)

// Host is a dataplane.Host without a kernel: whatever it is set to is true, but for what Fail names, and its sockets are in
// memory.
type Host struct {
	mu        sync.Mutex
	config    *dataplane.Config                     // set last; guarded by mu
	fail      map[string]string                     // what cannot be carried, and why; guarded by mu
	listeners map[dataplane.Socket]*memnet.Listener // guarded by mu
}

// NewHost makes a host that carries nothing yet.
func NewHost() *Host {
	return &Host{fail: map[string]string{}, listeners: map[dataplane.Socket]*memnet.Listener{}}
}

// Fail makes an object one that cannot be carried, from the next Set on.
func (h *Host) Fail(id, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail[id] = why
}

// Config is what the host was set to last.
func (h *Host) Config() *dataplane.Config {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.config
}

// Set makes a Config true.
func (h *Host) Set(_ context.Context, c *dataplane.Config) (dataplane.Status, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.config = c
	status := dataplane.Status{Failures: map[string]string{}, Machines: map[string]dataplane.MachineStatus{}}
	for id, why := range h.fail {
		status.Failures[id] = why
	}
	for i := range c.Machines {
		m := &c.Machines[i]
		if _, failed := h.fail[m.ID]; !failed {
			status.Machines[m.ID] = dataplane.MachineStatus{Running: !m.Stopped, Boot: m.Boot, Since: time.Now()}
		}
	}
	return status, nil
}

// Listener gives a socket in memory.
func (h *Host) Listener(s dataplane.Socket) (net.Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := memnet.Listen()
	h.listeners[s] = l
	return l, nil
}

// Packets gives a socket on which nothing comes.
func (h *Host) Packets(dataplane.Socket) (net.PacketConn, error) { return newQuiet(), nil }

// Dial reaches nobody.
func (h *Host) Dial(_ context.Context, c dataplane.Call) (net.Conn, error) {
	return nil, fmt.Errorf("there is no way to %s", c.To)
}

// Flows has none.
func (h *Host) Flows(ctx context.Context, _ func([]dataplane.Flow, int)) error {
	<-ctx.Done()
	return nil
}

// Connect connects to the services on an address of a VPC, from a private address of it.
func (h *Host) Connect(ctx context.Context, vpc string, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	h.mu.Lock()
	l := h.listeners[dataplane.Socket{
		VPC: vpc, Role: dataplane.Front, Network: "tcp", Address: netip.AddrPortFrom(netip.IPv4Unspecified(), to.Port()),
	}]
	h.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("nothing listens in %s", vpc)
	}
	return l.DialAs(ctx, netip.AddrPortFrom(from, 40000), to)
}

// quiet is a packet socket on which nothing comes.
type quiet struct {
	net.PacketConn // never used: what it has is below

	once sync.Once
	done chan struct{}
}

// newQuiet makes one.
func newQuiet() *quiet { return &quiet{done: make(chan struct{})} }

// ReadFrom waits until the socket is closed.
func (q *quiet) ReadFrom([]byte) (int, net.Addr, error) {
	<-q.done
	return 0, nil, net.ErrClosed
}

// LocalAddr is no address.
func (q *quiet) LocalAddr() net.Addr { return &net.UDPAddr{} }

// SetReadDeadline is of no matter.
func (q *quiet) SetReadDeadline(time.Time) error { return nil }

// Close ends ReadFrom.
func (q *quiet) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}
