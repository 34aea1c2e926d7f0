package datachannel

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// inbox holds what came of a stream of bytes until it is read. Reading acknowledges it.
type inbox struct {
	c       *Channel
	came    chan struct{} // there may be something to read
	emptied chan struct{} // it may be that all has been read; nil if nobody minds

	mu      sync.Mutex // guards the rest
	frames  []*received
	at      int   // within the first
	err     error // after the last
	dropped bool  // nobody reads
}

// newInbox makes an inbox of a channel.
func newInbox(c *Channel, emptied chan struct{}) *inbox {
	return &inbox{c: c, came: make(chan struct{}, 1), emptied: emptied}
}

// put adds a frame. Where nobody will read it, it is as good as read.
func (b *inbox) put(r *received) {
	b.mu.Lock()
	gone := b.dropped
	if !gone {
		b.frames = append(b.frames, r)
	}
	b.mu.Unlock()
	if gone {
		b.c.consume(r)
		return
	}
	notify(b.came)
}

// end makes the readers get an error after all that came.
func (b *inbox) end(err error) {
	b.mu.Lock()
	if b.err == nil {
		b.err = err
	}
	b.mu.Unlock()
	notify(b.came)
}

// drop forgets what came and was not read, and what comes.
func (b *inbox) drop() {
	b.mu.Lock()
	b.dropped = true
	b.mu.Unlock()
	b.skip()
}

// skip forgets what came and was not read.
func (b *inbox) skip() {
	b.mu.Lock()
	all := b.frames
	b.frames, b.at = nil, 0
	b.mu.Unlock()
	b.consume(all...)
}

// consume acknowledges frames that have been read.
func (b *inbox) consume(read ...*received) {
	b.c.consume(read...)
	if b.emptied != nil && b.empty() {
		notify(b.emptied)
	}
}

// without removes what came of a kind, but for a frame that has begun to be read.
func (b *inbox) without(kind uint32) (removed []*received) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.frames[:0]
	for i, r := range b.frames {
		if r.kind == kind && (i > 0 || b.at == 0) {
			removed = append(removed, r)
		} else {
			kept = append(kept, r)
		}
	}
	clear(b.frames[len(kept):])
	b.frames = kept
	return removed
}

// empty says whether everything that came has been read.
func (b *inbox) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.frames) == 0
}

// take reads what there is, without waiting.
func (b *inbox) take(p []byte) (n int, err error) {
	var done []*received
	b.mu.Lock()
	for n < len(p) && len(b.frames) > 0 {
		r := b.frames[0]
		k := copy(p[n:], r.payload[b.at:])
		n += k
		if b.at += k; b.at < len(r.payload) {
			break
		}
		done = append(done, r)
		b.frames[0] = nil
		b.frames, b.at = b.frames[1:], 0
	}
	if n == 0 && len(b.frames) == 0 {
		err = b.err
	}
	more := len(b.frames) > 0 || b.err != nil
	b.mu.Unlock()
	if len(done) > 0 {
		b.consume(done...)
	}
	if more {
		notify(b.came) // another may wait
	}
	return n, err
}

// next takes a whole frame, or what is left of it, without a copy. Whoever has used it consumes it.
func (b *inbox) next() (r *received, payload []byte, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.frames) == 0 {
		return nil, nil, b.err
	}
	r = b.frames[0]
	payload = r.payload[b.at:]
	b.frames[0] = nil
	b.frames, b.at = b.frames[1:], 0
	return r, payload, nil
}

// read waits for something to read, until done is closed.
func (b *inbox) read(done <-chan struct{}, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if n, err := b.take(p); n > 0 || err != nil {
			return n, err
		}
		select {
		case <-b.came:
		case <-done:
			return 0, errGivenUp
		}
	}
}

// writeTo writes all that comes, as it came, until the end.
func (b *inbox) writeTo(w io.Writer) (written int64, err error) {
	for {
		r, payload, err := b.next()
		switch {
		case r != nil:
			n, err := w.Write(payload)
			b.consume(r)
			written += int64(n)
			if err != nil {
				return written, err
			}
		case err == io.EOF: //nolint:errorlint // it is the one that end was given
			return written, nil
		case err != nil:
			return written, err
		default:
			<-b.came
		}
	}
}

// deadline is a time after which reads or writes are given up; it may be set while they wait.
type deadline struct {
	mu     sync.Mutex // guards the rest
	timer  *time.Timer
	passed chan struct{}
}

// newDeadline makes a deadline that is never.
func newDeadline() *deadline { return &deadline{passed: make(chan struct{})} }

// set sets the time; the zero time is never.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passed // the timer closes it
	}
	d.timer = nil
	over := false
	select {
	case <-d.passed:
		over = true
	default:
	}
	if over {
		d.passed = make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	if left := time.Until(t); left > 0 {
		passed := d.passed
		d.timer = time.AfterFunc(left, func() { close(passed) })
	} else {
		close(d.passed)
	}
}

// done is closed when the time has passed.
func (d *deadline) done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
}

// ends is what connections of a port have of a net.Conn beside bytes: deadlines, and addresses that are names only.
type ends struct{ reads, writes *deadline }

// newEnds makes one whose deadlines are never.
func newEnds() ends { return ends{newDeadline(), newDeadline()} }

// LocalAddr is a name only.
func (ends) LocalAddr() net.Addr { return addr{} }

// RemoteAddr is a name only.
func (ends) RemoteAddr() net.Addr { return addr{} }

// SetDeadline sets both deadlines.
func (e ends) SetDeadline(t time.Time) error {
	return errors.Join(e.SetReadDeadline(t), e.SetWriteDeadline(t))
}

// SetReadDeadline gives reads up at a time.
func (e ends) SetReadDeadline(t time.Time) error {
	e.reads.set(t)
	return nil
}

// SetWriteDeadline gives writes up at a time.
func (e ends) SetWriteDeadline(t time.Time) error {
	e.writes.set(t)
	return nil
}

// addr is the address of something that has none.
type addr struct{}

// Network is a name only.
func (addr) Network() string { return "datachannel" }

// String is a name only.
func (addr) String() string { return "datachannel" }
