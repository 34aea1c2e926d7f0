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
	server, client := net.Pipe()
	select {
	case l.accept <- conn{server, l.From}:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// conn is a pipe that says where it comes from as a TCP connection would.
type conn struct {
	net.Conn
	from netip.Addr
}

// RemoteAddr is a loopback address, or the listener's From.
func (c conn) RemoteAddr() net.Addr {
	if c.from.IsValid() {
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.from, 1))
	}
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
}

// addr is the address of a listener in memory.
type addr struct{}

// Network is "memory".
func (addr) Network() string { return "memory" }

// String is "memory".
func (addr) String() string { return "memory" }
