// Package memnet is a network in memory: a listener and its dialler, joined by pipes. Servers and
// clients of net/http work on it, and so does fake time.
package memnet

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// Listener accepts the connections that its Dial makes.
type Listener struct {
	From netip.Addr // where connections come from; the zero value is the loopback address

	accept chan net.Conn
	done   chan struct{}
	once   sync.Once
}

// Listen gives a listener.
func Listen() *Listener { return &Listener{accept: make(chan net.Conn), done: make(chan struct{})} }

// Accept waits for a connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and Dial.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr is a name only.
func (l *Listener) Addr() net.Addr { return addr{} }

// Dial connects to the listener; the address is of no matter.
func (l *Listener) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 1)
	if l.From.IsValid() {
		here = netip.AddrPortFrom(l.From, 1)
	}
	return l.DialAs(ctx, here, here)
}

// DialAs connects from one address to another, as the accepting side sees them.
func (l *Listener) DialAs(ctx context.Context, from, to netip.AddrPort) (net.Conn, error) {
	server, client := net.Pipe()
	select {
	case l.accept <- conn{server, from, to}:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// conn is a pipe that says where it comes from and goes to as a TCP connection would.
type conn struct {
	net.Conn
	from, to netip.AddrPort
}

// RemoteAddr is where it comes from.
func (c conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.from) }

// LocalAddr is where it goes to.
func (c conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.to) }

// addr is the address of a listener in memory.
type addr struct{}

// Network is "memory".
func (addr) Network() string { return "memory" }

// String is "memory".
func (addr) String() string { return "memory" }
