package relay

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/datachannel"
)

// mostAcks are the acknowledgements that wait for a peer. It does not read when there are more, and will ask again.
const mostAcks = 4 << 10

// patience is how long a peer may take for an answer to a ping before it is asked again; it doubles each time. An
// official peer may lose an answer that it cannot send at once. source: agent
const patience = 5 * time.Second

// side is one end of a session: the stream of a peer, and what waits to be sent on it besides frames of the flow.
// It is guarded by the relay's lock.
type side struct {
	stream  api.Stream      // nil while the peer is not there
	number  uint32          // of the stream, from 1
	writers *sync.WaitGroup // the goroutines that send on the stream
	writing bool            // one of them is at it
	broken  bool            // sending has failed
	pinged  time.Time       // when it was asked last whether it is there
	hangUp  *time.Timer     // ends the stream when the session has ended

	ended  bool // the session has, for this peer
	said   bool // and it was told so on this stream
	ping   bool // it is to be asked whether it is there
	paused bool // an agent: the last thing that it was told is to pause

	acks     queue[*api.Message]
	owedLast uuid.UUID    // the last frame for which we have put one there in the receiver's place
	owed, to int64        // sequence numbers whose acknowledgements are to be repeated
	repeat   queue[int64] // frames to be sent again on the same stream
	doubts   []int64      // frames that were sent again
	asked    []int64      // those of them that were sent before the ping that is not answered yet
	barrier  uint64       // the number of the first such ping
	pings    uint64
	askedAt  time.Time
	wait     time.Duration // before the ping is repeated
	insist   bool          // it is to be repeated
}

// leave ends the stream of a peer that does not do so itself when the session has ended, or does not even read that
// it has.
func (s *side) leave() {
	stream := s.stream
	s.hangUp = time.AfterFunc(linger, func() { _ = stream.Close("") })
}

// keep says that the stream has ended or is not ours any more.
func (s *side) keep() {
	if s.hangUp != nil {
		s.hangUp.Stop()
	}
}

// queue is first in, first out.
type queue[T any] struct {
	items []T
	first int
}

// len is how many wait.
func (q *queue[T]) len() int { return len(q.items) - q.first }

// push adds one at the end.
func (q *queue[T]) push(item T) {
	if q.first > len(q.items)/2 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.first:])
		clear(q.items[n:])
		q.items, q.first = q.items[:n], 0
	}
	q.items = append(q.items, item)
}

// pop takes the first.
func (q *queue[T]) pop() T {
	var none T
	item := q.items[q.first]
	q.items[q.first] = none
	if q.first++; q.first == len(q.items) {
		q.items, q.first = q.items[:0], 0
		if cap(q.items) > 1<<8 {
			q.items = nil
		}
	}
	return item
}

// job is one thing to do on a stream: a message, or a ping, or else to send what waits for more.
type job struct {
	m       *api.Message
	ping    bool
	barrier uint64 // of the ping, when its answer matters
}

// next gives what is to be sent to a peer now: first what is short and waited for, then the frames. The relay's lock
// is held.
func (r *Relay) next(role Role) (job, bool) {
	s, f := &r.sides[role], &r.flows[role]
	switch {
	case s.ended && !s.said:
		s.said = true
		return job{m: closed(r.session, r.target, r.output)}, true
	case s.acks.len() > 0:
		s.paused = false // an agent goes on when it hears anything of its peer
		return job{m: s.acks.pop()}, true
	}
	for from := &r.flows[role.peer()]; s.owed < s.to; {
		if s.owed++; from.has(s.owed - 1) {
			s.paused = false
			return job{m: datachannel.Acknowledgement(role.data(), uuid.Nil, s.owed-1)}, true
		}
	}
	switch {
	case s.ended:
		return job{}, false
	case role == Agent && r.pausing && !s.paused:
		s.paused = true
		return job{m: message(pausePublication, 0, nil)}, true
	case role == Agent && !r.pausing && s.paused:
		s.paused = false
		return job{m: message(startPublication, 0, nil)}, true
	case len(s.doubts) > 0 && len(s.asked) == 0:
		s.asked, s.doubts, s.wait, s.insist, s.barrier = s.doubts, nil, patience, false, s.pings+1
		return s.ask(), true
	case s.insist:
		s.insist = false
		return s.ask(), true
	case s.ping:
		s.ping = false
		return job{ping: true}, true
	}
	for s.repeat.len() > 0 {
		n := s.repeat.pop()
		if slot := f.find(n); slot != nil && slot.waits() && slot.stream == s.number {
			s.doubts, s.paused = append(s.doubts, n), false
			return job{m: slot.m}, true
		}
	}
	// A plugin that is not ready acknowledges what comes before its turn, and forgets it when its turn comes; but no more than the window waits
	// for that. source: agent
	m, again := f.send(s.number, time.Now(), role == Client && r.silent && !r.ready && !f.full)
	if again {
		s.doubts = append(s.doubts, m.Sequence)
	}
	if m != nil {
		s.paused = false
	}
	return job{m: m}, m != nil
}

// ask is a ping whose answer says what has become of the frames that were sent before it.
func (s *side) ask() job {
	s.pings++
	s.askedAt = time.Now()
	return job{ping: true, barrier: s.pings}
}

// kick starts to send on a side's stream, if there is something to send and nobody is at it. The relay's lock is held.
func (r *Relay) kick(role Role) {
	s := &r.sides[role]
	if s.stream == nil || s.writing || s.broken {
		return
	}
	j, ok := r.next(role)
	if !ok {
		return
	}
	s.writing = true
	r.posts(j)
	stream, number := s.stream, s.number
	s.writers.Go(func() { r.write(stream, role, number, j) }) // Serve waits for it
}

// write sends until there is nothing left to send. The store is the queue, so what is urgent never waits for more
// than the message that is being written.
func (r *Relay) write(stream api.Stream, role Role, number uint32, j job) {
	for ok := true; ok; {
		err := r.do(stream, role, number, j)
		r.mu.Lock()
		r.posted(j)
		s := &r.sides[role]
		switch {
		case s.number != number || s.stream == nil:
			ok = false
		case err != nil:
			ok, s.broken = false, true
			r.wake()
		default:
			posted := j != job{}
			if j, ok = r.next(role); !ok && posted {
				ok = true // j is none, so that all goes
			}
			s.writing = ok
			r.posts(j)
		}
		r.mu.Unlock()
		if err != nil {
			_ = stream.Close("") // Serve hears it
		}
	}
}

// posts notes that a goroutine is about to do a job. The relay's lock is held.
func (r *Relay) posts(j job) {
	if j.m != nil {
		r.posting = append(r.posting, j.m)
	}
}

// posted notes that it has done it. The relay's lock is held.
func (r *Relay) posted(j job) {
	if i := slices.Index(r.posting, j.m); j.m != nil && i >= 0 {
		r.posting = slices.Delete(r.posting, i, i+1)
	}
}

// do does a job.
func (r *Relay) do(stream api.Stream, role Role, number uint32, j job) error {
	switch {
	case j.m != nil:
		return stream.Post(j.m)
	case j.barrier > 0:
		return stream.Ping(func() { r.answered(role, number, j.barrier) })
	case j.ping:
		return stream.Ping(nil)
	}
	return stream.Flush()
}

// answered acts on the answer to a ping. Official peers do one thing after the other, so a peer that answers has
// done all that it ever will about the frames before the ping. An agent acknowledges whatever it has, so one that is
// not acknowledged was refused for now. A plugin says nothing when it is given a frame twice: what it does not
// acknowledge though it is ready, it had before.
func (r *Relay) answered(role Role, number uint32, ping uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, f := &r.sides[role], &r.flows[role]
	if s.number != number || s.stream == nil || ping < s.barrier || len(s.asked) == 0 {
		return
	}
	asked, now := s.asked, time.Now()
	s.asked = nil
	for _, n := range asked {
		slot := f.find(n)
		if slot == nil || !slot.waits() || slot.stream != number {
			continue
		}
		slot.again = false
		if m := slot.m; role == Client && r.silent && r.ready && r.ack(role, n, number, now) {
			r.owe(role.peer(), m)
		}
	}
	r.changed(now)
}

// owe acknowledges a frame to its sender in the receiver's place. The relay's lock is held.
func (r *Relay) owe(sender Role, m *api.Message) {
	s := &r.sides[sender]
	if s.stream == nil || s.acks.len() >= mostAcks || s.acks.len() > 0 && s.owedLast == m.ID {
		return // it will ask again; it may do so many times while it does not read what we answer
	}
	s.acks.push(datachannel.Acknowledgement(m.Type, m.ID, m.Sequence))
	s.owedLast = m.ID
}
