package awstest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
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
	consoles  map[string]string                     // by machine; guarded by mu
	ran       map[string]int                        // which boot a machine that has a disk runs, or ran; guarded by mu
	ended     map[string]dataplane.MachineStatus    // the machines that have ended by themselves; guarded by mu
	listeners map[dataplane.Socket]*memnet.Listener // guarded by mu
}

// NewHost makes a host that carries nothing yet.
func NewHost() *Host {
	return &Host{
		fail: map[string]string{}, listeners: map[dataplane.Socket]*memnet.Listener{}, consoles: map[string]string{}, ran: map[string]int{},
		ended: map[string]dataplane.MachineStatus{},
	}
}

// Fail makes an object one that cannot be carried, from the next Set on, or all whose ids begin with what stands before a star; why
// is "" to mend it.
func (h *Host) Fail(id, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail[id] = why; why == "" {
		delete(h.fail, id)
	}
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
		prefix, many := strings.CutSuffix(id, "*")
		if !many {
			status.Failures[id] = why
			continue
		}
		for _, each := range idsOf(c) {
			if strings.HasPrefix(each, prefix) {
				status.Failures[each] = why
			}
		}
	}
	for i := range c.Machines {
		if m := &c.Machines[i]; m.Gone {
			delete(h.ran, m.ID)
			delete(h.ended, m.ID)
			delete(h.consoles, m.ID)
		} else if s, there := h.machine(m, status.Failures[m.ID]); there {
			status.Machines[m.ID] = s
		}
	}
	return status, nil
}

// idsOf are the ids of all objects that a host can fail to carry, but machines that are to end.
func idsOf(c *dataplane.Config) (ids []string) {
	for i := range c.VPCs {
		v := &c.VPCs[i]
		ids = append(ids, v.ID)
		for _, s := range v.Subnets {
			ids = append(ids, s.ID)
		}
		for _, n := range v.Interfaces {
			ids = append(ids, n.ID)
		}
		for _, g := range v.Gateways {
			ids = append(ids, g.ID)
		}
	}
	for _, p := range c.Peerings {
		ids = append(ids, p.ID)
	}
	for _, t := range c.Tunnels {
		ids = append(ids, t.ID)
	}
	for i := range c.Machines {
		if !c.Machines[i].Gone {
			ids = append(ids, c.Machines[i].ID)
		}
	}
	return ids
}

// machine is how a machine is once it has been set; one that has never run and is not to run is not there, nor one that fails.
// The caller holds h.mu.
func (h *Host) machine(m *dataplane.Machine, failure string) (s dataplane.MachineStatus, there bool) {
	boot, disk := h.ran[m.ID]
	if m.Stopped {
		delete(h.ended, m.ID)
		return dataplane.MachineStatus{Boot: boot}, disk
	}
	if e, ok := h.ended[m.ID]; ok && e.Boot == m.Boot {
		return e, true
	}
	delete(h.ended, m.ID)
	if failure != "" {
		return dataplane.MachineStatus{Boot: boot}, disk
	}
	h.ran[m.ID] = m.Boot
	return dataplane.MachineStatus{Running: true, Boot: m.Boot, Since: time.Now()}, true
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

// Console gives what a machine was made to say.
func (h *Host) Console(_ context.Context, id string) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return []byte(h.consoles[id]), nil
}

// Say makes a machine write to its console.
func (h *Host) Say(id, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.consoles[id] += text
}

// End lets a machine end by itself; it stays off until it is told to boot again.
func (h *Host) End(id, how string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended[id] = dataplane.MachineStatus{Boot: h.ran[id], Exit: how}
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
