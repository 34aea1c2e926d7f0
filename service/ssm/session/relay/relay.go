// Package relay carries the data of one session between its client and its node. AWS calls the two websockets
// the session's data channels. Official peers lose data and hang when a connection drops or an acknowledgement is
// late; the relay keeps every frame until its receiver has acknowledged it, and remembers what was
// acknowledged, so that neither happens. Numbers and acknowledgements are the peers' own, end to end: a
// frame is passed on as it came. What is kept is bounded; peers that overrun it are asked to wait, and the session of
// one that goes on ends.
package relay

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/datachannel"
)

// Role is an end of a session.
type Role int

// The ends.
const (
	Client Role = iota
	Agent
)

// peer is the other end.
func (role Role) peer() Role { return 1 - role }

// data is the type of the stream data that an end sends.
func (role Role) data() string {
	if role == Client {
		return inputData
	}
	return outputData
}

// silence is how long an end may say nothing: a plugin whose user has stopped its terminal does not even answer
// pings, but sends its own every five minutes; an agent sends one every 54 seconds. source: agent
func (role Role) silence() time.Duration {
	if role == Client {
		return 11 * time.Minute
	}
	return 2 * time.Minute
}

// News hears what happens to a session, one thing after the other in its order. The relay waits for none of it but
// at the end of Serve.
type News interface {
	Connected(Role)
	Lost(Role)            // no stream has taken the place of the one that ended
	Begun()               // the client is given its first output, or the handshake is complete
	Ending()              // the agent says that the session comes to its end
	Failed(reason string) // a peer broke the limits; the session has been closed
}

// Options may be zero.
type Options struct {
	// Begins says that no frame of the session has been sent before, which is not true after a restart of the server.
	// Then frames begin with number 0, and a client that does not acknowledge one may not be ready for it.
	Begins bool
	Window int // bytes of a direction that may be on their way to its receiver
	// Together counts the bytes that all relays with the same counter hold, until they are closed. It bounds what senders that wait when they
	// are asked to have held. Without it a relay counts for itself.
	Together *atomic.Int64
}

// window is the default for Options.Window: what a client and an agent of ours may have on its way, which is 16 MiB,
// and what its frames cost.
const window = 18 << 20

// The relay's patience.
const (
	pingEvery = 25 * time.Second      // clients, so that no box on the way forgets an idle connection
	linger    = 15 * time.Second      // for a peer to end its stream when the session has ended
	trickle   = 20 * time.Millisecond // between messages of a client while neither direction moves
)

// Relay is the relay of one session.
type Relay struct {
	session, target string
	news            News

	mu     sync.Mutex // guards everything below
	sides  [2]side    // by role
	flows  [2]flow    // towards the role
	active time.Time
	output string // of the channel_closed
	finish *time.Timer

	begun   bool
	silent  bool          // the client may say nothing when it is given a frame twice
	ready   bool          // the client takes output, as far as we know
	pausing bool          // the agent is to wait
	resting bool          // it is to wait whatever happens
	room    chan struct{} // closed when the client need not wait any more; nil when nobody waits

	posting []*api.Message // what goroutines are sending

	events  []func()
	telling chan struct{} // closed when all events are told; nil when there are none

	watch     func(int64, []byte)
	heard     []heard // for watch
	encrypted bool

	hearing sync.Mutex // held while watch is called; taken before mu
}

// heard is output for watch.
type heard struct {
	next   int64 // the sequence number behind it
	output []byte
}

// New makes the relay of a session with a target.
func New(sessionID, target string, news News, o Options) *Relay {
	if o.Window == 0 {
		o.Window = window
	}
	if o.Together == nil {
		o.Together = new(atomic.Int64)
	}
	r := &Relay{session: sessionID, target: target, news: news, active: time.Now(), silent: true, ready: !o.Begins}
	for role := range r.flows {
		f := &r.flows[role]
		if f.window, f.together = o.Window, o.Together; o.Begins {
			f.begin(0)
		}
	}
	return r
}

// Serve makes a stream that of an end, in place of an older one, which it ends. It receives until the stream ends.
func (r *Relay) Serve(s api.Stream, role Role) error {
	s.Patience(role.silence())
	var writers sync.WaitGroup
	number := r.attach(s, role, &writers)
	err := r.listen(s, role, number)
	told := r.detach(role, number)
	reason := ""
	if e, ok := errors.AsType[*api.Error](err); ok {
		reason = e.Message
	}
	_ = s.Close(reason) // which ends a write that is stuck
	writers.Wait()
	if told != nil {
		<-told
	}
	return err
}

// attach makes a stream that of an end. All that is held for the end is sent on it.
func (r *Relay) attach(stream api.Stream, role Role, writers *sync.WaitGroup) uint32 {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.sides[role]
	if old := s.stream; old != nil {
		writers.Go(func() { _ = old.Close("another connection has taken over") })
	}
	s.keep()
	*s = side{stream: stream, number: s.number + 1, writers: writers, ended: s.ended, pinged: time.Now()}
	r.flows[role].restart()
	r.flows[role.peer()].repeated = 0
	r.tell(func() { r.news.Connected(role) })
	if s.ended {
		s.leave()
	}
	r.wake()
	r.kick(role)
	return s.number
}

// detach leaves an end without a stream, if it still had this one. It gives what is closed when all is told.
func (r *Relay) detach(role Role, number uint32) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := &r.sides[role]; s.number == number {
		s.keep()
		*s = side{number: number, ended: s.ended}
		r.tell(func() { r.news.Lost(role) })
		r.wake()
	}
	return r.telling
}

// listen receives from an end.
func (r *Relay) listen(s api.Stream, role Role, number uint32) error {
	for {
		m, err := s.Receive()
		if err != nil {
			return err
		}
		switch {
		case m.Type == role.data():
			err = r.data(m, role, number)
		case m.Type == acknowledge:
			err = r.acknowledged(m, role, number)
		case m.Type == sessionState && role == Agent && terminating(m):
			r.mu.Lock()
			r.tell(r.news.Ending)
			r.mu.Unlock()
		} // official peers ignore what they do not know, and so do we
		if err != nil {
			return err
		}
	}
}

// data acts on a frame of an end.
func (r *Relay) data(m *api.Message, role Role, number uint32) error {
	now := time.Now()
	r.mu.Lock()
	if r.sides[role].number != number {
		r.mu.Unlock()
		return io.EOF
	}
	to, f := &r.sides[role.peer()], &r.flows[role.peer()]
	if to.ended { // nobody will ever read it, and its sender may wait for that before it ends
		r.owe(role, m)
		r.kick(role)
		r.mu.Unlock()
		return nil
	}
	switch f.take(m, now) {
	case refused:
		r.mu.Unlock()
		return api.Errorf(api.Unserializable, "The sequence number %d is out of range", m.Sequence)
	case acknowledged:
		r.repeat(role, m)
	case held:
		r.doubt(role.peer(), m.Sequence)
	case fresh:
		if isActive(m) {
			r.active = now
		}
		r.look(m, role)
		r.listenIn()
		if f.over() {
			r.fail("More data was sent in the session than its receiver takes")
		}
	}
	r.changed(now)
	gated := role == Client && f.full && !to.ended
	heard := r.heard != nil
	r.mu.Unlock()
	if heard {
		r.hear()
	}
	if gated {
		r.gate(number)
	}
	return nil
}

// look notes what a new frame tells of the session. The relay's lock is held.
func (r *Relay) look(m *api.Message, role Role) {
	if role == Client {
		ready, refuses := proves(m)
		r.ready = (r.ready || ready) && !refuses
		if m.PayloadType == handshakeResponse && extended(m) {
			r.silent = false
		}
		return
	}
	switch m.PayloadType {
	case handshakeRequest:
		r.encrypted = r.encrypted || encrypts(m)
	case output, standardError, handshakeComplete:
		if !r.begun {
			r.begun = true
			r.tell(r.news.Begun)
		}
	}
}

// repeat answers a frame that the receiver has acknowledged before: its sender did not hear it, or heard it before it
// knew what it had sent. It asks for one after the other; so it is told once more of all that follow, too. The
// relay's lock is held.
func (r *Relay) repeat(sender Role, m *api.Message) {
	r.owe(sender, m)
	s, f := &r.sides[sender], &r.flows[sender.peer()]
	from := max(m.Sequence+1, f.repeated)
	if from >= f.base {
		return
	}
	if s.owed >= s.to {
		s.owed = from
	}
	s.to = min(f.base, from+mostAhead)
	f.repeated = s.to
}

// doubt acts on a frame that its sender repeats although we have passed it on: its receiver may have refused it, or
// have it without saying so. So it is sent again, and a ping after it. The relay's lock is held.
func (r *Relay) doubt(receiver Role, sequence int64) {
	s, f := &r.sides[receiver], &r.flows[receiver]
	if slot := f.find(sequence); s.stream != nil && slot.stream == s.number && !slot.again {
		slot.again = true
		s.repeat.push(sequence)
	}
}

// acknowledged acts on an acknowledgement of an end.
func (r *Relay) acknowledged(m *api.Message, role Role, number uint32) error {
	if len(m.Payload) > mostAck {
		return nil // its sender does as if it had said nothing
	}
	sequence, ok := datachannel.AcknowledgedSequence(m.Payload)
	if !ok {
		return nil // as above
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sides[role].number != number {
		return io.EOF
	}
	now := time.Now()
	if !r.ack(role, sequence, number, now) {
		return nil // for nothing that was sent, or the second one
	}
	if s := &r.sides[role.peer()]; s.stream != nil && s.acks.len() < mostAcks {
		s.acks.push(m)
	}
	r.changed(now)
	return nil
}

// ack notes that an end has a frame; false as flow.ack. The memory of one that nobody sends or looks at any more is used again. The relay's
// lock is held.
func (r *Relay) ack(role Role, sequence int64, number uint32, now time.Time) bool {
	f := &r.flows[role]
	slot := f.find(sequence)
	if slot == nil || slot.m == nil {
		return false
	}
	m := slot.m
	if !f.ack(sequence, number, now) {
		return false
	}
	if !f.watching && !slices.Contains(r.posting, m) {
		datachannel.Recycle(m)
	}
	return true
}

// changed does what follows when a flow has changed. The relay's lock is held.
func (r *Relay) changed(now time.Time) {
	out, in := &r.flows[Client], &r.flows[Agent]
	r.pausing = r.resting || out.full && !out.starved(now)
	if r.finish != nil && !r.sides[Client].ended && out.frames == 0 {
		r.end(Client)
	}
	if !in.full || out.busy() {
		r.wake()
	}
	r.kick(Agent)
	r.kick(Client)
}

// gate holds up a client of which we hold too much: what it sends stays where it is. But its acknowledgements come on
// the same stream. If the agent waits for them, and the client for the agent, then a message is let through now and
// then.
func (r *Relay) gate(number uint32) {
	var late <-chan time.Time
	for {
		r.mu.Lock()
		s := &r.sides[Client]
		if s.number != number || s.broken || s.ended || r.sides[Agent].ended || !r.flows[Agent].full {
			r.mu.Unlock()
			return
		}
		if late == nil && r.flows[Client].busy() {
			t := time.NewTimer(trickle)
			defer t.Stop() // in a loop that runs this once
			late = t.C
		}
		if r.room == nil {
			r.room = make(chan struct{})
		}
		room := r.room
		r.mu.Unlock()
		select {
		case <-room:
		case <-late:
			return
		}
	}
}

// wake has a client that is held up look again. The relay's lock is held.
func (r *Relay) wake() {
	if r.room != nil {
		close(r.room)
		r.room = nil
	}
}

// tell has something told. The relay's lock is held.
func (r *Relay) tell(event func()) {
	r.events = append(r.events, event)
	if r.telling == nil {
		r.telling = make(chan struct{})
		go r.tellAll() // Serve waits for it
	}
}

// tellAll tells what there is to tell.
func (r *Relay) tellAll() {
	for {
		r.mu.Lock()
		events := r.events
		r.events = nil
		if len(events) == 0 {
			close(r.telling)
			r.telling = nil
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		for _, event := range events {
			event()
		}
	}
}

// Close ends the session for both ends, those that are there and those that still come. Only the first output counts.
func (r *Relay) Close(output string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.close(output)
}

// close is Close with the relay's lock held.
func (r *Relay) close(output string) {
	if !r.sides[Agent].ended {
		r.output = output
		r.end(Agent)
	}
	r.end(Client)
}

// Finish is Close, but for the client only when it has acknowledged all that is held for it, or after a while.
func (r *Relay) Finish(output string, within time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sides[Agent].ended {
		return
	}
	r.output = output
	r.end(Agent)
	r.finish = time.AfterFunc(within, func() { r.Close("") })
	r.changed(time.Now())
}

// end ends the session for an end. What is held for it is not needed any more. The relay's lock is held.
func (r *Relay) end(role Role) {
	s := &r.sides[role]
	if s.ended {
		return
	}
	s.ended = true
	r.flows[role].drop()
	if r.sides[Client].ended && r.finish != nil {
		r.finish.Stop()
	}
	if s.stream != nil {
		s.leave()
	}
	r.wake()
	r.kick(role)
}

// fail closes the session of peers that broke the limits. The relay's lock is held.
func (r *Relay) fail(reason string) {
	if !r.sides[Client].ended {
		r.tell(func() { r.news.Failed(reason) })
	}
	r.close(reason)
}

// Rest has the agent wait, because the relay is about to go. What an official agent sent into a connection that breaks it sends again
// only frame by frame; what it has not read yet is not lost.
func (r *Relay) Rest() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resting = true
	r.changed(time.Now())
}

// Rested says whether the client has acknowledged all that has come for it, or is not there to do so.
func (r *Relay) Rested() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flows[Client].frames == 0 || r.sides[Client].stream == nil
}

// Active is when a person or a program last said something in the session, or when the relay was made.
func (r *Relay) Active() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.active
}

// Tick does what is to be done from time to time. It is called every few seconds.
func (r *Relay) Tick(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for role := range r.sides {
		s := &r.sides[role]
		if now.Sub(s.pinged) >= pingEvery {
			s.ping, s.pinged = true, now
		}
		if len(s.asked) > 0 && now.Sub(s.askedAt) >= s.wait {
			s.wait *= 2
			s.insist = true
		}
	}
	r.sides[Agent].paused = r.sides[Agent].paused && !r.pausing // an agent that did not hear it is told again
	r.changed(now)
}

// Watch has a function called with the output of an unencrypted session, in its order, from a sequence number on, and with the sequence number
// behind it. It hears of output that comes from now on. The bytes are not its own, and the agent waits until it returns.
func (r *Relay) Watch(from int64, f func(next int64, output []byte)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watch = f // there is nothing yet that hear could give to it
	r.flows[Client].watch(from)
}

// listenIn collects output for watch. The relay's lock is held.
func (r *Relay) listenIn() {
	f := &r.flows[Client]
	for m := f.hear(); m != nil; m = f.hear() {
		if (m.PayloadType == output || m.PayloadType == standardError) && !r.encrypted {
			r.heard = append(r.heard, heard{m.Sequence + 1, m.Payload})
		}
	}
}

// hear gives what was collected to watch.
func (r *Relay) hear() {
	r.hearing.Lock()
	defer r.hearing.Unlock()
	r.mu.Lock()
	list := r.heard
	r.heard = nil
	r.mu.Unlock()
	for _, h := range list {
		r.watch(h.next, h.output)
	}
}
