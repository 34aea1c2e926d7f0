package datachannel

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/google/uuid"
)

// The limits of what is received and not consumed. The window of a sender of ours is smaller; another's
// is held up by its connection.
const (
	mostReceived = 24 << 20 // bytes
	mostAhead    = 1 << 14  // frames after a missing one
	receivedSize = 256      // what one costs beside its bytes
)

// incoming is the receiving half of a channel. It is guarded by the channel's lock.
type incoming struct {
	expected int64               // sequence number
	held     map[int64]*received // what came before its turn; acknowledged
	taken    []*received         // what had its turn and is not acknowledged, in order
	ready    []*received         // what waits for Receive
	bytes    int                 // of all these
}

// received is a frame that came.
type received struct {
	seq      int64
	id       uuid.UUID
	kind     uint32
	payload  []byte
	size     int
	pool     *[]byte // where the payload's memory goes back to frames, if it is not needed any more
	consumed bool
	acked    bool
}

// mostOwn is the size up to which a frame that comes has memory of its own.
const mostOwn = 16 << 10

// memory is that of a frame that comes.
func memory(size int) ([]byte, *[]byte) {
	if size <= mostOwn || size > headroom+largeChunk+tagSize {
		return make([]byte, size), nil
	}
	b := buffersFor(size - headroom - tagSize).get()
	return (*b)[:size], b
}

// keep lets the payload's memory be what it is.
func (r *received) keep() { r.pool = nil }

// arrived takes a frame of the peer. One that was acknowledged before is acknowledged again, one that
// came before its turn is kept and acknowledged, and one that is next is acknowledged when it has been
// consumed, so that whoever does not read holds up the sender and nobody in between.
func (c *Channel) arrived(m *Message, pool *[]byte) {
	c.mu.Lock()
	if c.paused { // source: agent
		c.paused = false
		notify(c.wake)
	}
	in := &c.in
	first := in.expected
	if len(in.taken) > 0 {
		first = in.taken[0].seq
	}
	_, held := in.held[m.Sequence]
	switch {
	case m.Sequence < first || held:
		c.answer(&received{id: m.ID, seq: m.Sequence})
	case m.Sequence < in.expected: // it waits to be consumed
	case m.Sequence-in.expected > mostAhead, m.Sequence > in.expected && in.bytes > mostReceived: // it comes again
	default:
		r := &received{seq: m.Sequence, id: m.ID, kind: m.PayloadType, payload: m.Payload, size: len(m.Payload) + receivedSize, pool: pool}
		in.bytes += r.size
		if r.seq > in.expected {
			in.held[r.seq] = r
			r.acked = true
			c.answer(r)
			break
		}
		var turn []*received
		for ; r != nil; r = in.held[in.expected] {
			delete(in.held, r.seq)
			in.expected++
			in.taken = append(in.taken, r)
			turn = append(turn, r)
		}
		if c.o.deliver == nil {
			in.ready = append(in.ready, turn...)
			notify(c.readable)
			break
		}
		c.mu.Unlock()
		for _, r := range turn {
			c.o.deliver(r)
		}
		return
	}
	c.mu.Unlock()
}

// answer acknowledges a frame. The caller has the lock.
func (c *Channel) answer(r *received) {
	if c.conn == nil || len(c.out.acks) >= mostAcks {
		return // it comes again
	}
	o := &c.out
	o.acks = append(o.acks, ack{c.role.receives(), r.id, r.seq})
	switch {
	case !c.bare.Load() || r.kind != PayloadOutput || r.size > smallFrame+receivedSize || len(o.acks) >= mostLazy: // it is waited for
		o.due = true
		notify(c.wake)
	case len(o.acks) == 1:
		c.hurry()
	}
}

// hurry lets an acknowledgement wait a moment: a keystroke's goes with its echo, and keeps neither waiting. The caller has the lock.
func (c *Channel) hurry() {
	if c.out.hurry != nil {
		c.out.hurry.Reset(lazy)
		return
	}
	c.out.hurry = time.AfterFunc(lazy, func() {
		c.mu.Lock()
		due := len(c.out.acks) > 0
		c.out.due = due
		c.mu.Unlock()
		if due {
			notify(c.wake)
		}
	})
}

// weigh notes that a frame that has not been consumed costs more than its bytes.
func (c *Channel) weigh(r *received, more int) {
	c.mu.Lock()
	r.size += more
	c.in.bytes += more
	c.mu.Unlock()
}

// consume notes that frames have been consumed, and acknowledges them in order.
func (c *Channel) consume(consumed ...*received) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := &c.in
	for _, r := range consumed {
		r.consumed = true
		r.payload = nil
		in.bytes -= r.size
		if r.pool != nil {
			putBack(r.pool)
			r.pool = nil
		}
	}
	n := 0
	for n < len(in.taken) && in.taken[n].consumed {
		if !in.taken[n].acked {
			c.answer(in.taken[n])
		}
		in.taken[n] = nil
		n++
	}
	in.taken = in.taken[n:]
	if c.blocked.Load() {
		notify(c.consumed)
	}
}

// holdBack waits while too much is not consumed, so that the connection fills up.
func (c *Channel) holdBack() {
	for {
		c.mu.Lock()
		full := c.in.bytes > mostReceived && len(c.in.taken) > 0
		if full {
			c.blocked.Store(true)
		}
		c.mu.Unlock()
		if !full {
			break
		}
		select {
		case <-c.consumed:
		case <-c.closed:
			return
		}
	}
	if c.blocked.Swap(false) {
		c.hear() // nothing could be heard meanwhile
	}
}

// Receive gives the next payload, and acknowledges the one that the call before gave. The error is
// io.EOF after channel_closed.
func (c *Channel) Receive(ctx context.Context) (kind uint32, payload []byte, err error) {
	c.receiving.Lock()
	defer c.receiving.Unlock()
	if c.current != nil {
		c.consume(c.current)
		c.current = nil
	}
	for {
		c.mu.Lock()
		if len(c.in.ready) > 0 {
			c.current = c.in.ready[0]
			c.in.ready[0] = nil
			c.in.ready = c.in.ready[1:]
			c.mu.Unlock()
			c.current.keep() // the payload is the caller's
			return c.current.kind, c.current.payload, nil
		}
		err, said := c.err, c.said
		c.mu.Unlock()
		switch {
		case said:
			return 0, nil, io.EOF
		case err != nil:
			return 0, nil, err
		}
		if err := c.wait(ctx.Done(), c.readable); errors.Is(err, errGivenUp) {
			return 0, nil, context.Cause(ctx)
		}
	}
}
