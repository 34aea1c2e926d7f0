package wire

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/api"
)

// listener is what becomes of a stream whose operation only wants to hear its messages. While nothing comes no goroutine waits for it: a stack would
// be a fifth of what an idle stream costs. Its turns come one after the other.
type listener struct {
	receive func(*api.Message) error
	ended   func()
	until   atomic.Int64 // when a silent peer is gone, in nanoseconds after began; what it says at its last turn
	spot    uint64       // in the lot; zero before it has one; of who has the turn
	parked  atomic.Bool  // nobody has the turn
}

// began is what listeners count from: a clock of the machine that is set makes no peer silent, nor a silent one heard.
var began = time.Now()

// Listen leaves the stream to receive.
func (s *stream) Listen(receive func(*api.Message) error, ended func()) error {
	s.listener.Store(&listener{receive: receive, ended: ended})
	return nil
}

// errParked says that the turn is over although the stream is not.
var errParked = errors.New("nothing more has come")

// turn hears what has come, and ends the stream when that is its end.
func (s *stream) turn(l *listener, resumed bool) {
	err := safely(func() error { return s.hear(l, resumed) })
	if errors.Is(err, errParked) {
		return
	}
	s.mux.lot.leave(l)
	if failed := safely(func() error { l.ended(); return nil }); failed != nil {
		err = failed
	}
	s.ended(err)
}

// hear hears what has come until nothing more does. A resumed stream has something to say, or has been silent for too long.
func (s *stream) hear(l *listener, resumed bool) error {
	for ; ; resumed = false {
		switch {
		case resumed && l.late(time.Now()):
			return io.EOF
		case resumed:
			s.wait(s.silent)
		case s.quiet() && s.park(l):
			return errParked
		}
		switch control, err := s.control(); {
		case err != nil:
			return heard(err)
		case control:
			continue
		}
		m, err := s.message()
		if err != nil {
			return heard(err)
		}
		if err := l.receive(m); err != nil {
			return err
		}
	}
}

// late says whether the peer of a parked stream has been silent for too long.
func (l *listener) late(now time.Time) bool {
	return int64(now.Sub(began)) > l.until.Load()
}

// park ends the turn, if something else can tell when the next begins. That is at once when something has come meanwhile.
func (s *stream) park(l *listener) bool {
	arm := s.mux.lot.spot(s, l)
	if arm == nil {
		return false
	}
	l.until.Store(int64(time.Since(began) + s.silent))
	s.mux.streams.Add(1)
	l.parked.Store(true) // from here on the turn may be another's
	if arm() == nil {
		return true
	}
	if !l.parked.CompareAndSwap(true, false) {
		return true
	}
	s.mux.streams.Done()
	return false
}

// resume begins a turn of a parked stream.
func (s *stream) resume() {
	if l := s.listener.Load(); l != nil && l.parked.CompareAndSwap(true, false) {
		s.mux.streams.Go(func() { s.turn(l, true) })
		s.mux.streams.Done()
	}
}

// past is a time at which a read takes only what was read from the socket before, for TLS or the websocket, and does not ask the socket.
var past = time.Unix(1, 0)

// quiet says whether nothing is left of what was read from the socket, so that the lot sees what comes next, or is there already; where it is not, the next
// read waits for as long as the peer may be silent. A part of a record of TLS does not count.
func (s *stream) quiet() bool {
	defer s.wait(s.silent)
	if s.read.Buffered() > 0 {
		return false
	}
	_ = s.conn.SetReadDeadline(past)
	_, err := s.read.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// The first bytes of pings and pongs that are one frame, and what the second says.
const (
	pingFrame = 0x80 | websocket.PingMessage
	pongFrame = 0x80 | websocket.PongMessage
	masked    = 0x80
	mostText  = 125 // bytes that a ping takes
)

// control acts on a ping or pong, if one is next. The websocket would wait for a message, too, before it is done with them. What is wrong with a frame is
// the websocket's to say.
func (s *stream) control() (bool, error) {
	head, err := s.read.Peek(2)
	if err != nil {
		return false, err
	}
	kind, size := head[0], int(head[1]&^masked)
	if kind != pingFrame && kind != pongFrame || head[1]&masked == 0 || size > mostText {
		return false, nil
	}
	frame, err := s.read.Peek(2 + 4 + size)
	if err != nil {
		return false, err
	}
	key, text := frame[2:6], make([]byte, size)
	for i, b := range frame[6:] {
		text[i] = b ^ key[i%4]
	}
	if _, err := s.read.Discard(len(frame)); err != nil {
		return false, err
	}
	if kind == pingFrame {
		return true, s.pong(string(text))
	}
	return true, s.ponged(string(text))
}
