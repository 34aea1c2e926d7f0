package datachannel

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Options are those of a channel. The zero value works.
type Options struct {
	SessionID string       // for State
	Log       *slog.Logger // nothing is logged without it
	Lost      func(error)  // the connection is lost, and another is sought; why. Once until Back
	Back      func()       // there is a connection again

	LeastWindow, MostWindow int // bytes on their way, 256 KiB and 16 MiB if zero

	deliver func(*received) // takes what comes, in order, in place of Receive; it must not wait
	pace    pace
}

// pace is how fast time passes for a channel.
type pace struct {
	ping   time.Duration    // between pings
	quiet  time.Duration    // until a peer that owes an acknowledgement is asked
	answer time.Duration    // until one that does not answer is given up
	tick   time.Duration    // between looks at the clock
	wall   func() time.Time // the clock that goes on while the machine sleeps
}

// withDefaults fills in what is not given.
func (p pace) withDefaults(role Role) pace {
	if p.ping == 0 {
		p.ping = 20 * time.Second
	}
	if p.quiet == 0 {
		p.quiet = 5 * time.Second
	}
	if p.answer == 0 {
		p.answer = 5 * time.Second
	}
	if p.tick == 0 {
		p.tick = time.Second // a person waits for it
		if role == Agent {
			p.tick = p.answer
		}
	}
	if p.wall == nil {
		p.wall = func() time.Time { return time.Now().Round(0) }
	}
	return p
}

// The limits of a channel.
const (
	jump        = 10 * time.Second // by which the two clocks may differ before the machine has slept
	firstWait   = 100 * time.Millisecond
	mostWait    = 5 * time.Second // between attempts to connect
	longWait    = 30 * time.Second
	patience    = 20 // attempts after which the wait grows to longWait
	mostRefused = 3  // connections that the server ends with a refusal before anything came
)

// Channel is an ordered and reliable channel of payloads that outlives its connections: what is not
// acknowledged when one breaks is sent again on the next. Run makes the connections; the other
// methods may be called by any goroutine at any time.
type Channel struct {
	role Role
	dial Dial
	o    Options
	log  *slog.Logger
	pace pace

	wake     chan struct{} // there may be something to write
	room     chan struct{} // there may be room for a payload
	flushed  chan struct{} // there may be nothing unacknowledged
	readable chan struct{} // there may be something to receive
	consumed chan struct{} // what was received has been consumed
	slept    chan struct{} // the machine was asleep
	closed   chan struct{} // nothing more is sent or received

	heard   atomic.Int64 // when the peer was last heard, by time.Since(epoch)
	spoke   atomic.Bool  // it was heard on this connection
	blocked atomic.Bool  // nothing is read, because nothing is consumed
	bare    atomic.Bool  // the peer is ours, so frames get no digest
	epoch   time.Time

	receiving sync.Mutex // one Receive at a time
	current   *received  // what the last Receive gave; guarded by receiving

	mu     sync.Mutex // guards the rest
	conn   Conn       // nil while there is none
	err    error      // why the channel has ended; set before closed is closed
	output string     // what channel_closed said
	said   bool       // there was a channel_closed
	state  string     // that of an agent
	told   bool       // the state has been sent on this connection
	paused bool       // by pause_publication
	seal   *sealer    // encrypts, once it is agreed
	out    outgoing
	in     incoming
}

// NewChannel makes a channel, which does nothing until Run.
func NewChannel(role Role, dial Dial, o Options) *Channel {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	signal := func() chan struct{} { return make(chan struct{}, 1) }
	c := &Channel{
		role: role, dial: dial, o: o, log: o.Log, pace: o.pace.withDefaults(role), epoch: time.Now(),
		wake: signal(), room: signal(), flushed: signal(), readable: signal(), consumed: signal(), slept: signal(), closed: make(chan struct{}),
	}
	least, most := o.LeastWindow, o.MostWindow
	if least == 0 {
		least = leastWindow
	}
	if most == 0 {
		most = mostWindow
	}
	c.out.window = window{least: least, most: max(least, most), size: least}
	c.in.held = map[int64]*received{}
	return c
}

// notify wakes the one who waits on a signal, now or later.
func notify(signal chan struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}

// wait waits for a signal, until the channel ends or done is closed.
func (c *Channel) wait(done <-chan struct{}, signal chan struct{}) error {
	select {
	case <-signal:
		return nil
	case <-c.closed:
		return c.reason()
	case <-done:
		return errGivenUp
	}
}

// errGivenUp says that whoever waited does not any more.
var errGivenUp = errors.New("given up")

// cause is the reason of ctx for an error that was made by its end.
func cause(ctx context.Context, err error) error {
	if errors.Is(err, errGivenUp) {
		return context.Cause(ctx)
	}
	return err
}

// reason is why nothing can be sent any more.
func (c *Channel) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Run makes connections until the channel ends: by channel_closed, by an error of Dial that is
// ErrEnded, or with ctx. It returns nil after channel_closed.
func (c *Channel) Run(ctx context.Context) error {
	stop := c.watch()
	defer stop()
	attempt, refused, was, lost := 0, 0, false, false
	for {
		conn, err := c.dial(ctx)
		if err == nil {
			if lost {
				lost = false
				c.log.Info("data channel is back", "session_id", c.o.SessionID, "attempts", attempt)
				if c.o.Back != nil {
					c.o.Back()
				}
			}
			was = true
			err = c.serve(ctx, conn)
			refusal, isRefusal := errors.AsType[*Refusal](err)
			switch {
			case c.spoke.Load():
				attempt, refused = 0, 0
			case isRefusal:
				if refused++; refused == mostRefused {
					err = errors.Join(ErrEnded, refusal)
				}
			}
		}
		switch {
		case c.isClosed():
			if _, ok := c.Ended(); ok {
				return nil
			}
			return c.reason()
		case ctx.Err() != nil:
			c.end(context.Cause(ctx))
			return context.Cause(ctx)
		case errors.Is(err, ErrEnded):
			c.end(err)
			return err
		}
		c.log.Debug("no data channel", "session_id", c.o.SessionID, "attempt", attempt, "error", err)
		if was && !lost {
			lost = true
			c.log.Info("data channel lost", "session_id", c.o.SessionID, "error", err)
			if c.o.Lost != nil {
				c.o.Lost(err)
			}
		}
		c.pauseBefore(ctx, attempt)
		attempt++
	}
}

// pauseBefore waits before an attempt to connect, after n others that failed.
// The wait is drawn from the upper half, so that those that were cut off together do not come back
// together; a machine that wakes up does not wait.
func (c *Channel) pauseBefore(ctx context.Context, n int) {
	most := mostWait
	if n > patience {
		most = longWait
	}
	d := most
	if n < 10 {
		d = min(most, firstWait<<n)
	}
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.slept:
	case <-c.closed:
	case <-ctx.Done():
	}
}

// isClosed says whether the channel has ended.
func (c *Channel) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// end ends the channel. What has been received can still be read.
func (c *Channel) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.closed)
	}
}

// Close ends the channel without a word to the peer, but not before what is urgent has been sent and what was
// received acknowledged, if that is possible within a second.
func (c *Channel) Close() error {
	c.written(time.Second)
	c.end(ErrEnded)
	c.mu.Lock()
	conn := c.conn
	c.mu.Unlock()
	if conn == nil {
		return nil
	}
	return conn.Close()
}

// serve uses a connection until it breaks or the channel ends.
func (c *Channel) serve(ctx context.Context, conn Conn) error {
	c.mu.Lock()
	c.conn, c.paused, c.told = conn, false, false
	c.out.reconnected()
	c.mu.Unlock()
	c.hear()
	c.spoke.Store(false)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // Receive says what there is to say
	defer stop()
	done := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		c.write(conn, done)
		_ = conn.Close() // so that Receive returns, too
	})
	err := c.read(conn)
	close(done)
	_ = conn.Close()
	writer.Wait()
	c.mu.Lock()
	c.conn = nil
	c.mu.Unlock()
	notify(c.flushed)
	return err
}

// read receives until the connection breaks or the channel ends.
func (c *Channel) read(conn Conn) error {
	receive := func() (*Message, *[]byte, error) {
		m, err := conn.Receive()
		return m, nil, err
	}
	if socket, ok := conn.(*websocketConn); ok {
		receive = func() (*Message, *[]byte, error) { return socket.receive(memory) }
	}
	for {
		m, pool, err := receive()
		if err != nil {
			return err
		}
		c.hear()
		switch m.Type {
		case c.role.receives():
			c.arrived(m, pool)
		case typeAck:
			if seq, ok := AcknowledgedSequence(m.Payload); ok {
				c.acknowledged(seq)
			}
		case typeStart:
			c.publish(true)
		case typePause:
			c.publish(false)
		case typeClosed:
			c.closedBy(m)
			return nil
		}
		if c.isClosed() {
			return nil
		}
		c.holdBack()
	}
}

// publish takes a start_publication or a pause_publication, which are meant for agents.
func (c *Channel) publish(start bool) {
	c.mu.Lock()
	c.paused = !start && c.role == Agent
	c.mu.Unlock()
	if start {
		notify(c.wake)
	}
}

// mostOutput is how much is kept of the reason in a channel_closed.
const mostOutput = 16 << 10

// closedBy takes a channel_closed, which ends the channel whether or not it can be read.
func (c *Channel) closedBy(m *Message) {
	var closed struct{ Output string }
	_ = json.Unmarshal(m.Payload, &closed)
	c.mu.Lock()
	c.output, c.said = closed.Output[:min(len(closed.Output), mostOutput)], true
	c.mu.Unlock()
	c.end(ErrEnded)
}

// Ended gives what the service said when it closed the channel, if it has.
func (c *Channel) Ended() (output string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.output, c.said
}

// Done is closed when the channel has ended.
func (c *Channel) Done() <-chan struct{} { return c.closed }

// State tells the service the state of an agent's session. It is repeated on every new connection.
func (c *Channel) State(state string) error {
	c.mu.Lock()
	err := c.err
	c.state, c.told = state, false
	c.mu.Unlock()
	notify(c.wake)
	return err
}

// stateMessage is the message with which an agent tells its session's state. source: agent
func (c *Channel) stateMessage(state string) (*Message, error) {
	payload, err := json.Marshal(struct {
		SchemaVersion int
		SessionState  string
		SessionID     string `json:"SessionId"`
	}{1, state, c.o.SessionID})
	return &Message{Type: typeState, Schema: 1, Created: time.Now(), Flags: 3, ID: uuid.New(), Payload: payload}, err
}

// hear notes that the peer was heard.
func (c *Channel) hear() {
	c.heard.Store(int64(time.Since(c.epoch)))
	c.spoke.Store(true)
}

// watch looks at the clock and at the peer now and then: it pings, gives up a connection on which
// nothing comes any more, and one that has slept. It returns what ends it.
func (c *Channel) watch() (stop func()) {
	var (
		mu     sync.Mutex
		timer  *time.Timer
		over   bool
		last   = time.Now()
		wall   = c.pace.wall()
		ping   time.Duration // when the last was sent, by epoch
		asked  time.Duration // when the ping that is unanswered was sent
		pinged Conn          // on which both were
	)
	look := func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		defer timer.Reset(c.pace.tick)
		now, then := time.Now(), c.pace.wall()
		slept := then.Sub(wall)-now.Sub(last) > jump
		last, wall = now, then
		c.mu.Lock()
		conn, owed := c.conn, c.out.unanswered()
		c.mu.Unlock()
		if slept {
			c.log.Info("the machine was asleep", "session_id", c.o.SessionID)
			notify(c.slept)
		}
		if conn == nil || c.blocked.Load() {
			return
		}
		since, heard := now.Sub(c.epoch), time.Duration(c.heard.Load())
		if pinged != conn {
			pinged, ping, asked = conn, since, 0
		}
		if heard >= asked {
			asked = 0
		}
		switch {
		case slept, asked > 0 && since-asked >= c.pace.answer:
			_ = conn.Close() // Receive says what there is to say
		case asked > 0:
		case owed && since-heard >= c.pace.quiet, since-ping >= c.pace.ping:
			ping, asked = since, since
			_ = conn.Ping(c.hear) // one that could not be sent is not answered
		}
	}
	mu.Lock()
	timer = time.AfterFunc(c.pace.tick, look)
	mu.Unlock()
	return func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
		timer.Stop()
	}
}
