package datachannel

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
)

// The sizes of what is sent.
const (
	chunk       = 64<<10 - 512     // of payload in a frame: with all that is around it four records of TLS
	largeChunk  = 512<<10 - 512    // to a peer of ours on a fast path, while more waits anyway: a frame costs as much as 64 KiB
	mostPending = 2                // frames whose payload waits for its turn
	mostExtra   = 1 << 20          // of payload that does not wait for its turn to wait
	mostUrgent  = 1024             // frames that do not wait, but cannot be sent
	smallFrame  = 2 << 10          // up to which a frame has memory of its own size
	mostAcks    = 1 << 16          // acknowledgements of duplicates that wait
	mostLazy    = 16               // acknowledgements that wait for something that they can go with
	lazy        = time.Millisecond // for how long
	reorder     = 3                // frames by which one may be late before it is taken for lost
	headroom    = FrameOverhead + nonceSize
)

// outgoing is the sending half of a channel. It is guarded by the channel's lock.
type outgoing struct {
	window window
	next   int64 // sequence number
	order  uint64
	bytes  int // of unacknowledged frames

	unacked []*frame // in order, the first is not acknowledged
	again   []*frame // to be sent once more, in order
	urgent  []*frame // without a sequence number yet
	pending []*frame
	waiting int // bytes of payload in pending
	acks    []ack
	due     bool          // they do not wait for a frame that goes the same way
	hurry   *time.Timer   // makes them due; running while they wait
	writing bool          // the writer has something that it has not handed to the connection
	backoff time.Duration // of the first unacknowledged frame; zero if it has been sent once
	burst   int           // frames that the last timeout has sent again
	slid    bool          // something was acknowledged since the last timeout

	repaired bool // the timer runs for longer than it must
}

// frame is a frame on its way. Its bytes are made when it gets its sequence number and stay the same
// however often it is sent.
type frame struct {
	kind  uint32
	most  int     // of payload
	whole bool    // nothing is added to it
	seal  *sealer // encrypts it
	buf   []byte  // headroom, then the payload; once it is made, the frame
	pool  *[]byte // where buf goes back to frames, nil if it has memory of its own
	made  bool
	size  int // once it has been sent

	seq     int64
	at      time.Time // when it was last sent
	sent    int       // times
	order   uint64    // of all sendings
	acked   bool
	queued  bool // in again
	writing bool // the writer has it
	kept    bool // a connection may have kept its bytes
}

// buffers are the memory of frames of some size.
type buffers struct {
	sync.Pool
	size int // of payload
}

// newBuffers makes buffers for payloads up to a size.
func newBuffers(size int) *buffers {
	return &buffers{size: size, Pool: sync.Pool{New: func() any {
		b := make([]byte, 0, headroom+size+tagSize)
		return &b
	}}}
}

// The buffers of frames that are not small.
var (
	frames      = newBuffers(chunk)
	largeFrames = newBuffers(largeChunk)
)

// buffersFor are those for payloads of a size.
func buffersFor(size int) *buffers {
	if size <= chunk {
		return frames
	}
	return largeFrames
}

// get gives a buffer.
func (b *buffers) get() *[]byte { return b.Get().(*[]byte) }

// putBack gives one back that is not needed any more.
func putBack(b *[]byte) { buffersFor(cap(*b) - headroom - tagSize).Put(b) }

// newFrame makes a frame for a payload of some size, to which more may be added.
func newFrame(kind uint32, size, most int, seal *sealer) *frame {
	f := &frame{kind: kind, most: most, seal: seal}
	if most > chunk {
		size = most // all of it is to be expected
	}
	if size > smallFrame && size <= largeChunk {
		f.pool = buffersFor(size).get()
		f.buf = (*f.pool)[:headroom]
	} else {
		f.buf = make([]byte, headroom, headroom+max(size, 64)+tagSize)
	}
	return f
}

// payload is the size of the frame's payload before it is sealed.
func (f *frame) payload() int { return len(f.buf) - headroom }

// add adds to the payload as much as there is room for.
func (f *frame) add(p []byte) int {
	n := min(len(p), f.most-f.payload())
	if f.pool == nil && f.payload()+n > smallFrame {
		f.pool = frames.get()
		f.buf = append((*f.pool)[:headroom], f.buf[headroom:]...)
	}
	f.buf = append(f.buf, p[:n]...)
	return n
}

// release gives the buffer back, once nobody has it any more.
func (f *frame) release() {
	if !f.writing && f.acked && !f.queued && !f.kept && f.pool != nil {
		putBack(f.pool)
		f.pool, f.buf = nil, nil
	}
}

// encrypted says whether payloads of a kind are encrypted once that is agreed. source: agent
func encrypted(role Role, kind uint32) bool {
	return kind == PayloadOutput || role == Agent && (kind == PayloadStderr || kind == PayloadExitCode)
}

// append adds bytes of a kind to what is sent, in order, and waits while there is too much of it.
// What has not begun to be sent becomes one frame.
func (c *Channel) append(done <-chan struct{}, kind uint32, p []byte) (n int, err error) {
	for {
		c.mu.Lock()
		if c.err != nil {
			defer c.mu.Unlock()
			return n, c.err
		}
		was := n
		for c.out.waiting < c.mostWaiting() && n < len(p) {
			var last *frame
			if k := len(c.out.pending); k > 0 {
				last = c.out.pending[k-1]
			}
			if last == nil || last.whole || last.kind != kind || last.payload() == last.most {
				last = newFrame(kind, min(len(p)-n, chunk), c.nextChunk(), c.sealerOf(kind))
				c.out.pending = append(c.out.pending, last)
			}
			added := last.add(p[n:])
			n += added
			c.out.waiting += added
		}
		more := c.out.waiting < c.mostWaiting()
		c.mu.Unlock()
		if n > was {
			notify(c.wake)
		}
		if n == len(p) {
			if more {
				notify(c.room) // another may wait
			}
			return n, nil
		}
		if err := c.wait(done, c.room); err != nil {
			return n, err
		}
	}
}

// appendAll adds parts that belong together, all of them in one frame, and waits before while there is too much. They come
// after what was added with a frame before; what is small overtakes the rest.
func (c *Channel) appendAll(done <-chan struct{}, kind uint32, before *frame, parts ...[]byte) (*frame, error) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	for {
		c.mu.Lock()
		o := &c.out
		if c.err != nil {
			defer c.mu.Unlock()
			return nil, c.err
		}
		if size <= smallFrame && len(o.pending) > 0 && len(o.urgent) == 0 && !before.waits() && o.bytes < 2*o.window.size {
			f := c.whole(kind, parts...)
			o.urgent = append(o.urgent, f)
			o.window.shared = time.Now().Add(sharing)
			c.mu.Unlock()
			notify(c.wake)
			return f, nil
		}
		if o.waiting < c.mostWaiting() {
			f := c.add(kind, size, parts...)
			more := o.waiting < c.mostWaiting()
			c.mu.Unlock()
			notify(c.wake)
			if more {
				notify(c.room)
			}
			return f, nil
		}
		c.mu.Unlock()
		if err := c.wait(done, c.room); err != nil {
			return nil, err
		}
	}
}

// waits says whether a frame has not been sent. The caller has the channel's lock.
func (f *frame) waits() bool { return f != nil && f.sent == 0 }

// fast says whether a large frame keeps nobody waiting, and the peer takes it. The caller has the lock.
func (c *Channel) fast() bool { return c.bare.Load() && c.out.window.fast() }

// nextChunk is how much payload the next frame takes. The caller has the lock.
func (c *Channel) nextChunk() int {
	if len(c.out.pending) > 0 && c.fast() {
		return largeChunk
	}
	return chunk
}

// mostWaiting is how much payload waits for its turn. The caller has the lock.
func (c *Channel) mostWaiting() int {
	if c.fast() {
		return mostPending * largeChunk
	}
	return mostPending * chunk
}

// add adds parts of some size in sum to what waits. The caller has the lock.
func (c *Channel) add(kind uint32, size int, parts ...[]byte) *frame {
	var last *frame
	if k := len(c.out.pending); k > 0 {
		last = c.out.pending[k-1]
	}
	if last == nil || last.whole || last.kind != kind || last.payload()+size > last.most {
		last = newFrame(kind, size, c.nextChunk(), c.sealerOf(kind))
		c.out.pending = append(c.out.pending, last)
	}
	for _, p := range parts {
		last.add(p)
	}
	c.out.waiting += size
	return last
}

// sealerOf is what encrypts payloads of a kind, nil if they are sent as they are. The caller has the lock.
func (c *Channel) sealerOf(kind uint32) *sealer {
	if encrypted(c.role, kind) {
		return c.seal
	}
	return nil
}

// whole makes a frame of one payload, which may be in parts. The caller has the lock.
func (c *Channel) whole(kind uint32, payload ...[]byte) *frame {
	size := 0
	for _, p := range payload {
		size += len(p)
	}
	f := newFrame(kind, size, chunk, c.sealerOf(kind))
	f.whole = true
	for _, p := range payload {
		f.buf = append(f.buf, p...)
	}
	return f
}

// Send sends a payload after all that was sent before, and waits while the path is full. It takes the payload over.
func (c *Channel) Send(ctx context.Context, kind uint32, payload []byte) error {
	return cause(ctx, c.send(ctx.Done(), kind, payload))
}

// send is Send until done is closed.
func (c *Channel) send(done <-chan struct{}, kind uint32, payload []byte) error {
	if len(payload) > MostPayload-nonceSize-tagSize {
		return fmt.Errorf("%w: payload of %d bytes", ErrFrame, len(payload))
	}
	for {
		c.mu.Lock()
		if c.err != nil {
			defer c.mu.Unlock()
			return c.err
		}
		if c.out.waiting < c.mostWaiting() {
			c.out.pending = append(c.out.pending, c.whole(kind, payload))
			c.out.waiting += len(payload)
			more := c.out.waiting < c.mostWaiting()
			c.mu.Unlock()
			notify(c.wake)
			if more {
				notify(c.room)
			}
			return nil
		}
		c.mu.Unlock()
		if err := c.wait(done, c.room); err != nil {
			return err
		}
	}
}

// sendLast sends a small payload after all that was sent before, without waiting.
func (c *Channel) sendLast(kind uint32, payload []byte) (f *frame, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	if c.out.waiting > c.mostWaiting()+mostExtra {
		return nil, errBusy
	}
	if kind == PayloadOutput {
		f = c.add(kind, len(payload), payload)
	} else {
		f = c.whole(kind, payload)
		c.out.pending = append(c.out.pending, f)
		c.out.waiting += len(payload)
	}
	notify(c.wake)
	return f, nil
}

// SendUrgent sends a payload before all that still waits for its turn. A terminal's size takes the place
// of one that has not been sent yet.
func (c *Channel) SendUrgent(kind uint32, payload []byte) error {
	if len(payload) > MostPayload-nonceSize-tagSize {
		return fmt.Errorf("%w: payload of %d bytes", ErrFrame, len(payload))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	f := c.whole(kind, payload)
	if k := len(c.out.urgent); k > 0 && kind == PayloadSize && c.out.urgent[k-1].kind == kind {
		c.out.urgent[k-1] = f
		return nil
	}
	if len(c.out.urgent) >= mostUrgent {
		return errBusy
	}
	c.out.urgent = append(c.out.urgent, f)
	notify(c.wake)
	return nil
}

// Flush waits until all that was sent is acknowledged.
func (c *Channel) Flush(ctx context.Context) error {
	for {
		c.mu.Lock()
		done := len(c.out.unacked)+len(c.out.urgent)+len(c.out.pending) == 0
		err := c.err
		c.mu.Unlock()
		if done {
			notify(c.flushed) // another may wait
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.wait(ctx.Done(), c.flushed); err != nil {
			return cause(ctx, err)
		}
	}
}

// written waits until all that is urgent, and the state, has been handed to the connection, if there is one.
func (c *Channel) written(most time.Duration) {
	t := time.NewTimer(most)
	defer t.Stop()
	for {
		c.mu.Lock()
		done := c.conn == nil || c.err != nil || len(c.out.urgent)+len(c.out.again)+len(c.out.acks) == 0 && !c.out.writing && (c.told || c.state == "")
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-c.flushed:
		case <-c.closed:
		case <-t.C:
			return
		}
	}
}

// reconnected makes everything that is not acknowledged be sent again. Acknowledgements that were not
// sent are not needed: what they are for comes again.
func (o *outgoing) reconnected() {
	for _, f := range o.again {
		f.queued = false
	}
	o.again = o.again[:0]
	for _, f := range o.unacked {
		if !f.acked {
			f.queued = true
			o.again = append(o.again, f)
		}
	}
	o.acks, o.due, o.backoff, o.burst = nil, false, 0, 0
	o.window.reset(o.next)
}

// roundTrip is how long an answer takes, zero if that is not known.
func (c *Channel) roundTrip() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.window.smooth
}

// unanswered says whether the peer owes an acknowledgement.
func (o *outgoing) unanswered() bool { return len(o.unacked) > 0 }

// write writes what there is to write until the connection is done with.
func (c *Channel) write(conn Conn, done <-chan struct{}) {
	socket, copies := conn.(*websocketConn)
	send, flush := conn.Send, func() error { return nil }
	if copies {
		send, flush = socket.collect, socket.under.Flush
	}
	timer := time.NewTimer(time.Hour) // for what is not acknowledged
	timer.Stop()
	defer timer.Stop()
	defer func() {
		c.mu.Lock()
		c.out.writing = false
		c.mu.Unlock()
	}()
	armed, unflushed := false, false
	var m Message
	for {
		c.mu.Lock()
		f, a, isAck, state := c.nextOut(unflushed)
		unflushed = f != nil || isAck || state != ""
		c.out.writing = c.out.writing || unflushed // until it is flushed
		wait := time.Duration(0)
		if (!armed || c.out.repaired) && len(c.out.unacked) > 0 {
			wait = c.retryIn(time.Now())
		}
		c.out.repaired = false
		c.mu.Unlock()
		if wait > 0 {
			timer.Reset(wait)
			armed = true
		}
		var err error
		switch {
		case f != nil:
			if err = f.make(c.role, c.bare.Load()); err == nil {
				m = Message{Frame: f.buf}
				sending := &m
				if !copies {
					sending, f.kept = f.message(c.role), true
				}
				err = send(sending)
			}
			c.mu.Lock()
			f.writing = false
			f.release()
			c.mu.Unlock()
		case isAck:
			err = send(a.message())
		case state != "":
			var s *Message
			if s, err = c.stateMessage(state); err == nil {
				err = send(s)
			}
		default:
			if err = flush(); err != nil {
				break
			}
			c.mu.Lock()
			c.out.writing = false
			c.mu.Unlock()
			notify(c.flushed)
			select {
			case <-c.wake:
			case <-timer.C:
				armed = false
				c.late()
			case <-done:
				return
			case <-c.closed:
				return
			}
		}
		if err != nil {
			c.log.Debug("data channel write", "session_id", c.o.SessionID, "error", err)
			return
		}
	}
}

// nextOut chooses what is sent next: acknowledgements, because the peer waits for them; the state; what
// has to be sent again; what is urgent; and then what waits, as far as the window has room. Acknowledgements that are not due go with
// something else; more says that there is something already. The caller has the lock.
func (c *Channel) nextOut(more bool) (f *frame, a ack, isAck bool, state string) {
	o := &c.out
	if len(o.acks) > 0 && o.due {
		return nil, o.nextAck(), true, ""
	}
	defer func() {
		if more && f == nil && state == "" && len(o.acks) > 0 {
			a, isAck = o.nextAck(), true
		}
	}()
	if c.state != "" && !c.told {
		c.told = true
		return nil, a, false, c.state
	}
	for len(o.again) > 0 {
		f = o.again[0]
		o.again[0] = nil
		o.again = o.again[1:]
		f.queued = false
		if f.acked {
			f.release()
			continue
		}
		o.leaves(f)
		return f, a, false, ""
	}
	switch {
	case len(o.urgent) > 0:
		f = o.urgent[0]
		o.urgent = o.urgent[1:]
	case len(o.pending) > 0 && !c.paused:
		f = o.pending[0]
		if o.bytes > 0 && o.bytes+len(f.buf) > o.window.room() {
			o.window.limited = true
			return nil, a, false, ""
		}
		o.pending[0] = nil
		o.pending = o.pending[1:]
		o.waiting -= f.payload()
		notify(c.room)
	default:
		return nil, a, false, ""
	}
	f.seq = o.next
	o.next++
	f.size = len(f.buf)
	o.bytes += f.size
	o.unacked = append(o.unacked, f)
	o.leaves(f)
	return f, a, false, ""
}

// nextAck takes the first acknowledgement that waits.
func (o *outgoing) nextAck() ack {
	a := o.acks[0]
	if o.acks = o.acks[1:]; len(o.acks) == 0 {
		o.acks, o.due = nil, false
		if o.hurry != nil {
			o.hurry.Stop() // if it has run, it finds nothing
		}
	}
	return a
}

// leaves notes that a frame is sent.
func (o *outgoing) leaves(f *frame) {
	o.order++
	f.order, f.at, f.writing = o.order, time.Now(), true
	f.sent++
}

// retryIn is the time until the first unacknowledged frame is late. The caller has the lock.
func (c *Channel) retryIn(now time.Time) time.Duration {
	after := max(c.out.backoff, c.out.window.retry())
	return max(time.Millisecond, c.out.unacked[0].at.Add(after).Sub(now))
}

// late sends again what has been without an acknowledgement for too long: the first frame, because the
// peer may only be slow; and when that helped, twice as many each time.
func (c *Channel) late() {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.out
	now := time.Now()
	if len(o.unacked) == 0 || len(o.again) > 0 || c.retryIn(now) > time.Millisecond {
		return
	}
	if o.slid && o.burst > 0 {
		o.burst *= 2
	} else {
		o.burst = 1
	}
	o.backoff = min(mostRetry, 2*max(o.backoff, o.window.retry()))
	o.slid = false
	for _, f := range o.unacked[:min(o.burst, len(o.unacked))] {
		if !f.acked && !f.writing {
			f.queued = true
			o.again = append(o.again, f)
		}
	}
}

// acknowledged takes the acknowledgement of a frame. Any of them lets a paused agent go on.
func (c *Channel) acknowledged(seq int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := &c.out
	if c.paused {
		c.paused = false
		notify(c.wake)
	}
	if len(o.unacked) == 0 {
		return
	}
	i := seq - o.unacked[0].seq
	if i < 0 || i >= int64(len(o.unacked)) || o.unacked[i].acked || o.unacked[i].sent == 0 {
		return
	}
	f := o.unacked[i]
	f.acked = true
	now := time.Now()
	o.bytes -= f.size
	took := now.Sub(f.at)
	switch {
	case f.sent == 1:
		o.window.measured(took, now)
		o.backoff, o.burst = 0, 0
	case o.backoff > 0 && o.window.usual(took): // so it was lost before, and the path is as it was
		o.backoff, o.burst, o.repaired = 0, 0, true
	}
	o.window.acknowledged(seq, f.size, o.next, now)
	for len(o.unacked) > 0 && o.unacked[0].acked {
		o.unacked[0].release()
		o.unacked[0] = nil
		o.unacked = o.unacked[1:]
		o.slid = true
	}
	if f.sent == 1 {
		o.lost(f)
	}
	switch {
	case len(o.unacked) == 0 && len(o.pending) == 0 && len(o.again) == 0:
		o.unacked = nil
		notify(c.flushed)
	case len(o.pending) > 0 || len(o.again) > 0 || o.repaired:
		notify(c.wake) // which looks at the time, too
	}
}

// lost finds frames that were sent well before one that has been acknowledged. A connection keeps the
// order, so something on the way has dropped them.
func (o *outgoing) lost(than *frame) {
	for _, f := range o.unacked {
		if f.seq >= than.seq || f.order+reorder > than.order {
			return
		}
		if !f.acked && !f.queued && !f.writing {
			f.queued = true
			o.again = append(o.again, f)
		}
	}
}

// shrink moves a payload into less memory, where it would keep much more than it counts for.
func (f *frame) shrink() {
	var into *[]byte
	var b []byte
	switch {
	case f.pool == nil:
		return
	case len(f.buf) <= mostOwn:
		b = make([]byte, 0, len(f.buf)+tagSize)
	case f.most > chunk && f.payload() <= chunk:
		into = frames.get()
		b = *into
	default:
		return
	}
	b = append(b, f.buf...)
	putBack(f.pool)
	f.pool, f.buf = into, b
}

// make makes the bytes of a frame, once; a bare one has no digest.
func (f *frame) make(role Role, bare bool) error {
	if f.made {
		return nil
	}
	f.shrink()
	if f.seal != nil {
		f.buf = f.seal.seal(f.buf[:FrameOverhead], f.buf[headroom:])
	} else {
		f.buf = f.buf[nonceSize:]
	}
	m := f.message(role)
	m.ID, m.Frame = uuid.New(), nil
	b, err := appendFrame(f.buf[:0], m, bare) // the payload is where it belongs
	f.buf, f.made = b, err == nil
	return err
}

// message is the frame as a message.
func (f *frame) message(role Role) *Message {
	m := &Message{
		Type: role.sends(), Schema: 1, Created: f.at, Sequence: f.seq, PayloadType: f.kind, Payload: f.buf[FrameOverhead:], Frame: f.buf,
	}
	if f.seq == 0 && role == Agent {
		m.Flags = 1 // source: agent
	}
	return m
}

// ack is an acknowledgement to send.
type ack struct {
	kind string // the type of the message
	id   uuid.UUID
	seq  int64
}

// The text of an acknowledgement, between its values. source: agent
const (
	ackType = `{"AcknowledgedMessageType":"`
	ackID   = `","AcknowledgedMessageId":"`
	ackSeq  = `","AcknowledgedMessageSequenceNumber":`
	ackEnd  = `,"IsSequentialMessage":true}`
)

// message is the acknowledgement as a message.
func (a ack) message() *Message { return Acknowledgement(a.kind, a.id, a.seq) }

// Acknowledgement is the message that acknowledges a frame of a type, such as output_stream_data. Official peers know the frame by its
// sequence number alone, so a frame that is not at hand any more may go without its id. source: agent
func Acknowledgement(kind string, id uuid.UUID, sequence int64) *Message {
	b := make([]byte, 0, 192)
	b = append(append(append(b, ackType...), kind...), ackID...)
	text, _ := id.MarshalText() // which has no errors
	b = append(append(b, text...), ackSeq...)
	b = append(strconv.AppendInt(b, sequence, 10), ackEnd...)
	return &Message{Type: typeAck, Schema: 1, Created: time.Now(), Flags: 3, ID: uuid.New(), Payload: b}
}

// AcknowledgedSequence reads of the payload of an acknowledgement which sequence number it is for: of the usual form without
// taking it apart. Type and id are not compared. source: agent
func AcknowledgedSequence(payload []byte) (int64, bool) {
	const idSize = 36
	for _, kind := range []string{typeOutput, typeInput} {
		at := len(ackType) + len(kind) + len(ackID) + idSize
		if len(payload) <= at+len(ackSeq)+len(ackEnd) || string(payload[len(ackType):len(ackType)+len(kind)]) != kind ||
			string(payload[at:at+len(ackSeq)]) != ackSeq || string(payload[len(payload)-len(ackEnd):]) != ackEnd {
			continue
		}
		seq, err := strconv.ParseInt(string(payload[at+len(ackSeq):len(payload)-len(ackEnd)]), 10, 64)
		if err == nil {
			return seq, seq >= 0
		}
	}
	var a struct {
		AcknowledgedMessageSequenceNumber *int64
	}
	if json.Unmarshal(payload, &a) != nil || a.AcknowledgedMessageSequenceNumber == nil {
		return 0, false
	}
	return *a.AcknowledgedMessageSequenceNumber, *a.AcknowledgedMessageSequenceNumber >= 0
}

// flag is the payload of a flag.
func flag(which uint32) []byte { return binary.BigEndian.AppendUint32(nil, which) }

// isFlag says whether a payload is a flag.
func isFlag(payload []byte, which uint32) bool {
	return len(payload) == 4 && binary.BigEndian.Uint32(payload) == which
}
