package datachannel

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// relay is a service in memory that joins the two ends of a session. It keeps nothing: what comes while the
// other end is away is lost, as are the frames that its faults drop.
type relay struct {
	t       testing.TB
	rewrite func(*Message) // changes what is passed on; nil for nothing

	mu      sync.Mutex           // guards the rest
	faults  func(*Message) fault // nil for none
	ends    [2]*memoryConn
	dials   [2]int
	refuse  error
	sent    [2][]*Message // all that came, if record
	record  bool
	state   []string
	offline bool
	closed  *Message // channel_closed, once it was sent
}

// fault is what happens to a frame on its way.
type fault struct {
	drop  bool
	twice bool
	late  time.Duration
	kill  bool // both connections, before the frame
}

// random gives faults with some probabilities, in parts of a thousand.
func random(seed uint64, drop, twice, late, kill int) func(*Message) fault {
	r := rand.New(rand.NewPCG(seed, 1))
	of := func(part int) bool { return r.IntN(1000) < part }
	return func(*Message) fault {
		f := fault{drop: of(drop), twice: of(twice), kill: of(kill)}
		if of(late) {
			f.late = time.Duration(r.IntN(200)) * time.Millisecond
		}
		return f
	}
}

// memoryConn is one end of a connection to the relay.
type memoryConn struct {
	r    *relay
	role Role
	in   chan *Message
	ping chan func()
	gone chan struct{}
	once sync.Once
	deaf bool // what is sent on it arrives nowhere, and nothing comes; guarded by r.mu
}

// dial connects an end.
func (r *relay) dial(role Role) Dial {
	return func(context.Context) (Conn, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.refuse != nil {
			return nil, r.refuse
		}
		if r.offline {
			return nil, io.ErrUnexpectedEOF
		}
		c := &memoryConn{r: r, role: role, in: make(chan *Message, 64), ping: make(chan func(), 1), gone: make(chan struct{})}
		if old := r.ends[role]; old != nil {
			_ = old.Close()
		}
		r.ends[role] = c
		r.dials[role]++
		if r.closed != nil {
			c.in <- r.closed
		}
		return c, nil
	}
}

// with gives the relay other faults.
func (r *relay) with(faults func(*Message) fault) {
	r.mu.Lock()
	r.faults = faults
	r.mu.Unlock()
}

// kill breaks the connection of an end.
func (r *relay) kill(role Role) {
	r.mu.Lock()
	c := r.ends[role]
	r.mu.Unlock()
	if c != nil {
		_ = c.Close()
	}
}

// cut breaks both connections, and lets no others be made until it is given false.
func (r *relay) cut(offline bool) {
	r.mu.Lock()
	r.offline = offline
	r.mu.Unlock()
	if offline {
		r.kill(Client)
		r.kill(Agent)
	}
}

// close sends channel_closed to both ends, also to one that comes later.
func (r *relay) close(output string) {
	m := &Message{Type: typeClosed, Schema: 1, Created: time.Now(), ID: [16]byte{1}, Payload: []byte(`{"MessageType":"channel_closed","Output":"` + output + `"}`)}
	r.mu.Lock()
	r.closed = m
	r.mu.Unlock()
	for role := range r.ends {
		r.to(Role(role), m)
	}
}

// to gives a message to an end, if it is there.
func (r *relay) to(role Role, m *Message) {
	r.mu.Lock()
	c := r.ends[role]
	deaf := c != nil && c.deaf
	r.mu.Unlock()
	if c == nil || deaf {
		return
	}
	select {
	case c.in <- m:
	case <-c.gone:
	}
}

// Send takes a message of an end to the other.
func (c *memoryConn) Send(m *Message) error {
	select {
	case <-c.gone:
		return io.ErrClosedPipe
	default:
	}
	b, err := m.Bytes()
	if err != nil {
		c.r.t.Errorf("%+v: %v", m, err)
		return err
	}
	m, err = ParseFrame(bytes.Clone(b))
	if err != nil {
		c.r.t.Errorf("%x: %v", b[:FrameOverhead], err)
		return err
	}
	r := c.r
	if r.rewrite != nil {
		m.Frame = nil
		r.rewrite(m)
	}
	r.mu.Lock()
	if c.deaf {
		r.mu.Unlock()
		return nil
	}
	if r.record {
		copied, _ := ParseFrame(bytes.Clone(b)) // which was parsed before
		r.sent[c.role] = append(r.sent[c.role], copied)
	}
	var f fault
	if r.faults != nil {
		f = r.faults(m)
	}
	if m.Type == typeState {
		r.state = append(r.state, string(m.Payload))
		r.mu.Unlock()
		return nil
	}
	r.mu.Unlock()
	other := 1 - c.role
	if f.kill {
		r.kill(Client)
		r.kill(Agent)
		return io.ErrClosedPipe
	}
	if f.drop {
		return nil
	}
	if f.late > 0 {
		time.AfterFunc(f.late, func() { r.to(other, m) })
		return nil
	}
	if f.twice {
		copied, _ := ParseFrame(bytes.Clone(b)) // which was parsed before
		r.to(other, copied)
	}
	r.to(other, m)
	return nil
}

// Receive gives the next message.
func (c *memoryConn) Receive() (*Message, error) {
	for {
		select {
		case answered := <-c.ping:
			answered()
		case m := <-c.in:
			return m, nil
		case <-c.gone:
			return nil, io.ErrUnexpectedEOF
		}
	}
}

// Ping is answered at once.
func (c *memoryConn) Ping(answered func()) error {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if c.deaf {
		return nil
	}
	select {
	case c.ping <- answered:
	case <-c.gone:
	}
	return nil
}

// Close breaks the connection.
func (c *memoryConn) Close() error {
	c.once.Do(func() { close(c.gone) })
	return nil
}

// pair opens a session over a relay.
func pair(t testing.TB, r *relay, client ClientOptions, agent AgentOptions) (*Session, *AgentSession) {
	t.Helper()
	client.dial = r.dial(Client)
	if agent.SessionID == "" {
		agent.SessionID = "session"
	}
	a := NewAgent(r.dial(Agent), agent)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var ran sync.WaitGroup
	ran.Go(func() { _ = a.Run(ctx) })
	shaken := make(chan error, 1)
	go func() {
		_, _, err := a.Handshake(ctx)
		shaken <- err
	}()
	s, err := Open(t.Context(), Start{SessionID: "session", Target: "mi-1"}, client)
	if err != nil {
		t.Fatalf("opening: %v; the agent: %v", err, <-shaken)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		ran.Wait()
	})
	return s, a
}
