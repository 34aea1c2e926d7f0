package datachannel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// PortConn is one connection of a port session. CloseWrite ends one direction; its error is errors.ErrUnsupported when
// the other end is AWS's, which can only close both.
type PortConn interface {
	net.Conn
	CloseWrite() error
}

// The version of AWS's peers from which on they do not expect smux to keep itself alive. source: agent
var (
	agentQuiet  = []int{3, 1, 1511, 1}
	clientQuiet = []int{1, 2, 331, 1}
)

// ports are the connections of a port session: any number in a multiplexer, or one at a time.
type ports struct {
	mu   sync.Mutex // guards the rest
	over bool
	mux  *mux // nil with one at a time

	single  bool
	channel *Channel
	current *singleConn // of an agent: nil when the next input begins another
	accept  chan *singleConn
	free    chan struct{} // of a client: it may open one
}

// begin decides how connections are carried.
func (p *ports) begin(c *Channel, client, extended, many, old bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.over:
	case extended || many:
		p.mux = newMux(c, client, extended, old)
	case client:
		p.single, p.channel, p.free = true, c, make(chan struct{}, 1)
	default:
		p.single, p.channel, p.accept = true, c, make(chan *singleConn, 1)
		p.current = newSingle(p, c, newInbox(c, nil))
		p.accept <- p.current
	}
}

// close ends all connections. err is what reading gives where the client has not ended what it sends.
func (p *ports) close(err error) {
	p.mu.Lock()
	p.over = true
	m, current := p.mux, p.current
	p.mu.Unlock()
	if m != nil {
		m.end(err)
	}
	if current != nil {
		current.in.end(err)
	}
}

// muxer gives the multiplexer, nil if there is none.
func (p *ports) muxer() *mux {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mux
}

// arrived takes what came. What comes to an agent with one connection at a time begins one if there is none.
func (p *ports) arrived(in *inbox, r *received) {
	p.mu.Lock()
	m := p.mux
	switch {
	case m != nil:
		p.mu.Unlock()
		m.input(r)
		return
	case p.accept == nil:
		p.mu.Unlock()
		in.put(r)
		return
	}
	defer p.mu.Unlock()
	if p.current == nil {
		next := newSingle(p, p.channel, newInbox(p.channel, nil))
		select {
		case p.accept <- next:
			p.current = next
		default: // one that has ended before it was accepted still waits: nobody wants this one
			p.channel.consume(r)
			return
		}
	}
	p.current.in.put(r)
}

// refused takes an AWS agent's word that a connection could not be made.
func (p *ports) refused() {
	if m := p.muxer(); m != nil {
		m.refused()
	}
}

// disconnected takes the client's word that its connection has ended; the next input begins another.
func (p *ports) disconnected() {
	p.mu.Lock()
	current := p.current
	p.current = nil
	p.mu.Unlock()
	if current != nil {
		current.in.end(io.EOF)
	}
}

// beginPorts decides how connections are carried, after the handshake of a port session.
func (s *Session) beginPorts() {
	if s.Kind == Port {
		s.ports.begin(s.channel, true, s.Extended, isForwarding(s.Properties) && atLeast(s.AgentVersion, agentMux), !atLeast(s.AgentVersion, agentQuiet))
	}
}

// OpenPort opens a connection to the port of a port session, which the node makes meanwhile: the first Read tells of a
// refusal. With an AWS agent that knows only one connection at a time it waits for the last one to close.
func (s *Session) OpenPort(ctx context.Context) (PortConn, error) {
	if s.Kind != Port {
		return nil, fmt.Errorf("a session of type %s has no port", s.Kind)
	}
	if m := s.ports.muxer(); m != nil {
		return m.open()
	}
	select {
	case s.ports.free <- struct{}{}:
	case <-s.channel.Done():
		return nil, s.channel.reason()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	conn := newSingle(&s.ports, s.channel, s.out)
	conn.free, conn.tell = s.ports.free, isForwarding(s.Properties)
	return conn, nil
}

// beginPorts decides how connections are carried, after the handshake of a port session.
func (a *AgentSession) beginPorts() {
	if a.o.Kind == Port {
		a.ports.begin(a.channel, false, a.extended, isForwarding(a.port) && atLeast(a.clientVersion, clientMux), !atLeast(a.clientVersion, clientQuiet))
	}
}

// Accept waits for the next connection of a port session. Whoever cannot make it to the port calls refuse, and whoever can
// closes it in the end. A session with one connection at a time gives the first at once, because its port may speak first.
// The error is io.EOF when the session has ended.
func (a *AgentSession) Accept(ctx context.Context) (conn PortConn, refuse func(error), err error) {
	a.ports.mu.Lock()
	m, single := a.ports.mux, a.ports.accept
	a.ports.mu.Unlock()
	if m == nil && single == nil {
		return nil, nil, fmt.Errorf("a session of type %s has no port, and none has before its handshake", a.o.Kind)
	}
	var many chan *stream
	if m != nil {
		many = m.accept
	}
	select {
	case s := <-many:
		return s, s.refuse, nil
	case s := <-single:
		return s, func(error) { _ = s.Close() }, nil
	case <-a.channel.Done():
		return nil, nil, io.EOF
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
}

// singleConn is the only connection of a session, or one at a time.
type singleConn struct {
	p    *ports
	c    *Channel
	in   *inbox
	free chan struct{} // of a client: taken while the connection is open
	tell bool          // the agent wants to know of the end
	ends
	once   sync.Once
	closed chan struct{}
}

// newSingle makes a connection.
func newSingle(p *ports, c *Channel, in *inbox) *singleConn {
	return &singleConn{p: p, c: c, in: in, ends: newEnds(), closed: make(chan struct{})}
}

// Read reads.
func (s *singleConn) Read(b []byte) (int, error) {
	n, err := s.in.read(s.reads.done(), b)
	return n, s.failed(err)
}

// Write writes.
func (s *singleConn) Write(b []byte) (int, error) {
	select {
	case <-s.closed:
		return 0, net.ErrClosed
	default:
	}
	n, err := s.c.append(s.writes.done(), PayloadOutput, b)
	return n, s.failed(err)
}

// failed is the error of a deadline, or of Close.
func (s *singleConn) failed(err error) error {
	if !errors.Is(err, errGivenUp) {
		return err
	}
	select {
	case <-s.closed:
		return net.ErrClosed
	default:
		return os.ErrDeadlineExceeded
	}
}

// CloseWrite cannot be done.
func (s *singleConn) CloseWrite() error { return errors.ErrUnsupported }

// Close ends the connection. An agent's is followed by another when the client sends more; a client tells an agent that
// waits for another.
func (s *singleConn) Close() error {
	s.once.Do(func() {
		close(s.closed)
		s.reads.set(time.Unix(1, 0))
		s.writes.set(time.Unix(1, 0))
		if s.free == nil {
			s.p.mu.Lock()
			if s.p.current == s {
				s.p.current = nil
			}
			s.p.mu.Unlock()
			s.in.drop()
			return
		}
		if s.tell {
			s.in.skip()
			_, _ = s.c.sendLast(PayloadFlag, flag(flagDisconnect)) // nobody listens if there is no room for it
		}
		<-s.free
	})
	return nil
}
