package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/datachannel"
	"github.com/vennel/vennel/internal/coalesce"
)

// The limits of a stream. An agent pings every 54 seconds; a peer from which nothing at all came
// for twice that long and a little is gone.
const (
	streamSilence = 2 * time.Minute
	openingWait   = 15 * time.Second // for the upgrade and the opening message
	mostOpening   = 16 << 10         // bytes of the opening message
	mostEarly     = 64               // messages that come before it
	streamWrite   = 30 * time.Second // for one message
	controlWrite  = time.Second      // for a pong or a goodbye
	mostPings     = 20               // in pingWindow
	pingWindow    = 4 * time.Second
	stopWrite     = 2 * time.Second // for all goodbyes, when the server stops
	stopping      = 64              // goodbyes at a time
)

// stoppingReason is the goodbye of a server that stops.
const stoppingReason = "the server is stopping"

// errTaken says that a stream has taken over the connection, so that no answer is to be written.
var errTaken = errors.New("wire: the connection has become a stream")

// errPings ends a stream whose peer does nothing but ask whether we are there.
var errPings = errors.New("too many pings")

// writeBuffers are shared by all streams: an idle one holds none.
var writeBuffers sync.Pool

// readBuffer leaves the one of the HTTP server behind; with its own small one an idle stream costs little more than its TLS state. The websocket takes
// none of less than 257 bytes.
const readBuffer = 288

// upgrader reads through the buffer that handover has made.
var upgrader = websocket.Upgrader{
	HandshakeTimeout: openingWait, WriteBufferSize: 4096, WriteBufferPool: &writeBuffers,
	CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "" }, // no browser speaks this
	Error:       func(http.ResponseWriter, *http.Request, int, error) {},            // Accept returns it
}

// stream is an api.Stream on a websocket.
type stream struct {
	mux       *Mux
	svc       *service
	op        *operation
	requestID string

	// Until accepted: these hold the whole request.
	call     *api.Call
	in       any                                            // the input; until the operation runs
	upgrade  func() (*websocket.Conn, *bufio.Reader, error) // makes the connection ours
	done     func(error)                                    // records the outcome of the opening, once
	accepted chan struct{}                                  // closed when the connection is ours

	conn   *websocket.Conn // once accepted
	read   *bufio.Reader   // what conn reads through
	under  *coalesce.Conn  // below TLS; nil without
	opened bool            // the opening message has come; of the receiving goroutine
	silent time.Duration   // how long the peer may say nothing; of the receiving goroutine
	window time.Time       // when the pings that are counted began; of the receiving goroutine
	pings  int

	listener atomic.Pointer[listener] // to whom the operation has left the stream, or nil

	sending sync.Mutex  // guards the writing of messages on conn
	patient atomic.Bool // the peer may take its time

	asking    sync.Mutex
	asked     []question // those not answered, in their order; guarded by asking
	pinged    uint64     // pings sent; guarded by asking
	ping      []byte     // of the peer, the last one not answered, or nil; guarded by asking
	answering bool       // a goroutine answers it; guarded by asking
}

// question is a ping of ours that is not answered.
type question struct {
	number   uint64
	answered func()
}

// converse runs a stream operation. It starts it in a goroutine of its own, because the stack of
// the HTTP handler would otherwise stay with each idle stream; and it returns as soon as the
// operation has either accepted the stream or refused the request.
func (m *Mux) converse(ctx context.Context, w http.ResponseWriter, rq *request, in reflect.Value) error {
	c := new(checker)
	if err := decodeOutside(rq, rq.op.in(), in.Elem(), c); err != nil {
		return err
	}
	if err := c.err(); err != nil {
		return err
	}
	rq.in = in.Elem()
	if !websocket.IsWebSocketUpgrade(rq.Request) {
		return api.Errorf(api.Invalid, "This operation needs a websocket upgrade")
	}
	s := &stream{
		mux: m, svc: rq.svc, op: rq.op, requestID: rq.call.RequestID, call: rq.call, in: in.Interface(), accepted: make(chan struct{}),
		upgrade: func() (*websocket.Conn, *bufio.Reader, error) {
			h := &handover{ResponseWriter: w}
			conn, err := upgrader.Upgrade(h, rq.Request, nil)
			return conn, h.read, err
		},
		done: func(err error) {
			var failure *api.Error
			rs := &response{status: http.StatusSwitchingProtocols}
			if err != nil {
				failure = rq.svc.resolve(err, rq.op)
				rs.status = failure.Status
			}
			m.finish(ctx, rq, rs, failure)
		},
	}
	accepted, ended := s.accepted, make(chan error, 1)
	m.streams.Go(func() { ended <- s.run() }) // which keeps no more of the request than s does
	select {
	case <-accepted:
		return errTaken
	case err := <-ended:
		select {
		case <-accepted:
			return errTaken
		default:
		}
		if err == nil {
			err = fmt.Errorf("%s returned without accepting its stream", rq.op.Name)
		}
		return err
	}
}

// handover gives a websocket a reader that we know.
type handover struct {
	http.ResponseWriter
	read *bufio.Reader
}

// Hijack implements http.Hijacker.
func (h *handover) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, both, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err == nil && both.Reader.Buffered() == 0 { // else it is refused
		h.read = bufio.NewReaderSize(conn, readBuffer)
		both.Reader = h.read
	}
	return conn, both, err
}

// run converses until the operation returns, and ends an accepted stream with the reason, unless the operation has left it to listen.
func (s *stream) run() error {
	err := safely(func() error {
		in := s.in
		s.in = nil
		return s.op.Open(api.WithCall(s.mux.base, s.call), in, s)
	})
	switch l := s.listener.Load(); {
	case s.conn == nil:
	case l != nil && err == nil:
		s.turn(l, false)
	default:
		s.ended(err)
	}
	return err
}

// safely makes a panic an error.
func safely(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	return f()
}

// ended ends a stream. The peer is told what it did wrong, but not what we did.
func (s *stream) ended(err error) {
	code, reason := websocket.CloseNormalClosure, ""
	switch {
	case s.mux.base.Err() != nil:
		code, reason = websocket.CloseGoingAway, stoppingReason
	case err != nil && !errors.Is(err, io.EOF):
		failure := s.svc.resolve(err, s.op)
		code, reason = websocket.ClosePolicyViolation, failure.Message
		log := s.mux.Log.Info
		if failure.Fault {
			code, log = websocket.CloseInternalServerErr, s.mux.Log.Error
		}
		log("stream ended", "operation", s.op.Name, "request_id", s.requestID, "error", err)
	}
	s.end(code, reason, time.Now().Add(controlWrite))
}

// Accept upgrades the request, reads the opening message into the input and has it checked.
func (s *stream) Accept(in any, check func(context.Context) error) (context.Context, error) {
	if len(s.call.Decisions()) == 0 {
		return nil, fmt.Errorf("%s accepted without an authorization", s.op.Name)
	}
	conn, read, err := s.upgrade()
	if err != nil {
		return nil, &api.Error{Reason: api.Invalid, Message: "The websocket upgrade failed", Cause: err}
	}
	done, accepted := s.done, s.accepted
	s.conn, s.read, s.call, s.upgrade, s.done, s.accepted = conn, read, nil, nil, nil, nil
	s.under, _ = s.below().(*coalesce.Conn)
	close(accepted)
	s.mux.live(s)
	conn.SetPingHandler(s.pong)
	conn.SetPongHandler(s.ponged)
	if err = s.opening(in); err == nil {
		err = check(s.mux.base)
	}
	done(err)
	return s.mux.base, err
}

// opening reads the first message, a text. Pings do not lengthen the time for it. Official peers that open a data channel again may
// send something again before they have opened it; it is passed over, for they send again what is not acknowledged.
func (s *stream) opening(in any) error {
	s.conn.SetReadLimit(mostOpening)
	s.wait(openingWait)
	kind, body, err := s.conn.ReadMessage()
	for n := 0; err == nil && kind == websocket.BinaryMessage && n < mostEarly; n++ {
		kind, body, err = s.conn.ReadMessage()
	}
	switch {
	case errors.Is(err, websocket.ErrReadLimit):
		return api.Errorf(api.Unserializable, "The opening message is larger than %d bytes", mostOpening)
	case err != nil:
		return &api.Error{Reason: api.Unserializable, Message: "The opening message did not come", Cause: err}
	case kind != websocket.TextMessage:
		return api.Errorf(api.Unserializable, "The opening message must be a text")
	}
	if err := decodeJSON(body, s.op.in(), reflect.ValueOf(in).Elem(), new(checker)); err != nil {
		return err
	}
	s.opened, s.silent = true, streamSilence
	s.conn.SetReadLimit(datachannel.FrameOverhead + datachannel.MostPayload)
	return nil
}

// wait gives the peer some time for its next words. Where the connection is gone the next read says
// so.
func (s *stream) wait(d time.Duration) { _ = s.conn.SetReadDeadline(time.Now().Add(d)) }

// pong answers a ping, which also proves that the peer lives. A flood of them ends the stream.
func (s *stream) pong(data string) error {
	now := time.Now()
	if now.Sub(s.window) > pingWindow {
		s.window, s.pings = now, 0
	}
	if s.pings++; s.pings > mostPings {
		return errPings
	}
	if s.opened {
		s.wait(s.silent)
	}
	s.asking.Lock()
	defer s.asking.Unlock()
	s.ping = []byte(data)
	if !s.answering {
		s.answering = true
		s.mux.streams.Go(s.answer) // what the peer says next does not wait for it
	}
	return nil
}

// answer answers the last ping of the peer, and those that come meanwhile: those before need no answer of
// their own. A pong that must wait behind a long message is not worth the stream.
func (s *stream) answer() {
	for {
		s.asking.Lock()
		ping := s.ping
		s.ping, s.answering = nil, ping != nil
		s.asking.Unlock()
		if ping == nil {
			return
		}
		_ = s.conn.WriteControl(websocket.PongMessage, ping, s.by(controlWrite))
	}
}

// by is until when something is to be written; a peer that may take its time has all of it.
func (s *stream) by(d time.Duration) time.Time {
	if s.patient.Load() {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// Patience gives the peer time.
func (s *stream) Patience(silence time.Duration) {
	s.silent = silence
	s.patient.Store(true)
}

// Receive returns the next message, or io.EOF when the peer is gone or silent. A peer that breaks
// the rules is told how when the operation returns the error. The time of its silence begins when somebody listens.
func (s *stream) Receive() (*api.Message, error) {
	s.wait(s.silent)
	m, err := s.message()
	if err != nil {
		return nil, heard(err)
	}
	return m, nil
}

// message reads the next message. Pings and what answers ours are heard meanwhile.
func (s *stream) message() (*api.Message, error) {
	kind, body, err := s.conn.NextReader()
	if err != nil {
		return nil, err
	}
	if kind != websocket.BinaryMessage {
		return nil, fmt.Errorf("%w: text after the opening message", datachannel.ErrFrame)
	}
	return datachannel.ReadFrame(body)
}

// heard is an error about what the peer said, or io.EOF when it says nothing more.
func heard(err error) error {
	switch {
	case errors.Is(err, errPings):
		return api.Errorf(api.Throttled, "%v", err)
	case errors.Is(err, websocket.ErrReadLimit):
		return api.Errorf(api.TooLarge, "%v: payload of more than %d bytes", datachannel.ErrFrame, datachannel.MostPayload)
	case errors.Is(err, datachannel.ErrFrame):
		return api.Errorf(api.Unserializable, "%v", err)
	}
	return io.EOF
}

// Send writes one message. A peer that does not take it in time loses the stream.
func (s *stream) Send(m *api.Message) error {
	if err := s.Post(m); err != nil {
		return err
	}
	return s.Flush()
}

// Post writes one message, which may wait for Flush below TLS.
func (s *stream) Post(m *api.Message) error {
	frame, err := m.Bytes()
	if err != nil {
		return err
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	if err := s.conn.SetWriteDeadline(s.by(streamWrite)); err != nil {
		return err
	}
	if s.under != nil {
		s.under.Hold()
	}
	return s.conn.WriteMessage(websocket.BinaryMessage, frame)
}

// Flush sends what waits.
func (s *stream) Flush() error {
	if s.under == nil {
		return nil
	}
	return s.under.Flush()
}

// Ping sends a ping with a number.
func (s *stream) Ping(answered func()) error {
	s.asking.Lock()
	s.pinged++
	text := strconv.FormatUint(s.pinged, 10)
	if answered != nil {
		s.asked = append(s.asked, question{s.pinged, answered})
	}
	s.asking.Unlock()
	return s.conn.WriteControl(websocket.PingMessage, []byte(text), s.by(controlWrite))
}

// ponged takes an answer to a ping. Some peers answer only the last of those that have come, which answers those
// before it too. What nobody asked for is no sign of anything but life.
func (s *stream) ponged(text string) error {
	s.wait(s.silent)
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return nil
	}
	s.asking.Lock()
	var answered []question
	if number <= s.pinged {
		n := 0
		for n < len(s.asked) && s.asked[n].number <= number {
			n++
		}
		answered, s.asked = s.asked[:n:n], s.asked[n:]
		if len(s.asked) == 0 {
			s.asked = nil
		}
	}
	s.asking.Unlock()
	for _, q := range answered {
		q.answered()
	}
	return nil
}

// Close ends the stream; an empty reason is the normal end.
func (s *stream) Close(reason string) error {
	code := websocket.CloseNormalClosure
	if reason != "" {
		code = websocket.ClosePolicyViolation
	}
	s.end(code, reason, time.Now().Add(controlWrite))
	return nil
}

// mostReason is the room for a reason in a close frame.
const mostReason = 123

// end says goodbye, if that can be said in time, and closes the connection. It may be called more
// than once. TLS would wait for its own goodbye; ours says the same.
func (s *stream) end(code int, reason string, by time.Time) {
	s.mux.dead(s)
	if len(reason) > mostReason {
		reason = strings.ToValidUTF8(reason[:mostReason], "")
	}
	_ = s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), by)
	_ = s.below().Close() // the peer may have done so already
	s.resume()
}

// below is the connection below TLS, or all of it without TLS.
func (s *stream) below() net.Conn {
	conn := s.conn.NetConn()
	if secure, ok := conn.(*tls.Conn); ok {
		return secure.NetConn()
	}
	return conn
}

// live notes an accepted stream, so that it ends with the server.
func (m *Mux) live(s *stream) {
	m.moves.Add(1)
	m.mu.Lock()
	m.open[s] = struct{}{}
	m.mu.Unlock()
	if m.base.Err() != nil {
		m.closeStreams() // the server stopped meanwhile
	}
}

// dead forgets a stream.
func (m *Mux) dead(s *stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, open := m.open[s]; open {
		delete(m.open, s)
		m.moves.Add(1)
	}
}

// closeStreams ends all streams when the server stops. Peers that do not listen hold up neither the
// others nor the server.
func (m *Mux) closeStreams() {
	if m.Rest != nil {
		m.Rest()
	}
	m.mu.Lock()
	open := make(chan *stream, len(m.open))
	for s := range m.open {
		open <- s
	}
	m.mu.Unlock()
	close(open)
	by := time.Now().Add(stopWrite)
	var all sync.WaitGroup
	for range min(stopping, len(open)) {
		all.Go(func() {
			for s := range open {
				s.end(websocket.CloseGoingAway, stoppingReason, by)
			}
		})
	}
	all.Wait()
}
