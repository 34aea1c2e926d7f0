package datachannel

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// The frames of a multiplexer: version, command, length and number of the stream, little-endian. With an AWS peer
// they are those of smux 1; ours have windows, a half-close and a word that a connection is not read any more.
// source: agent
const (
	muxHeader   = 8
	muxSmux     = 1
	muxOurs     = 0x40
	muxOpen     = 0
	muxEnd      = 1 // of what is sent; with smux of both directions
	muxData     = 2
	muxNothing  = 3
	muxWindow   = 4 // ours: bytes that may be sent beyond those that might before
	muxStop     = 5 // ours: nothing is read any more, because of a reason or none
	firstStream = 3
	muxStep     = 2
)

// The limits of a multiplexer.
const (
	streamWindow = 4 << 20  // bytes of a stream that may wait to be read, at first
	widestStream = 16 << 20 // when they come faster than they can be asked for
	mostStreams  = 4096
	mostPart     = chunk - muxHeader // bytes of a stream in a row, so that others have their turn
	mostSmux     = chunk/2 - muxHeader
	smallRead    = 4 << 10
	mostReason   = 1 << 10
	partSize     = 64               // what a part costs beside its bytes
	keepSmux     = 10 * time.Second // between signs of life for an old peer. source: agent
)

// The errors of a multiplexer.
var (
	errMux     = errors.New("the connections of the port cannot be told apart any more")
	errStreams = errors.New("the session has too many connections")
	errAborted = errors.New("the connection was closed by the other end")
)

// PortRefused is why the node could not connect to the port. Reading gives it.
type PortRefused struct{ Reason string }

// Error is a sentence for a person.
func (r *PortRefused) Error() string {
	return "the node could not connect to the port: " + r.Reason
}

// mux carries any number of streams on a channel. What comes is given to it in order, by one goroutine.
type mux struct {
	c       *Channel
	client  bool
	version byte
	accept  chan *stream // of an agent: those that the client has opened

	// Of the frame that is being read; of the goroutine that reads.
	head    [muxHeader]byte
	have    int // bytes of the head
	left    int // bytes of what follows
	control []byte

	unread atomic.Int64 // what all costs that streams have not read

	mu      sync.Mutex // guards the rest
	err     error      // why it has ended
	streams map[uint32]*stream
	next    uint32
	fails   int // refusals that an AWS agent has told
	keep    *time.Timer
}

// newMux makes a multiplexer. One of smux keeps itself alive if the peer is old enough to expect it.
func newMux(c *Channel, client, ours, old bool) *mux {
	m := &mux{c: c, client: client, version: muxSmux, accept: make(chan *stream, mostStreams), streams: map[uint32]*stream{}, next: firstStream}
	if ours {
		m.version = muxOurs
	} else if old {
		m.mu.Lock()
		m.keep = time.AfterFunc(keepSmux, m.alive)
		m.mu.Unlock()
	}
	return m
}

// part is how many bytes of a stream go in a row.
func (m *mux) part() int {
	if m.ours() {
		return mostPart
	}
	return mostSmux
}

// ours says whether the peer is ours.
func (m *mux) ours() bool { return m.version == muxOurs }

// alive sends a sign of life to an old peer.
func (m *mux) alive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		_, _ = m.c.sendLast(PayloadOutput, m.header(muxNothing, 0, 0)) // one that is busy needs none
		m.keep.Reset(keepSmux)
	}
}

// header makes the head of a frame.
func (m *mux) header(command byte, id uint32, size int) []byte {
	b := make([]byte, 0, muxHeader)
	b = append(b, m.version, command)
	b = binary.LittleEndian.AppendUint16(b, uint16(size))
	return binary.LittleEndian.AppendUint32(b, id)
}

// tell sends a frame that carries no data of a stream, after all that was sent before.
func (m *mux) tell(command byte, id uint32, with []byte) error {
	_, err := m.c.sendLast(PayloadOutput, append(m.header(command, id, len(with)), with...))
	return err
}

// end ends all streams.
func (m *mux) end(err error) {
	m.mu.Lock()
	if m.err == nil {
		m.err = err
	}
	if m.keep != nil {
		m.keep.Stop()
	}
	streams := m.streams
	m.streams = map[uint32]*stream{}
	m.mu.Unlock()
	for _, s := range streams {
		s.ended(err)
	}
}

// open opens a stream.
func (m *mux) open() (*stream, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.err != nil:
		return nil, m.err
	case len(m.streams) >= mostStreams || m.next > 1<<31:
		return nil, errStreams
	}
	s := newStream(m, m.next)
	s.fails = m.fails
	var err error
	if s.last, err = m.c.sendLast(PayloadOutput, m.header(muxOpen, s.id, 0)); err != nil {
		return nil, err
	}
	m.next += muxStep
	m.streams[s.id] = s
	return s, nil
}

// find gives a stream, or nil.
func (m *mux) find(id uint32) *stream {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.streams[id]
}

// forget removes a stream.
func (m *mux) forget(s *stream) {
	m.mu.Lock()
	delete(m.streams, s.id)
	m.mu.Unlock()
}

// refused takes an AWS agent's word that a connection could not be made.
func (m *mux) refused() {
	m.mu.Lock()
	m.fails++
	m.mu.Unlock()
}

// refusals is how many there were.
func (m *mux) refusals() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fails
}

// input takes what came. A peer that breaks the rules ends the session.
func (m *mux) input(r *received) {
	p := &piece{c: m.c, r: r, left: 1}
	payload := r.payload
	atOnce := m.ours() && m.unread.Load() <= mostReceived
	if atOnce {
		p.pool = r.pool
		r.keep()
		p.r = nil
	}
	if err := m.read(payload, p); err != nil {
		m.c.end(err)
	}
	if atOnce {
		m.c.consume(r)
	} else {
		m.c.weigh(r, p.parts*partSize)
	}
	p.done()
}

// piece is a payload of which streams have parts. It is consumed when all have read theirs; one of a peer of ours at once,
// because its streams have windows, and then only its memory waits for them. But when all of them together have not read too much, it is not:
// many windows are more than the channel may hold, and the sender is to be held up.
type piece struct {
	c     *Channel
	r     *received // nil if it has been consumed
	pool  *[]byte
	parts int // that streams have got; of the goroutine that reads

	mu   sync.Mutex
	left int // guarded by mu
}

// hold notes that a stream has a part.
func (p *piece) hold() {
	p.mu.Lock()
	p.left++
	p.mu.Unlock()
}

// done notes that a part has been read.
func (p *piece) done() {
	p.mu.Lock()
	p.left--
	last := p.left == 0
	p.mu.Unlock()
	switch {
	case !last:
	case p.r != nil:
		p.c.consume(p.r)
	case p.pool != nil:
		putBack(p.pool)
		p.pool = nil
	}
}

// read takes a payload apart. A frame may be spread over several.
func (m *mux) read(b []byte, p *piece) error {
	size := len(b)
	for len(b) > 0 {
		if m.have < muxHeader {
			n := copy(m.head[m.have:], b)
			m.have += n
			b = b[n:]
			if m.have < muxHeader {
				return nil
			}
			m.left = int(binary.LittleEndian.Uint16(m.head[2:]))
			m.control = nil
			if m.head[0] != m.version {
				return errMux
			}
		}
		part := b[:min(len(b), m.left)]
		b = b[len(part):]
		m.left -= len(part)
		id := binary.LittleEndian.Uint32(m.head[4:])
		if m.head[1] == muxData {
			if s := m.find(id); s != nil && len(part) > 0 {
				if !s.came(part, size, p) {
					return errMux
				}
			}
		} else {
			if len(part)+m.left > mostReason {
				return errMux
			}
			m.control = append(m.control, part...)
		}
		if m.left > 0 {
			return nil
		}
		m.have = 0
		if err := m.command(m.head[1], id, m.control); err != nil {
			return err
		}
	}
	return nil
}

// command takes a frame that carries no data.
func (m *mux) command(command byte, id uint32, with []byte) error {
	s := m.find(id)
	switch {
	case command == muxOpen:
		if s == nil && !m.client {
			return m.opened(id)
		}
	case command == muxEnd:
		if s != nil {
			s.end()
		}
	case command == muxData, command == muxNothing:
	case command == muxWindow && m.ours():
		if len(with) != 4 {
			return errMux
		}
		if s != nil {
			s.widen(int(binary.LittleEndian.Uint32(with)))
		}
	case command == muxStop && m.ours():
		if s != nil {
			s.stop(string(with))
		}
	default:
		return errMux
	}
	return nil
}

// opened takes a stream that the client has opened. Too many are refused.
func (m *mux) opened(id uint32) error {
	s := newStream(m, id)
	m.mu.Lock()
	full := len(m.streams) >= mostStreams
	if m.err == nil && !full {
		m.streams[id] = s
	}
	m.mu.Unlock()
	if !full {
		select {
		case m.accept <- s:
			return nil
		default:
			m.forget(s)
		}
	}
	if m.ours() {
		if err := m.tell(muxStop, id, []byte(errStreams.Error())); err != nil {
			return err
		}
	}
	return m.tell(muxEnd, id, nil)
}

// stream is one connection, a PortConn.
type stream struct {
	m     *mux
	id    uint32
	fails int // refusals before it was opened by a client

	readable, writable chan struct{}
	ends

	writing sync.Mutex // keeps what one Write writes together
	last    *frame     // what was sent before; guarded by writing

	mu      sync.Mutex // guards the rest
	parts   []part
	credit  int // bytes that the peer may send
	owed    int // bytes that it may send as soon as it is told
	window  int // bytes that it may have sent and that have not been read
	told    time.Time
	room    int // bytes that may be sent
	any     bool
	over    bool  // the peer sends no more
	half    bool  // we send no more
	closed  bool  // we read no more
	stopped bool  // the peer reads no more
	refusal error // why reading fails, once all has been read
}

// part is what came and was not read.
type part struct {
	b     []byte
	piece *piece // nil if it is a copy
}

// newStream makes a stream.
func newStream(m *mux, id uint32) *stream {
	return &stream{
		m: m, id: id, readable: make(chan struct{}, 1), writable: make(chan struct{}, 1), ends: newEnds(),
		credit: streamWindow, window: streamWindow, room: streamWindow, told: time.Now(),
	}
}

// came takes data, and says whether the peer might send it. A small part of a large payload is copied, so that it does not
// keep the payload.
func (s *stream) came(b []byte, of int, p *piece) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m.ours() {
		if s.credit -= len(b); s.credit < 0 {
			return false
		}
	}
	if s.closed || s.over {
		return true
	}
	in := part{b: b}
	p.parts++
	s.m.unread.Add(int64(len(b) + partSize))
	if s.m.ours() && p.r == nil && len(b) < min(of, chunk)/4 {
		in.b = append([]byte(nil), b...)
	} else {
		p.hold()
		in.piece = p
	}
	s.parts = append(s.parts, in)
	s.any = true
	notify(s.readable)
	return true
}

// widen lets more be sent.
func (s *stream) widen(n int) {
	s.mu.Lock()
	s.room = min(s.room+n, widestStream)
	s.mu.Unlock()
	notify(s.writable)
}

// end takes the peer's word that it sends no more. With smux it does not read any more either.
func (s *stream) end() {
	s.mu.Lock()
	s.over = true
	if !s.m.ours() {
		s.stopped = true
		if !s.any && s.refusal == nil && s.m.client && s.m.refusals() > s.fails {
			s.refusal = &PortRefused{"the agent's log has the reason"}
		}
	}
	s.leave()
	s.mu.Unlock()
	notify(s.readable)
	notify(s.writable)
}

// stop takes the peer's word that it reads no more.
func (s *stream) stop(reason string) {
	s.mu.Lock()
	s.stopped = true
	if reason != "" && s.m.client {
		s.refusal = &PortRefused{reason}
	}
	s.mu.Unlock()
	notify(s.readable)
	notify(s.writable)
}

// leave forgets a stream on which neither end sends any more. The caller has the lock.
func (s *stream) leave() {
	if s.over && s.half {
		s.m.forget(s)
	}
}

// ended ends a stream with its multiplexer. One whose peer has not said that it sends no more is broken, and that is no end.
func (s *stream) ended(err error) {
	if err == nil || errors.Is(err, io.EOF) {
		err = errAborted
	}
	s.mu.Lock()
	if !s.over && s.refusal == nil {
		s.refusal = err
	}
	s.over, s.stopped = true, true
	s.mu.Unlock()
	notify(s.readable)
	notify(s.writable)
}

// next gives what is to be read next: as it came, or, as much as there is room for, in b. The error is the end. Whoever has
// used it calls read.
func (s *stream) next(b []byte) (data []byte, p *piece, err error) {
	for {
		s.mu.Lock()
		switch {
		case s.closed:
			err = net.ErrClosed
		case len(s.parts) > 0:
			first := &s.parts[0]
			if data = first.b; b != nil {
				data = b[:copy(b, data)]
			}
			s.m.unread.Add(-int64(len(data)))
			if first.b = first.b[len(data):]; len(first.b) == 0 {
				s.m.unread.Add(-partSize)
				p = first.piece
				*first = part{}
				s.parts = s.parts[1:]
			}
		case s.refusal != nil:
			err = s.refusal
		case s.over:
			err = io.EOF
		}
		more := len(s.parts) > 0 || s.over || s.closed
		s.mu.Unlock()
		if data != nil || err != nil {
			if more {
				notify(s.readable) // another may wait
			}
			return data, p, err
		}
		select {
		case <-s.readable:
		case <-s.reads.done():
			return nil, nil, s.expired()
		}
	}
}

// read notes that bytes have been read, and lets the peer send more when it is worth a frame. What cannot be told now is told
// with the next. A window of which a quarter is read within a round trip is too small for the path.
func (s *stream) read(n int, p *piece) {
	if p != nil {
		p.done()
	}
	if !s.m.ours() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owed += n
	if s.owed < streamWindow/4 || s.over {
		return
	}
	now := time.Now()
	if now.Sub(s.told) < s.m.c.roundTrip() && s.window < widestStream {
		s.window += streamWindow / 4
		s.owed += streamWindow / 4
	}
	with := binary.LittleEndian.AppendUint32(nil, uint32(s.owed))
	if s.m.c.SendUrgent(PayloadOutput, append(s.m.header(muxWindow, s.id, len(with)), with...)) == nil {
		s.credit += s.owed
		s.owed, s.told = 0, now
	}
}

// expired is the error of a deadline, or of Close.
func (s *stream) expired() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	return os.ErrDeadlineExceeded
}

// Read reads.
func (s *stream) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	data, p, err := s.next(b)
	if err != nil {
		return 0, err
	}
	s.read(len(data), p)
	return len(data), nil
}

// WriteTo writes all that comes, without copying it.
func (s *stream) WriteTo(w io.Writer) (written int64, err error) {
	for {
		data, p, err := s.next(nil)
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := w.Write(data)
		written += int64(n)
		s.read(len(data), p)
		if err != nil {
			return written, err
		}
	}
}

// take waits until something may be sent, and takes the room for at most so many bytes.
func (s *stream) take(most int) (int, error) {
	for n := most; ; {
		var err error
		s.mu.Lock()
		switch {
		case s.closed:
			err = net.ErrClosed
		case s.half:
			err = io.ErrClosedPipe
		case s.stopped:
			err = errAborted
		case !s.m.ours():
		case s.room > 0:
			n = min(n, s.room)
			s.room -= n
		default:
			n = 0
		}
		s.mu.Unlock()
		if n > 0 || err != nil {
			return n, err
		}
		n = most
		select {
		case <-s.writable:
		case <-s.writes.done():
			return 0, s.expired()
		}
	}
}

// Write writes, in parts.
func (s *stream) Write(b []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for n < len(b) {
		k, err := s.take(min(len(b)-n, s.m.part()))
		if err != nil {
			return n, err
		}
		f, err := s.m.c.appendAll(s.writes.done(), PayloadOutput, s.last, s.m.header(muxData, s.id, k), b[n:n+k])
		if err != nil {
			s.widen(k)
			if errors.Is(err, errGivenUp) {
				err = s.expired()
			}
			return n, err
		}
		s.last = f
		n += k
	}
	return n, nil
}

// ReadFrom writes all that r gives. It reads little at a time until there is more.
func (s *stream) ReadFrom(r io.Reader) (read int64, err error) {
	small := make([]byte, smallRead)
	b := small
	var pool *[]byte
	defer func() {
		if pool != nil {
			putBack(pool)
		}
	}()
	for {
		n, err := r.Read(b)
		if n > 0 {
			k, err := s.Write(b[:n])
			read += int64(k)
			if err != nil {
				return read, err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return read, nil
		case err != nil:
			return read, err
		case n == len(b) && pool == nil:
			pool = frames.get()
			b = (*pool)[:mostPart]
		case n < smallRead && pool != nil:
			putBack(pool)
			b, pool = small, nil
		}
	}
}

// CloseWrite ends what this end sends. smux cannot end one direction only.
func (s *stream) CloseWrite() error {
	if !s.m.ours() {
		return errors.ErrUnsupported
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finish()
}

// finish tells that no more is sent, once. The caller has the lock.
func (s *stream) finish() error {
	if s.half {
		return nil
	}
	s.half = true
	err := s.m.tell(muxEnd, s.id, nil)
	s.leave()
	return err
}

// Close ends both directions: what was written still arrives, what comes is thrown away.
func (s *stream) Close() error { return s.close("") }

// refuse tells why there is no connection to the port.
func (s *stream) refuse(err error) {
	reason := "it gave no reason"
	if err != nil && err.Error() != "" {
		reason = err.Error()
	}
	if !s.m.ours() {
		_, _ = s.m.c.sendLast(PayloadFlag, flag(flagRefused)) // the session ends if there is no room for it
	}
	_ = s.close(reason[:min(len(reason), mostReason)])
}

// close is Close, for a reason that the client is told.
func (s *stream) close(reason string) error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if was {
		return nil
	}
	s.reads.set(time.Unix(1, 0))
	s.writes.set(time.Unix(1, 0)) // a Write returns
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.parts {
		s.m.unread.Add(-int64(len(in.b) + partSize))
		if in.piece != nil {
			in.piece.done()
		}
	}
	s.parts = nil
	var err error
	if s.m.ours() && (reason != "" || !s.over) { // a refusal is told also to who has said all already
		err = s.m.tell(muxStop, s.id, []byte(reason))
	}
	return errors.Join(err, s.finish())
}
