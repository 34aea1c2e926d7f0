package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/datachannel"
	"github.com/vennel/vennel/internal/bubble"
	"github.com/vennel/vennel/internal/memnet"
)

// opening is a good opening message.
const opening = `{"Cookie":null,"MessageSchemaVersion":"1.0","RequestId":"r","TokenValue":"token","AgentVersion":"3.3.0.0","PlatformType":"linux"}`

// channel is a world whose control channel does what a test says, on a network in memory.
type channel struct {
	*world
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	stop context.CancelFunc
}

// handler is what a channel does.
type handler = func(ctx context.Context, in *ssmmessages.OpenControlChannelInput, s api.Stream) error

// newChannel serves a control channel.
func newChannel(t testing.TB, h handler) *channel {
	t.Helper()
	w := newWorld(t, map[string]api.Operation{
		"ssmmessages:OpenControlChannel": api.BindStream("OpenControlChannel", h),
	})
	ctx, stop := context.WithCancel(t.Context())
	w.base = ctx
	context.AfterFunc(ctx, w.closeStreams)
	listener := memnet.Listen()
	server := &http.Server{Handler: w, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		stop()
		_ = server.Close()
		serving.Wait()
		w.Wait()
	})
	return &channel{world: w, dial: listener.Dial, stop: stop}
}

// accepting is a handler that accepts and then does what f does.
func accepting(f func(s api.Stream) error) handler {
	return func(ctx context.Context, in *ssmmessages.OpenControlChannelInput, s api.Stream) error {
		allow(ctx)
		if _, err := s.Accept(in, unchecked); err != nil {
			return err
		}
		return f(s)
	}
}

// listen receives until the peer is gone.
func listen(s api.Stream) error {
	for {
		if _, err := s.Receive(); err != nil {
			return err
		}
	}
}

// echo sends back what it receives.
func echo(s api.Stream) error {
	for {
		m, err := s.Receive()
		if err != nil {
			return err
		}
		if err := s.Send(m); err != nil {
			return err
		}
	}
}

// channelURL is where the channel is.
const channelURL = "ws://ssmmessages.us-east-1.amazonaws.com/v1/control-channel/mi-0123456789abcdef0?role=subscribe&stream=input"

// connect upgrades a request that nothing is wrong with.
func (c *channel) connect(t testing.TB) (*websocket.Conn, error) {
	t.Helper()
	conn, _, err := c.upgrade(t, channelURL) //nolint:bodyclose // there is none, or the dialer has read it
	return conn, err
}

// upgrade upgrades a request; the answer is that of a refusal.
func (c *channel) upgrade(t testing.TB, url string, header ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	r := signed(newRequest("GET", strings.Replace(url, "ws", "http", 1), "", header...), "ssmmessages")
	d := websocket.Dialer{NetDialContext: c.dial}
	conn, answer, err := d.DialContext(t.Context(), url, r.Header)
	if conn != nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, answer, err
}

// peer is a client of a channel that reads all it is sent.
type peer struct {
	*websocket.Conn
	messages chan []byte
	pongs    atomic.Int32
	ended    chan error // how the stream ended
}

// open connects, sends the opening message and reads.
func (c *channel) open(t testing.TB) *peer {
	t.Helper()
	conn, err := c.connect(t)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{Conn: conn, messages: make(chan []byte, 1000), ended: make(chan error, 1)}
	conn.SetPongHandler(func(string) error { p.pongs.Add(1); return nil })
	go func() {
		for {
			_, b, err := conn.ReadMessage()
			if err != nil {
				p.ended <- err
				return
			}
			p.messages <- b
		}
	}()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(opening)); err != nil {
		t.Fatal(err)
	}
	return p
}

// say sends a message and waits for its echo.
func (p *peer) say(t testing.TB, text string) {
	t.Helper()
	frame, err := datachannel.AppendFrame(nil, message(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WriteMessage(websocket.BinaryMessage, frame); err != nil {
		t.Fatal(err)
	}
	select {
	case b := <-p.messages:
		if !bytes.Equal(b, frame) {
			t.Errorf("%q came back as %q", frame, b)
		}
	case err := <-p.ended:
		t.Fatalf("the stream ended: %v", err)
	}
}

// message is a message with a payload.
func message(text string) *api.Message {
	return &api.Message{Type: "agent_job", Schema: 1, Created: time.Now(), ID: uuid.New(), Payload: []byte(text)}
}

// closedWith says whether a stream ended with a code and reason.
func closedWith(err error, code int, reason string) bool {
	e, ok := errors.AsType[*websocket.CloseError](err)
	return ok && e.Code == code && strings.Contains(e.Text, reason)
}

// TestStream converses, and ends when the peer does.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got ssmmessages.OpenControlChannelInput
		ended := make(chan error, 1)
		c := newChannel(t, func(ctx context.Context, in *ssmmessages.OpenControlChannelInput, s api.Stream) error {
			if call := api.CallFrom(ctx); call.Principal.UserID() != "alice" || call.Operation != "OpenControlChannel" {
				t.Errorf("the call is %+v", call)
			}
			return accepting(func(s api.Stream) error {
				got = *in
				err := echo(s)
				ended <- err
				return err
			})(ctx, in, s)
		})
		p := c.open(t)
		for i := range 10 {
			p.say(t, strings.Repeat("x", i*1000))
		}
		if got.ChannelId != "mi-0123456789abcdef0" || *got.Role != "subscribe" || *got.Stream != "input" || got.TokenValue != "token" || *got.PlatformType != "linux" {
			t.Errorf("the input is %+v", got)
		}
		if last := c.last(t); last.outcome.Status != 101 || last.outcome.Code != "" || strings.Contains(string(last.outcome.Request), `"token"`) ||
			!strings.Contains(string(last.outcome.Request), `"channelId":"mi-0123456789abcdef0"`) {
			t.Errorf("recorded: %+v %s", last.outcome, last.outcome.Request)
		}
		_ = p.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
		if err := <-ended; !errors.Is(err, io.EOF) {
			t.Errorf("Receive gave %v", err)
		}
		if err := <-p.ended; !closedWith(err, websocket.CloseNormalClosure, "") {
			t.Errorf("the peer was told %v", err)
		}
		if len(c.records) != 1 {
			t.Errorf("%d records", len(c.records))
		}
	})
}

// TestStreamRefused refuses before the upgrade, in the form of the protocol: an agent looks for
// <AccessDeniedException>. source: agent
func TestStreamRefused(t *testing.T) {
	refusing := func(err error) handler {
		return func(ctx context.Context, _ *ssmmessages.OpenControlChannelInput, _ api.Stream) error {
			allow(ctx)
			return err
		}
	}
	for name, c := range map[string]struct {
		h      handler
		url    string
		header []string
		status int
		want   string
	}{
		"denied":     {refusing(api.Errorf(api.AccessDenied, "no")), channelURL, nil, 400, "<AccessDeniedException><Message>no</Message></AccessDeniedException>"},
		"our fault":  {refusing(errors.New("secret")), channelURL, nil, 500, "<InternalFailure><Message>An internal error occurred</Message></InternalFailure>"},
		"not at all": {refusing(nil), channelURL, nil, 500, "<InternalFailure>"},
		"panic":      {func(context.Context, *ssmmessages.OpenControlChannelInput, api.Stream) error { panic("secret") }, channelURL, nil, 500, "<InternalFailure>"},
		"undecided": {func(_ context.Context, in *ssmmessages.OpenControlChannelInput, s api.Stream) error {
			_, err := s.Accept(in, unchecked)
			return err
		}, channelURL, nil, 500, "<InternalFailure>"},
		"a short id": {refusing(nil), strings.Replace(channelURL, "mi-0123456789abcdef0", "mi-1", 1), nil, 400, "<ValidationException><Message>1 validation error detected: Value &#39;mi-1&#39; at &#39;channelId&#39; failed"},
		"a browser":  {accepting(listen), channelURL, []string{"Origin", "https://attacker.example"}, 400, "<ValidationException><Message>The websocket upgrade failed"},
		"no channel": {refusing(nil), "ws://ssmmessages.us-east-1.amazonaws.com/v1/other/mi-0123456789abcdef0", nil, 400, "<UnknownOperationException>"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ch := newChannel(t, c.h)
				conn, answer, err := ch.upgrade(t, c.url, c.header...)
				if conn != nil || answer == nil {
					t.Fatalf("connected: %v", err)
				}
				defer answer.Body.Close()
				body, _ := io.ReadAll(answer.Body)
				if answer.StatusCode != c.status || !strings.Contains(string(body), c.want) || strings.Contains(string(body), "secret") {
					t.Errorf("%d %s, want %d %s", answer.StatusCode, body, c.status, c.want)
				}
				synctest.Wait()
				if last := ch.last(t); last.outcome.Status != c.status {
					t.Errorf("recorded: %+v", last.outcome)
				}
			})
		})
	}
	w := newWorld(t, map[string]api.Operation{"ssmmessages:OpenControlChannel": api.BindStream("OpenControlChannel", accepting(listen))})
	url := strings.Replace(channelURL, "ws", "http", 1)
	if rec := w.do(signed(newRequest("GET", url, ""), "ssmmessages")); rec.Code != 400 || !strings.Contains(rec.Body.String(), "This operation needs a websocket upgrade") {
		t.Errorf("no upgrade: %d %s", rec.Code, rec.Body)
	}
	if rec := w.do(newRequest("GET", url, "", "Connection", "Upgrade", "Upgrade", "websocket")); rec.Code != 400 || !strings.Contains(rec.Body.String(), "<MissingAuthenticationTokenException>") {
		t.Errorf("not signed: %d %s", rec.Code, rec.Body)
	}
}

// TestStreamOpening sends other things than an opening message, or nothing.
func TestStreamOpening(t *testing.T) {
	text := func(s string) func(*websocket.Conn) {
		return func(c *websocket.Conn) { _ = c.WriteMessage(websocket.TextMessage, []byte(s)) }
	}
	for name, c := range map[string]struct {
		send   func(*websocket.Conn)
		after  time.Duration
		reason string
	}{
		"nothing": {func(*websocket.Conn) {}, openingWait, "The opening message did not come"},
		"pings": {func(c *websocket.Conn) {
			for range 10 {
				_ = c.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
				time.Sleep(time.Second)
			}
		}, openingWait, "The opening message did not come"},
		"a drop at a time": {func(c *websocket.Conn) {
			w, _ := c.NextWriter(websocket.TextMessage)
			for {
				if _, err := w.Write([]byte(strings.Repeat(" ", 4096))); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, openingWait, "larger than"}, // the client's buffer sends in pieces of four KiB
		"binaries": {func(c *websocket.Conn) {
			for range mostEarly + 1 {
				_ = c.WriteMessage(websocket.BinaryMessage, []byte(opening))
			}
		}, 0, "The opening message must be a text"},
		"a binary first": {func(c *websocket.Conn) {
			_ = c.WriteMessage(websocket.BinaryMessage, []byte(opening))
			_ = c.WriteMessage(websocket.TextMessage, []byte(opening))
		}, -1, ""},
		"too much":         {text(`{"X":"` + strings.Repeat("x", mostOpening) + `"}`), 0, ""}, // told by the library
		"no JSON":          {text("hello"), 0, ""},
		"another kind":     {text(`{"TokenValue":1}`), 0, "NUMBER_VALUE can not be converted to a String"},
		"no token":         {text(`{"MessageSchemaVersion":"1.0","RequestId":"r"}`), 0, "Value null at 'tokenValue' failed"},
		"another version":  {text(strings.Replace(opening, "1.0", "2.0", 1)), 0, "Value '2.0' at 'messageSchemaVersion' failed"},
		"another channel":  {text(strings.Replace(opening, `"Cookie":null`, `"ChannelId":"mi-ffffffffffffffff0"`, 1)), -1, ""},
		"a silent goodbye": {func(c *websocket.Conn) { _ = c.Close() }, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := make(chan string, 1)
				accepted := make(chan error, 1)
				ch := newChannel(t, func(ctx context.Context, in *ssmmessages.OpenControlChannelInput, s api.Stream) error {
					allow(ctx)
					_, err := s.Accept(in, unchecked)
					accepted <- err
					got <- in.ChannelId
					return err
				})
				conn, err := ch.connect(t)
				if err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				begin := time.Now()
				go func() {
					_, _, err := conn.ReadMessage()
					ended <- err
				}()
				sent := make(chan struct{})
				go func() { c.send(conn); close(sent) }()
				defer func() { _ = conn.Close(); <-sent }()
				err = <-accepted
				if name := <-got; name != "mi-0123456789abcdef0" {
					t.Errorf("the channel became %s", name)
				}
				if c.after < 0 {
					if err != nil {
						t.Errorf("a good opening: %v", err)
					}
					return
				}
				took := time.Since(begin)
				told := <-ended
				if e, ok := errors.AsType[*api.Error](err); !ok || !strings.Contains(e.Message, c.reason) || took > openingWait+time.Second {
					t.Errorf("Accept gave %v after %v", err, took)
				}
				if c.reason != "" && !strings.Contains(told.Error(), c.reason) && !closedWith(told, websocket.CloseMessageTooBig, "") {
					t.Errorf("the peer was told %v, want %s", told, c.reason)
				}
				synctest.Wait()
				if last := ch.last(t); last.outcome.Status != 400 {
					t.Errorf("recorded: %+v", last.outcome)
				}
				if len(ch.Mux.open) != 0 {
					t.Error("the stream is still known")
				}
			})
		})
	}
}

// TestStreamMalformedFrames sends each bad frame on a stream of its own, and what is no frame: the
// peer is told, and the stream beside it goes on.
func TestStreamMalformedFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChannel(t, accepting(echo))
		beside := c.open(t)
		good, err := datachannel.AppendFrame(nil, message("good"))
		if err != nil {
			t.Fatal(err)
		}
		change := func(at int, with byte) []byte {
			b := bytes.Clone(good)
			b[at] = with
			return b
		}
		for name, bad := range map[string]struct {
			frame []byte
			want  string
		}{ // each way in which reading one fails; datachannel knows all
			"empty":         {[]byte{}, "0 bytes are too few"},
			"short":         {good[:datachannel.FrameOverhead-1], "119 bytes are too few"},
			"header":        {change(3, 115), "header length 115"},
			"short payload": {good[:len(good)-1], "payload length 4, but 3 bytes follow"},
			"long payload":  {append(bytes.Clone(good), '!'), "more than the payload length of 4 bytes follows"},
			"much payload":  {change(datachannel.FrameOverhead-4, 0x7f), "payload of 2130706436 bytes"},
			"digest":        {change(datachannel.FrameOverhead, 'P'), "payload digest does not match"},
		} {
			p := c.open(t)
			p.say(t, "first")
			if err := p.WriteMessage(websocket.BinaryMessage, bad.frame); err != nil {
				t.Fatal(err)
			}
			if err := <-p.ended; !closedWith(err, websocket.ClosePolicyViolation, "malformed message frame: "+bad.want) {
				t.Errorf("%s: %v, want %s", name, err, bad.want)
			}
			beside.say(t, name)
		}
		p := c.open(t)
		_ = p.WriteMessage(websocket.TextMessage, []byte(opening))
		if err := <-p.ended; !closedWith(err, websocket.ClosePolicyViolation, "text after the opening message") {
			t.Errorf("a text: %v", err)
		}
		p = c.open(t)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_ = p.WriteMessage(websocket.BinaryMessage, make([]byte, datachannel.FrameOverhead+datachannel.MostPayload+1)) // it cannot be sent whole
		}()
		if err := <-p.ended; !closedWith(err, websocket.ClosePolicyViolation, "more than the payload length of 0 bytes follows") {
			t.Errorf("too large: %v", err)
		}
		<-sent
		p = c.open(t)
		raw := p.NetConn()
		_, _ = raw.Write([]byte{0x82, 0x01, 'x'}) // a client's frame must be masked
		if err := <-p.ended; !closedWith(err, websocket.CloseProtocolError, "bad MASK") {
			t.Errorf("not masked: %v", err)
		}
		p = c.open(t)
		frame, err := datachannel.AppendFrame(nil, message("in pieces"))
		if err != nil {
			t.Fatal(err)
		}
		writePieces(t, p.NetConn(), frame)
		if got := <-p.messages; !bytes.Equal(got, frame) {
			t.Errorf("a message in pieces came back as %q", got)
		}
		beside.say(t, "last")
	})
}

// writePieces writes a binary message as many fragments, each byte by byte.
func writePieces(t *testing.T, conn net.Conn, frame []byte) {
	t.Helper()
	opcode := byte(websocket.BinaryMessage)
	for len(frame) > 0 {
		piece := frame[:min(len(frame), 50)]
		frame = frame[len(piece):]
		if len(frame) == 0 {
			opcode |= 0x80
		}
		header := []byte{opcode, 0x80 | byte(len(piece)), 0, 0, 0, 0} // a mask of zeroes
		for _, b := range append(header, piece...) {
			if _, err := conn.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		opcode = 0
	}
}

// TestStreamPings keeps a stream alive by pings for an hour, and ends one that does nothing else.
func TestStreamPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChannel(t, accepting(echo))
		p := c.open(t)
		for range 67 { // as an agent does. source: agent
			time.Sleep(54 * time.Second)
			if err := p.WriteControl(websocket.PingMessage, []byte("keepalive"), time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := p.pongs.Load(); n != 67 {
			t.Errorf("%d pongs", n)
		}
		p.say(t, "still here")
		flood := c.open(t)
		flood.say(t, "first")
		sent := 0
		for ; sent < 1000; sent++ {
			if flood.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second)) != nil {
				break
			}
		}
		if err := <-flood.ended; !closedWith(err, websocket.ClosePolicyViolation, "too many pings") || sent > 2*mostPings {
			t.Errorf("after %d pings: %v", sent, err)
		}
		p.say(t, "still here")
	})
}

// TestStreamSilence drops a peer that says nothing, and one that never comes to the end of what it
// says.
func TestStreamSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 2)
		c := newChannel(t, accepting(func(s api.Stream) error { err := listen(s); ended <- err; return err }))
		begin := time.Now()
		c.open(t)
		if err := <-ended; !errors.Is(err, io.EOF) || time.Since(begin) != streamSilence {
			t.Errorf("a silent peer was dropped after %v with %v", time.Since(begin), err)
		}
		p := c.open(t)
		begin = time.Now()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_, err := p.NetConn().Write([]byte{0x82, 0xff, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0})
			for err == nil {
				time.Sleep(time.Second)
				_, err = p.NetConn().Write([]byte{0})
			}
		}()
		if err := <-ended; !errors.Is(err, io.EOF) || time.Since(begin) > streamSilence+time.Second {
			t.Errorf("a slow peer was dropped after %v with %v", time.Since(begin), err)
		}
		<-sent
	})
}

// TestStreamStop stops the server: all streams end within five seconds, however many peers do not
// listen, and those that do are told.
func TestStreamStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChannel(t, accepting(func(s api.Stream) error {
			go func() {
				for s.Send(message(strings.Repeat("x", 4096))) == nil { // it may be stuck in a Send
				}
			}()
			return listen(s)
		}))
		quiet := newChannel(t, accepting(listen))
		for range 300 {
			conn, err := c.connect(t) // which never reads
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.WriteMessage(websocket.TextMessage, []byte(opening)); err != nil {
				t.Fatal(err)
			}
		}
		peers := make([]*peer, 50)
		for i := range peers {
			peers[i] = quiet.open(t)
		}
		synctest.Wait()
		begin := time.Now()
		c.stop()
		quiet.stop()
		c.Wait()
		quiet.Wait()
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("stopping took %v", took)
		}
		for _, p := range peers {
			if err := <-p.ended; !closedWith(err, websocket.CloseGoingAway, "the server is stopping") {
				t.Errorf("a peer was told %v", err)
			}
		}
		if conn, err := quiet.connect(t); err == nil { // the listener still serves; the stream ends at once
			if _, _, err := conn.ReadMessage(); !closedWith(err, websocket.CloseGoingAway, "") {
				t.Errorf("a late stream ended with %v", err)
			}
		}
	})
}

// TestStreamEnds ends streams for all sorts of reasons, and tells peers what is theirs to know.
func TestStreamEnds(t *testing.T) {
	for name, c := range map[string]struct {
		f      func(s api.Stream) error
		code   int
		reason string
	}{
		"normally":            {func(api.Stream) error { return nil }, websocket.CloseNormalClosure, ""},
		"refused":             {func(api.Stream) error { return api.Errorf(api.AccessDenied, "no") }, websocket.ClosePolicyViolation, "no"},
		"our fault":           {func(api.Stream) error { return errors.New("secret") }, websocket.CloseInternalServerErr, "An internal error occurred"},
		"panic":               {func(api.Stream) error { panic("secret") }, websocket.CloseInternalServerErr, "An internal error occurred"},
		"hung up":             {func(s api.Stream) error { _ = s.Close("another line"); return listen(s) }, websocket.ClosePolicyViolation, "another line"},
		"hung up from afar":   {func(s api.Stream) error { go func() { _ = s.Close("bye") }(); return listen(s) }, websocket.ClosePolicyViolation, "bye"},
		"hung up twice":       {func(s api.Stream) error { _ = s.Close(""); return s.Close("again") }, websocket.CloseNormalClosure, ""},
		"for a long reason":   {func(api.Stream) error { return api.Errorf(api.AccessDenied, "%s", "x"+strings.Repeat("é", 100)) }, websocket.ClosePolicyViolation, "x" + strings.Repeat("é", 61)},
		"with a bad message":  {func(s api.Stream) error { return s.Send(&api.Message{}) }, websocket.CloseInternalServerErr, "An internal error occurred"},
		"with one send later": {func(s api.Stream) error { _ = s.Close(""); return s.Send(message("late")) }, websocket.CloseNormalClosure, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ch := newChannel(t, accepting(c.f))
				p := ch.open(t)
				if err := <-p.ended; !closedWith(err, c.code, c.reason) || strings.Contains(err.Error(), "secret") {
					t.Errorf("the peer was told %v", err)
				}
				ch.Wait()
				if strings.Contains(c.reason, "internal") && !strings.Contains(ch.log.String(), "level=ERROR msg=\"stream ended\"") {
					t.Errorf("the log says %s", ch.log)
				}
				if name == "panic" && !strings.Contains(ch.log.String(), "stream_test.go") {
					t.Error("the log lacks the stack")
				}
			})
		})
	}
}

// TestStreamSenders sends from many goroutines on one stream: every message arrives whole.
func TestStreamSenders(t *testing.T) {
	const senders, each = 50, 40
	synctest.Test(t, func(t *testing.T) {
		c := newChannel(t, accepting(func(s api.Stream) error {
			var all sync.WaitGroup
			for i := range senders {
				all.Go(func() {
					for j := range each {
						if err := s.Send(message(fmt.Sprintf("%d/%d %s", i, j, strings.Repeat("x", j*100)))); err != nil {
							t.Error(err)
						}
					}
				})
			}
			all.Wait()
			return listen(s)
		}))
		p := c.open(t)
		next := make([]int, senders)
		for range senders * each {
			m, err := datachannel.ParseFrame(<-p.messages)
			if err != nil {
				t.Fatal(err)
			}
			var i, j int
			if _, err := fmt.Sscanf(string(m.Payload), "%d/%d", &i, &j); err != nil || j != next[i] {
				t.Errorf("%v: message %d of sender %d, want %d", err, j, i, next[i])
			}
			next[i]++
		}
	})
}

// TestStreamSlowReader has one peer that does not read: it holds up nobody else, and loses its
// stream in the end.
func TestStreamSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		c := newChannel(t, accepting(func(s api.Stream) error {
			m, err := s.Receive()
			if err != nil {
				return err
			}
			if string(m.Payload) == "stuck" {
				err := s.Send(m)
				failed <- err
				return err
			}
			return s.Send(m)
		}))
		stuck, err := c.connect(t)
		if err != nil {
			t.Fatal(err)
		}
		frame, err := datachannel.AppendFrame(nil, message("stuck"))
		if err != nil {
			t.Fatal(err)
		}
		_ = stuck.WriteMessage(websocket.TextMessage, []byte(opening))
		_ = stuck.WriteMessage(websocket.BinaryMessage, frame)
		synctest.Wait()
		begin := time.Now()
		for range 20 {
			c.open(t).say(t, "quick")
		}
		if took := time.Since(begin); took > 0 {
			t.Errorf("the others took %v", took)
		}
		if err := <-failed; err == nil || time.Since(begin) != streamWrite {
			t.Errorf("Send gave %v after %v", err, time.Since(begin))
		}
	})
}

// TestStreamSlowReaderPings pings while a message is stuck: the stream must not end for a pong that
// cannot be sent.
func TestStreamSlowReaderPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		received := make(chan error, 10)
		c := newChannel(t, accepting(func(s api.Stream) error {
			go func() { _ = s.Send(message("stuck")) }()
			for {
				_, err := s.Receive()
				received <- err
				if err != nil {
					return err
				}
			}
		}))
		conn, err := c.connect(t)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.WriteMessage(websocket.TextMessage, []byte(opening))
		synctest.Wait()
		_ = conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
		time.Sleep(2 * time.Second)
		frame, err := datachannel.AppendFrame(nil, message("more"))
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.WriteMessage(websocket.BinaryMessage, frame)
		if err := <-received; err != nil {
			t.Errorf("Receive gave %v", err)
		}
	})
}

// TestStreamGoroutines holds that an accepted stream has one goroutine, not that of its handler too.
func TestStreamGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChannel(t, accepting(listen))
		open := func(n int) {
			for range n {
				conn, err := c.connect(t)
				if err != nil {
					t.Fatal(err)
				}
				if err := conn.WriteMessage(websocket.TextMessage, []byte(opening)); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		open(1)
		before := bubble.Goroutines()
		open(100)
		if grown := bubble.Goroutines() - before; grown != 100 {
			t.Errorf("100 streams have %d goroutines", grown)
		}
	})
}

// answering opens a stream whose peer keeps the pings that it gets, so that a test answers them.
func (c *channel) answering(t testing.TB) (p *peer, pings chan string) {
	t.Helper()
	p, pings = c.open(t), make(chan string, 100)
	p.SetPingHandler(func(text string) error { pings <- text; return nil })
	return p, pings
}

// TestStreamAsks pings a peer: an answer is heard between the messages before and after it, and only once; a later one
// answers for those before it; and what nobody asked for means nothing.
func TestStreamAsks(t *testing.T) {
	for name, c := range map[string]struct {
		says func(p *peer, pings []string)
		want string
	}{
		"in order": {func(p *peer, pings []string) {
			p.tell(t, "a")
			p.answer(pings[0])
			p.tell(t, "b")
			p.answer(pings[1])
			p.tell(t, "c")
			p.answer(pings[2])
		}, "a 1 b 2 c 3 end"},
		"twice": {func(p *peer, pings []string) {
			p.answer(pings[0])
			p.answer(pings[0])
			p.answer(pings[1])
			p.answer(pings[0])
		}, "1 2 end"},
		"the last only": {func(p *peer, pings []string) {
			p.tell(t, "a")
			p.answer(pings[2])
			p.tell(t, "b")
			p.answer(pings[0])
		}, "a 1 2 3 b end"},
		"those of strangers": {func(p *peer, _ []string) {
			for _, text := range []string{"", "x", "0", "-1", "6", "9999999999", "18446744073709551615", "18446744073709551616", "keepalive", strings.Repeat("9", 125)} {
				p.answer(text)
			}
			p.tell(t, "a")
		}, "a end"},
		"never": {func(p *peer, _ []string) { p.tell(t, "a") }, "a end"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var heard []string
				ended := make(chan struct{})
				start := make(chan struct{})
				ch := newChannel(t, accepting(func(s api.Stream) error {
					defer close(ended)
					<-start
					for i := range 3 {
						if err := s.Ping(func() { heard = append(heard, fmt.Sprint(i+1)) }); err != nil {
							t.Error(err)
						}
					}
					for range 2 { // nobody waits for these
						if err := s.Ping(nil); err != nil {
							t.Error(err)
						}
					}
					for {
						m, err := s.Receive()
						if err != nil {
							heard = append(heard, "end")
							if err := s.Ping(func() { t.Error("an ended stream heard an answer") }); err == nil {
								return s.Ping(nil) // the first may still go into the void
							}
							return nil
						}
						heard = append(heard, string(m.Payload))
					}
				}))
				p, pings := ch.answering(t)
				close(start)
				var texts []string
				for range 5 {
					texts = append(texts, <-pings)
				}
				c.says(p, texts)
				_ = p.Close()
				<-ended
				if got := strings.Join(heard, " "); got != c.want {
					t.Errorf("%s was heard, want %s", got, c.want)
				}
			})
		})
	}
}

// tell sends a message.
func (p *peer) tell(t testing.TB, text string) {
	t.Helper()
	frame, err := datachannel.AppendFrame(nil, message(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WriteMessage(websocket.BinaryMessage, frame); err != nil {
		t.Fatal(err)
	}
}

// answer sends a pong.
func (p *peer) answer(text string) {
	_ = p.WriteControl(websocket.PongMessage, []byte(text), time.Now().Add(time.Second))
}

// TestStreamPatience has a peer that neither says nor takes anything for a while, and lives.
func TestStreamPatience(t *testing.T) {
	const silence = 11 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		received := make(chan string, 10)
		sent := make(chan error, 1)
		ended := make(chan time.Duration, 1)
		c := newChannel(t, accepting(func(s api.Stream) error {
			s.Patience(silence)
			go func() { sent <- s.Send(message("stuck")) }()
			time.Sleep(2 * silence) // somebody who does not listen hears nothing
			begin := time.Now()
			for {
				m, err := s.Receive()
				if err != nil {
					ended <- time.Since(begin)
					return err
				}
				received <- string(m.Payload)
				begin = time.Now()
			}
		}))
		conn, err := c.connect(t)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.WriteMessage(websocket.TextMessage, []byte(opening))
		time.Sleep(2*silence + time.Second)
		p := &peer{Conn: conn}
		_ = p.WriteControl(websocket.PingMessage, []byte("keepalive"), time.Now().Add(time.Second)) // whose answer is stuck, too
		p.tell(t, "a")
		if got := <-received; got != "a" {
			t.Errorf("%q was received", got)
		}
		time.Sleep(silence - time.Second)
		p.tell(t, "b")
		if got := <-received; got != "b" {
			t.Errorf("%q was received", got)
		}
		pongs := 0
		conn.SetPongHandler(func(string) error { pongs++; return nil })
		if _, b, err := conn.ReadMessage(); err != nil || !bytes.Contains(b, []byte("stuck")) {
			t.Errorf("what was stuck came as %q, %v", b, err)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		go func() { _, _, _ = conn.ReadMessage() }()
		if took := <-ended; took != silence {
			t.Errorf("it was given up after %v", took)
		}
		synctest.Wait()
		if pongs != 1 {
			t.Errorf("%d answers to a ping", pongs)
		}
	})
}

// unchecked takes any opening message.
func unchecked(context.Context) error { return nil }
