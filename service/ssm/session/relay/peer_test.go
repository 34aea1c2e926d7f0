package relay_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/datachannel"
	"github.com/vennel/vennel/service/ssm/session/relay"
)

// item is what is on its way on a socket: a message, a ping or its answer.
type item struct {
	m        *api.Message
	answered func() // of a ping
	pong     bool
}

// pipe is one direction of a socket. It holds some bytes, then its writer waits.
type pipe struct {
	mu    sync.Mutex
	moved *sync.Cond
	items []item
	bytes int
	room  int
	ended bool
}

// newPipe makes a pipe.
func newPipe(room int) *pipe {
	p := &pipe{room: room}
	p.moved = sync.NewCond(&p.mu)
	return p
}

// length is what an item takes in a pipe.
func (i item) length() int {
	if i.m == nil {
		return 10
	}
	return datachannel.FrameOverhead + len(i.m.Payload)
}

// put writes.
func (p *pipe) put(i item) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.ended && p.bytes > 0 && p.bytes+i.length() > p.room {
		p.moved.Wait()
	}
	if p.ended {
		return io.ErrClosedPipe
	}
	p.items, p.bytes = append(p.items, i), p.bytes+i.length()
	p.moved.Broadcast()
	return nil
}

// get reads.
func (p *pipe) get() (item, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.ended && len(p.items) == 0 {
		p.moved.Wait()
	}
	if p.ended {
		return item{}, io.EOF
	}
	i := p.items[0]
	p.items[0] = item{}
	p.items, p.bytes = p.items[1:], p.bytes-i.length()
	p.moved.Broadcast()
	return i, nil
}

// end loses what is on its way.
func (p *pipe) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.moved.Broadcast()
}

// socket is a websocket between a peer and the relay, which has the api.Stream end of it.
type socket struct {
	api.Stream // but Listen
	up, down   *pipe
	silence    time.Duration // what Patience said
	posted     []item        // what waits for Flush
}

// newSocket makes a socket whose directions hold some bytes.
func newSocket(room int) *socket { return &socket{up: newPipe(room), down: newPipe(room)} }

// kill is the end of the connection: what was on its way is lost.
func (s *socket) kill() {
	s.up.end()
	s.down.end()
}

// Accept is for the server, which has done that.
func (s *socket) Accept(any, func(context.Context) error) (context.Context, error) {
	return nil, errors.New("accepted before")
}

// Receive is the relay's.
func (s *socket) Receive() (*api.Message, error) {
	for {
		switch i, err := s.up.get(); {
		case err != nil:
			return nil, io.EOF
		case i.m != nil:
			m := *i.m // the relay's own
			return &m, nil
		case i.answered != nil:
			i.answered()
		}
	}
}

// Send is for others.
func (s *socket) Send(*api.Message) error { return errors.New("the relay posts") }

// mostPosted is how many bytes wait for Flush.
const mostPosted = 512

// Post is the relay's.
func (s *socket) Post(m *api.Message) error {
	as := *m // it is now
	return s.post(item{m: &as})
}

// Ping is the relay's. It waits behind what was posted.
func (s *socket) Ping(answered func()) error {
	ping := item{answered: answered, pong: true}
	if len(s.posted) > 0 {
		return s.post(ping)
	}
	return s.down.put(ping)
}

// post keeps what is to be sent, up to a point.
func (s *socket) post(i item) error {
	s.posted = append(s.posted, i)
	bytes := 0
	for _, i := range s.posted {
		bytes += i.length()
	}
	if bytes < mostPosted {
		return nil
	}
	return s.Flush()
}

// Flush is the relay's.
func (s *socket) Flush() error {
	posted := s.posted
	s.posted = nil
	for _, i := range posted {
		if err := s.down.put(i); err != nil {
			return err
		}
	}
	return nil
}

// Patience is the relay's.
func (s *socket) Patience(silence time.Duration) { s.silence = silence }

// Close is the relay's.
func (s *socket) Close(string) error {
	s.kill()
	return nil
}

// news is a relay.News that a test can read.
type news struct {
	mu   sync.Mutex
	text []string
}

// said notes one.
func (n *news) said(s string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text = append(n.text, s)
}

// String is all of it.
func (n *news) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.text, ", ")
}

func (n *news) Connected(role relay.Role) { n.said("connected " + strconv.Itoa(int(role))) }
func (n *news) Lost(role relay.Role)      { n.said("lost " + strconv.Itoa(int(role))) }
func (n *news) Begun()                    { n.said("begun") }
func (n *news) Ending()                   { n.said("ending") }
func (n *news) Failed(reason string)      { n.said("failed: " + reason) }

// world is a relay with an official plugin and an official agent, as far as their channels go.
type world struct {
	t     testing.TB
	news  *news
	relay *relay.Relay // guarded by mu, as is everything that one of the goroutines changes
	mu    sync.Mutex
	peers [2]*peer
	all   sync.WaitGroup
	room  int // bytes that a socket holds
}

// newWorld makes one, and has the relay ticked until the test's end.
func newWorld(t testing.TB, o relay.Options) *world {
	w := &world{t: t, news: new(news), room: 1 << 20}
	w.relay = relay.New("alice-0123456789abcdef0", "mi-0123456789abcdef0", w.news, o)
	w.peers[relay.Client] = newPeer(w, relay.Client)
	w.peers[relay.Agent] = newPeer(w, relay.Agent)
	done := make(chan struct{})
	w.all.Go(func() {
		tick := time.NewTicker(3 * time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				w.now().Tick(time.Now())
			}
		}
	})
	t.Cleanup(func() {
		close(done)
		for _, p := range w.peers {
			p.stop()
		}
		w.all.Wait()
	})
	return w
}

// now is the relay of this moment.
func (w *world) now() *relay.Relay {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.relay
}

// restart has the server begin again: all connections are lost, and so is what the relay remembers.
func (w *world) restart(o relay.Options) {
	w.mu.Lock()
	old := w.relay
	w.relay = relay.New("alice-0123456789abcdef0", "mi-0123456789abcdef0", w.news, o)
	w.mu.Unlock()
	for _, p := range w.peers {
		p.kill()
	}
	old.Tick(time.Now().Add(time.Minute)) // it finds its streams broken, even one on which it does not listen
}

// sentFrame is a frame that is not acknowledged.
type sentFrame struct {
	m    *api.Message
	last time.Time
}

// peer is an official plugin or agent: what it does with the frames of its channel, with all its defects.
// source: agent
type peer struct {
	w    *world
	role relay.Role

	mu       sync.Mutex
	changed  *sync.Cond
	socket   *socket // nil while there is none
	stopped  bool
	sequence int64
	unacked  []sentFrame
	paused   bool // an agent
	dead     bool // it does not come back

	// of what it receives
	expected int64
	early    map[int64]*api.Message
	got      []byte
	kinds    []uint32
	closed   string
	acks     map[int64]int // how often each of its frames was acknowledged
	copies   int           // frames it had before

	// what a test may set
	mute     int                    // pings that it does not answer
	unready  bool                   // it takes no data yet, and says nothing
	blocked  chan struct{}          // its handler hangs until this is closed
	read     func(*api.Message)     // slows its reading down
	race     bool                   // acknowledgements come before it knows what it has sent
	redial   func() time.Duration   // how long until it connects again
	tampered func(*api.Message) int // how many times a frame leaves it
}

// newPeer makes a peer that is not connected yet.
func newPeer(w *world, role relay.Role) *peer {
	p := &peer{w: w, role: role, early: map[int64]*api.Message{}, acks: map[int64]int{}}
	p.changed = sync.NewCond(&p.mu)
	p.redial = func() time.Duration { return 150 * time.Millisecond }
	return p
}

// start connects, and connects again whenever the connection is lost.
func (p *peer) start() {
	p.w.all.Go(func() {
		for {
			p.mu.Lock()
			if p.stopped || p.dead {
				p.mu.Unlock()
				return
			}
			s := newSocket(p.w.room)
			p.socket, p.paused = s, false
			p.changed.Broadcast()
			p.mu.Unlock()
			r := p.w.now()
			var served sync.WaitGroup
			served.Go(func() { _ = r.Serve(s, p.role) })
			if p.role == relay.Agent {
				_ = s.up.put(item{m: frame("agent_session_state", 0, 0, `{"SchemaVersion":1,"SessionState":"Connected","SessionId":"s"}`)})
			}
			p.receive(s)
			s.kill()
			served.Wait()
			p.mu.Lock()
			if p.socket == s {
				p.socket = nil
			}
			p.mu.Unlock()
			time.Sleep(p.redial())
		}
	})
	p.w.all.Go(p.resend)
}

// kill loses the connection.
func (p *peer) kill() {
	p.mu.Lock()
	s := p.socket
	p.mu.Unlock()
	if s != nil {
		s.kill()
	}
}

// stop ends the peer.
func (p *peer) stop() {
	p.mu.Lock()
	p.stopped = true
	p.changed.Broadcast()
	p.mu.Unlock()
	p.kill()
}

// frame makes a message.
func frame(kind string, sequence int64, payloadType uint32, payload string) *api.Message {
	return &api.Message{Type: kind, Schema: 1, Created: time.Now(), Sequence: sequence, ID: uuid.New(), PayloadType: payloadType, Payload: []byte(payload)}
}

// data is the type of the frames of a role.
func data(role relay.Role) string {
	if role == relay.Client {
		return "input_stream_data"
	}
	return "output_stream_data"
}

// send sends a frame, and only then remembers it for a resend. A frame for which there is no connection is
// kept for it.
func (p *peer) send(payloadType uint32, payload string) {
	p.mu.Lock()
	m := frame(data(p.role), p.sequence, payloadType, payload)
	p.sequence++
	s, race, times := p.socket, p.race, 1
	if p.tampered != nil {
		times = p.tampered(m)
	}
	paused := p.paused
	p.mu.Unlock()
	if s != nil && !paused {
		for range times {
			_ = s.up.put(item{m: m})
		}
	}
	if race {
		time.Sleep(5 * time.Millisecond) // the acknowledgement overtakes us
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unacked = append(p.unacked, sentFrame{m, time.Now()})
	p.changed.Broadcast()
}

// resend resends the first frame that is not acknowledged, and no other.
func (p *peer) resend() {
	for {
		time.Sleep(100 * time.Millisecond)
		p.mu.Lock()
		for len(p.unacked) == 0 && !p.stopped {
			p.changed.Wait()
		}
		if p.stopped {
			p.mu.Unlock()
			return
		}
		s, head := p.socket, &p.unacked[0]
		wait := 200 * time.Millisecond
		if p.paused || s == nil || time.Since(head.last) <= wait {
			p.mu.Unlock()
			continue
		}
		if p.role == relay.Agent {
			head.last = time.Now() // a plugin forgets to
		}
		m := head.m
		p.mu.Unlock()
		_ = s.up.put(item{m: m})
	}
}

// receive does one thing after the other, until the connection is lost.
func (p *peer) receive(s *socket) {
	for {
		i, err := s.down.get()
		if err != nil {
			return
		}
		if i.pong && p.mute > 0 {
			p.mute--
			continue
		}
		if i.pong {
			_ = s.up.put(item{answered: i.answered})
			continue
		}
		if p.read != nil {
			p.read(i.m)
		}
		switch i.m.Type {
		case data(1 - p.role):
			p.take(s, i.m)
		case "acknowledge":
			var ack struct{ AcknowledgedMessageSequenceNumber int64 }
			if err := json.Unmarshal(i.m.Payload, &ack); err != nil {
				p.w.t.Errorf("an acknowledge says %s: %v", i.m.Payload, err)
			}
			p.acknowledged(ack.AcknowledgedMessageSequenceNumber)
		case "pause_publication", "start_publication":
			p.mu.Lock()
			p.paused = i.m.Type == "pause_publication" && p.role == relay.Agent
			p.changed.Broadcast()
			p.mu.Unlock()
		case "channel_closed":
			p.mu.Lock()
			p.closed, p.dead = string(i.m.Payload), true
			p.changed.Broadcast()
			p.mu.Unlock()
			if p.role == relay.Client {
				return // it exits
			}
		default:
			p.w.t.Errorf("%d was sent a message of type %s", p.role, i.m.Type)
		}
	}
}

// acknowledged forgets a frame.
func (p *peer) acknowledged(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = false
	p.acks[n]++
	for i, f := range p.unacked {
		if f.m.Sequence == n {
			p.unacked = append(p.unacked[:i:i], p.unacked[i+1:]...)
			break
		}
	}
	p.changed.Broadcast()
}

// acknowledgement is an acknowledge of an official peer. source: agent
func acknowledgement(kind, id string, sequence int64) *api.Message {
	m := frame("acknowledge", 0, 0, `{"AcknowledgedMessageType":"`+kind+`","AcknowledgedMessageId":"`+id+
		`","AcknowledgedMessageSequenceNumber":`+strconv.FormatInt(sequence, 10)+`,"IsSequentialMessage":true}`)
	m.Flags = 3
	return m
}

// take takes a frame of the other peer.
func (p *peer) take(s *socket, m *api.Message) {
	p.mu.Lock()
	p.paused = false
	blocked := p.blocked
	p.mu.Unlock()
	if blocked != nil {
		<-blocked
	}
	ack := acknowledgement(m.Type, m.ID.String(), m.Sequence)
	p.mu.Lock()
	acked := true
	switch n := m.Sequence; {
	case n == p.expected && p.unready && (m.PayloadType < 5 || m.PayloadType > 9):
		acked = false
	case n == p.expected:
		for ; m != nil; m = p.early[p.expected] {
			delete(p.early, p.expected)
			p.expected++
			if p.unready && m.Sequence > n { // it has acknowledged it, and forgets it
				continue
			}
			p.got, p.kinds = append(p.got, m.Payload...), append(p.kinds, m.PayloadType)
		}
	case n > p.expected:
		if acked = len(p.early) < 10_000; acked {
			p.early[n] = m
		} else {
			p.w.t.Errorf("%d was sent frame %d and waits for %d", p.role, n, p.expected)
		}
	default:
		p.copies++
		acked = p.role == relay.Agent // a plugin says nothing
	}
	p.changed.Broadcast()
	p.mu.Unlock()
	if acked {
		_ = s.up.put(item{m: ack})
	}
}

// control sends a message that is no part of a stream.
func (p *peer) control(kind, payload string) {
	p.mu.Lock()
	s := p.socket
	p.mu.Unlock()
	_ = s.up.put(item{m: frame(kind, 0, 0, payload)})
}

// until waits until something is true of a peer, and says what it was if that does not come.
func (p *peer) until(what string, f func() bool) {
	p.w.t.Helper()
	late := false
	timer := time.AfterFunc(10*time.Minute, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		late = true
		p.changed.Broadcast()
	})
	defer timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !f() {
		if late {
			p.w.t.Fatalf("%d: %s did not come; it has %d bytes, waits for %d, is not acknowledged %d\n%v", p.role, what, len(p.got), p.expected, len(p.unacked), p.w.relay)
		}
		p.changed.Wait()
	}
}

// gets waits until a peer has been sent as much as this, and checks it.
func (p *peer) gets(want string) {
	p.w.t.Helper()
	p.until("output", func() bool { return len(p.got) >= len(want) })
	p.mu.Lock()
	defer p.mu.Unlock()
	if string(p.got) != want {
		p.w.t.Errorf("%d was sent %d bytes other than the %d that were sent to it", p.role, len(p.got), len(want))
	}
}

// ends waits until a peer is told that the session is over, and gives what it is told.
func (p *peer) ends() string {
	p.w.t.Helper()
	p.until("channel_closed", func() bool { return p.closed != "" })
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// settles waits until all that a peer has sent is acknowledged.
func (p *peer) settles() {
	p.w.t.Helper()
	p.until("the last acknowledgement", func() bool { return len(p.unacked) == 0 })
}

// waits says whether a peer reads nothing that it could send: it was asked to wait.
func (p *peer) waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.paused && !p.stopped
}
