package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"github.com/vennel/vennel/api"
)

// The limits of a stream. An agent pings every 54 seconds; a peer from which nothing at all came
// for twice that long and a little is gone.
const (
	streamSilence  = 2 * time.Minute
	openingWait    = 15 * time.Second // for the opening message
	streamWrite    = 10 * time.Second
	mostPingsASec  = 5
	mostPingsBurst = 20
)

// errTaken says that a stream has taken over the connection, so that no answer is to be written.
var errTaken = errors.New("wire: the connection has become a stream")

// writeBuffers are shared by all streams: an idle one holds none.
var writeBuffers sync.Pool

// upgrader leaves the buffers of the HTTP server behind; with its own small one an idle stream
// costs little more than its TLS state.
var upgrader = websocket.Upgrader{
	ReadBufferSize: 512, WriteBufferSize: 4096, WriteBufferPool: &writeBuffers,
	CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "" }, // no browser speaks this
	Error:       func(http.ResponseWriter, *http.Request, int, error) {},            // Accept returns it
}

// stream is an api.Stream on a websocket.
type stream struct {
	mux  *Mux
	op   *operation
	call *api.Call
	done func(error) // records the outcome of the opening, once

	w http.ResponseWriter // until accepted
	r *http.Request       // until accepted

	conn     *websocket.Conn // once accepted
	accepted chan struct{}   // closed when the connection is ours
	pings    rate.Limiter

	sending sync.Mutex // guards writes on conn
}

// converse runs a stream operation. It starts it in a goroutine of its own, because the stack of
// the HTTP handler would otherwise stay with each idle stream; and it returns as soon as the
// operation has either accepted the stream or refused the request.
func (m *Mux) converse(ctx context.Context, w http.ResponseWriter, svc *service, op *operation, rq *request, in reflect.Value) error {
	c := new(checker)
	none := func([]byte, *shape, reflect.Value) error { return nil }
	if err := decodeREST(rq, op.in(), in.Elem(), c, none); err != nil {
		return err
	}
	if err := c.err(); err != nil {
		return err
	}
	if !websocket.IsWebSocketUpgrade(rq.Request) {
		return api.Errorf(api.Invalid, "This operation needs a websocket upgrade")
	}
	start := time.Now()
	s := &stream{
		mux: m, op: op, call: rq.call, w: w, r: rq.Request, accepted: make(chan struct{}), pings: *rate.NewLimiter(mostPingsASec, mostPingsBurst),
		done: func(err error) {
			var failure *api.Error
			status := http.StatusSwitchingProtocols
			if err != nil {
				failure = svc.resolve(err, op)
				status = failure.Status
			}
			m.finish(ctx, svc, op, in.Interface(), nil, failure, status, time.Since(start))
		},
	}
	ended := make(chan error, 1)
	m.streams.Add(1)
	go func() {
		defer m.streams.Done()
		ended <- m.run(api.WithCall(m.base, s.call), op, in.Interface(), s)
	}()
	select {
	case <-s.accepted:
		return errTaken
	case err := <-ended:
		select {
		case <-s.accepted:
			return errTaken
		default:
		}
		if err == nil {
			err = fmt.Errorf("%s returned without accepting its stream", op.Name)
		}
		return err
	}
}

// run converses until the operation returns, and closes the connection.
func (m *Mux) run(ctx context.Context, op *operation, in any, s *stream) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			m.Log.Error("stream failed", "operation", op.Name, "error", err)
		}
	}()
	err = op.Open(ctx, in, s)
	if s.conn == nil {
		return err
	}
	reason := ""
	if err != nil && !errors.Is(err, io.EOF) {
		reason = err.Error()
		if e, ok := errors.AsType[*api.Error](err); ok {
			reason = e.Message
		}
		m.Log.Info("stream ended", "operation", op.Name, "request_id", api.CallFrom(ctx).RequestID, "reason", reason)
	}
	_ = s.Close(reason) // the peer may be gone already
	return err
}

// Accept upgrades the request and reads the opening message into the input.
func (s *stream) Accept(in any) error {
	if len(s.call.Decisions()) == 0 {
		return fmt.Errorf("%s accepted without an authorization", s.op.Name)
	}
	conn, err := upgrader.Upgrade(s.w, s.r, nil)
	if err != nil {
		return api.Errorf(api.Invalid, "%v", err)
	}
	s.conn, s.w, s.r = conn, nil, nil
	close(s.accepted)
	s.mux.live(s)
	conn.SetReadLimit(frameOverhead + mostFramePayload)
	conn.SetPingHandler(s.pong)
	err = s.opening(in)
	s.done(err)
	s.done = nil // it holds the whole request
	return err
}

// opening reads the first message, a text.
func (s *stream) opening(in any) error {
	if err := s.conn.SetReadDeadline(time.Now().Add(openingWait)); err != nil {
		return err
	}
	kind, body, err := s.conn.ReadMessage()
	if err != nil {
		return api.Errorf(api.Unserializable, "The opening message did not come")
	}
	if kind != websocket.TextMessage {
		return api.Errorf(api.Unserializable, "The opening message must be a text")
	}
	if err := decodeJSON(body, s.op.in(), reflect.ValueOf(in).Elem(), new(checker)); err != nil {
		return err
	}
	return s.conn.SetReadDeadline(time.Now().Add(streamSilence))
}

// pong answers a ping, which also proves that the peer lives. A flood of them ends the stream.
func (s *stream) pong(data string) error {
	if !s.pings.Allow() {
		return errors.New("wire: too many pings")
	}
	if err := s.conn.SetReadDeadline(time.Now().Add(streamSilence)); err != nil {
		return err
	}
	err := s.conn.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
	if errors.Is(err, websocket.ErrCloseSent) {
		return nil
	}
	return err
}

// Receive returns the next message, or io.EOF when the peer is gone.
func (s *stream) Receive() (*api.Message, error) {
	kind, body, err := s.conn.ReadMessage()
	if err != nil {
		if errors.Is(err, websocket.ErrReadLimit) {
			return nil, fmt.Errorf("%w: larger than %d bytes", errFrame, mostFramePayload)
		}
		return nil, io.EOF
	}
	if kind != websocket.BinaryMessage {
		return nil, fmt.Errorf("%w: text after the opening", errFrame)
	}
	if err := s.conn.SetReadDeadline(time.Now().Add(streamSilence)); err != nil {
		return nil, io.EOF
	}
	return ParseFrame(body)
}

// Send writes one message.
func (s *stream) Send(m *api.Message) error {
	frame, err := AppendFrame(make([]byte, 0, frameOverhead+len(m.Payload)), m)
	if err != nil {
		return err
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	if err := s.conn.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	return s.conn.WriteMessage(websocket.BinaryMessage, frame)
}

// mostReason is the room for a reason in a close frame.
const mostReason = 123

// Close ends the stream; an empty reason is the normal end.
func (s *stream) Close(reason string) error {
	code := websocket.CloseNormalClosure
	if reason != "" {
		code = websocket.ClosePolicyViolation
	}
	if s.mux.base.Err() != nil {
		code = websocket.CloseGoingAway
	}
	if len(reason) > mostReason {
		reason = reason[:mostReason]
	}
	s.mux.dead(s)
	_ = s.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
	return s.conn.Close()
}

// live notes an accepted stream, so that it ends with the server.
func (m *Mux) live(s *stream) {
	m.mu.Lock()
	m.open[s] = true
	m.mu.Unlock()
	if m.base.Err() != nil {
		m.closeStreams() // the server stopped meanwhile
	}
}

// dead forgets a stream.
func (m *Mux) dead(s *stream) {
	m.mu.Lock()
	delete(m.open, s)
	m.mu.Unlock()
}

// closeStreams ends all streams when the server stops.
func (m *Mux) closeStreams() {
	m.mu.Lock()
	open := make([]*stream, 0, len(m.open))
	for s := range m.open {
		open = append(open, s)
	}
	m.mu.Unlock()
	for _, s := range open {
		_ = s.Close("the server is stopping")
	}
}
