package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/datachannel"
	"github.com/vennel/vennel/internal/coalesce"
)

// listening is a handler that leaves its stream to receive, and says when that has ended.
func listening(receive func(api.Stream, *api.Message) error) (h handler, ended chan struct{}) {
	ended = make(chan struct{}, 1000)
	return accepting(func(s api.Stream) error {
		return s.Listen(func(m *api.Message) error { return receive(s, m) }, func() { ended <- struct{}{} })
	}), ended
}

// overSockets has clients come through TLS on loopback, as they do outside of tests.
func (c *channel) overSockets(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ca := newCA(t)
	server := &http.Server{Handler: c, TLSConfig: c.TLS(ca), ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.ServeTLS(coalesce.Listener{Listener: l}, "", "") })
	t.Cleanup(func() { _ = server.Close(); serving.Wait() })
	trust := trusting(ca)
	trust.ServerName = "localhost"
	trust.NextProtos = []string{"http/1.1"}
	c.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&tls.Dialer{Config: trust}).DialContext(ctx, network, l.Addr().String())
	}
}

// everywhere tries something on the network in memory, where a goroutine waits for each stream, and on sockets, where none does.
func everywhere(t *testing.T, h handler, try func(t *testing.T, c *channel)) {
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { try(t, newChannel(t, h)) })
	})
	t.Run("sockets", func(t *testing.T) {
		c := newChannel(t, h)
		c.overSockets(t)
		try(t, c)
	})
}

// echoing sends a message back.
func echoing(s api.Stream, m *api.Message) error { return s.Send(m) }

// TestListen converses, with pings of all sizes between the messages, and ends when the peer does.
func TestListen(t *testing.T) {
	h, ended := listening(echoing)
	everywhere(t, h, func(t *testing.T, c *channel) {
		p := c.open(t)
		for i := range 15 {
			if err := p.WriteControl(websocket.PingMessage, []byte(strings.Repeat("p", 125*i/14)), time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			p.say(t, strings.Repeat("x", i*i*200))
		}
		if p.pongs.Load() == 0 {
			t.Error("no ping was answered")
		}
		_ = p.Close()
		<-ended
		if len(ended) != 0 {
			t.Error("the stream ended twice")
		}
	})
}

// TestListenAsks pings a peer and hears its answer, and answers it with what it has said.
func TestListenAsks(t *testing.T) {
	start, heard := make(chan struct{}, 1), make(chan struct{}, 1)
	everywhere(t, accepting(func(s api.Stream) error {
		<-start
		if err := s.Ping(func() { heard <- struct{}{} }); err != nil {
			return err
		}
		return s.Listen(func(m *api.Message) error { return echoing(s, m) }, func() {})
	}), func(t *testing.T, c *channel) {
		p, pings := c.answering(t)
		pongs := make(chan string, 1)
		p.SetPongHandler(func(text string) error { pongs <- text; return nil })
		start <- struct{}{}
		p.say(t, "first")
		p.answer(<-pings)
		<-heard
		if err := p.WriteControl(websocket.PingMessage, []byte("are you there?"), time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if text := <-pongs; text != "are you there?" {
			t.Errorf("%q came back", text)
		}
	})
}

// TestListenSaysMuch sends many messages at once, before and after the operation listens.
func TestListenSaysMuch(t *testing.T) {
	h, ended := listening(echoing)
	everywhere(t, h, func(t *testing.T, c *channel) {
		p := c.open(t)
		frame, err := datachannel.AppendFrame(nil, message("much"))
		if err != nil {
			t.Fatal(err)
		}
		for range 500 {
			if err := p.WriteMessage(websocket.BinaryMessage, frame); err != nil {
				t.Fatal(err)
			}
		}
		for range 500 {
			if b := <-p.messages; !bytes.Equal(b, frame) {
				t.Fatalf("%q came back as %q", frame, b)
			}
		}
		_ = p.Close()
		<-ended
	})
}

// TestListenInPieces sends the bytes of a message and of a ping one by one, each in a record of its own.
func TestListenInPieces(t *testing.T) {
	h, ended := listening(echoing)
	everywhere(t, h, func(t *testing.T, c *channel) {
		p := c.open(t)
		frame, err := datachannel.AppendFrame(nil, message("x"))
		if err != nil {
			t.Fatal(err)
		}
		pieces := append([]byte{0x89, 0x83, 1, 2, 3, 4, 'a' ^ 1, 'b' ^ 2, 'c' ^ 3, 0x82, 0x80 | 126, 0, byte(len(frame)), 0, 0, 0, 0}, frame...)
		for _, b := range pieces {
			if _, err := p.NetConn().Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		if b := <-p.messages; !bytes.Equal(b, frame) {
			t.Errorf("%q came back as %q", frame, b)
		}
		p.say(t, "after it")
		_ = p.Close()
		<-ended
	})
}

// TestListenEnds ends streams for all sorts of reasons, and tells peers what is theirs to know.
func TestListenEnds(t *testing.T) {
	streams := make(chan api.Stream, 10)
	h, ended := listening(func(s api.Stream, m *api.Message) error {
		switch string(m.Payload) {
		case "refuse":
			return api.Errorf(api.Invalid, "refused")
		case "fail":
			return errors.New("a secret")
		case "panic":
			panic("a secret")
		case "end":
			return io.EOF
		}
		streams <- s
		return s.Send(m)
	})
	send := func(text string) func(*testing.T, *channel, *peer) {
		return func(t *testing.T, _ *channel, p *peer) { p.tell(t, text) }
	}
	for name, x := range map[string]struct {
		do     func(*testing.T, *channel, *peer)
		code   int
		reason string
	}{
		"Refused":  {send("refuse"), websocket.ClosePolicyViolation, "refused"},
		"Failed":   {send("fail"), websocket.CloseInternalServerErr, ""},
		"Panicked": {send("panic"), websocket.CloseInternalServerErr, ""},
		"Ended":    {send("end"), websocket.CloseNormalClosure, ""},
		"Text":     {func(_ *testing.T, _ *channel, p *peer) { _ = p.WriteMessage(websocket.TextMessage, []byte("x")) }, websocket.ClosePolicyViolation, "text"},
		"Unmasked": {func(_ *testing.T, _ *channel, p *peer) { _, _ = p.NetConn().Write([]byte{0x89, 0}) }, websocket.CloseProtocolError, "MASK"},
		"LongPing": {func(_ *testing.T, _ *channel, p *peer) {
			_, _ = p.NetConn().Write([]byte{0x89, 0x80 | 126, 0, 126, 0, 0, 0, 0})
		}, websocket.CloseProtocolError, "125"},
		"Pings": {func(_ *testing.T, _ *channel, p *peer) {
			for range mostPings + 1 {
				_ = p.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
			}
		}, websocket.ClosePolicyViolation, "pings"},
		"Closed":  {func(t *testing.T, _ *channel, p *peer) { p.say(t, "x"); _ = (<-streams).Close("enough") }, websocket.ClosePolicyViolation, "enough"},
		"Stopped": {func(t *testing.T, c *channel, p *peer) { p.say(t, "x"); <-streams; c.stop() }, websocket.CloseGoingAway, stoppingReason},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, h, func(t *testing.T, c *channel) {
				p := c.open(t)
				x.do(t, c, p)
				if err := <-p.ended; !closedWith(err, x.code, x.reason) || strings.Contains(err.Error(), "secret") {
					t.Errorf("the stream ended with %v", err)
				}
				<-ended
				for c.Streams() != 0 { // it is forgotten right after that
					runtime.Gosched()
				}
				c.lot.mu.Lock()
				defer c.lot.mu.Unlock()
				if n := len(c.lot.streams); n != 0 {
					t.Errorf("%d streams are in the lot", n)
				}
			})
		})
	}
}

// TestListenShutDown ends a parked stream whose socket is shut down below it, as that of an endpoint that is gone.
func TestListenShutDown(t *testing.T) {
	h, ended := listening(echoing)
	c := newChannel(t, h)
	c.overSockets(t)
	c.open(t).say(t, "x")
	c.mu.Lock()
	s := slices.Collect(maps.Keys(c.Mux.open))[0]
	c.mu.Unlock()
	for !s.listener.Load().parked.Load() {
		runtime.Gosched()
	}
	socket := coalesce.Under(s.below()).(*net.TCPConn)
	if err := errors.Join(socket.CloseWrite(), socket.CloseRead()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the stream waits on")
	}
}

// TestListenEndPanics has a stream whose end panics end all the same, and others go on.
func TestListenEndPanics(t *testing.T) {
	everywhere(t, accepting(func(s api.Stream) error {
		return s.Listen(func(m *api.Message) error {
			if string(m.Payload) == "end" {
				return io.EOF
			}
			return s.Send(m)
		}, func() { panic("a secret") })
	}), func(t *testing.T, c *channel) {
		other, p := c.open(t), c.open(t)
		p.tell(t, "end")
		if err := <-p.ended; !closedWith(err, websocket.CloseInternalServerErr, "") || strings.Contains(err.Error(), "secret") {
			t.Errorf("the stream ended with %v", err)
		}
		other.say(t, "still here")
		if n := c.Streams(); n != 1 {
			t.Errorf("%d streams are open", n)
		}
	})
}

// TestListenSilent ends the stream of a peer that says nothing, soon after its time, and not that of one which pings.
func TestListenSilent(t *testing.T) {
	ended := make(chan bool, 2)
	var streams atomic.Int32
	c := newChannel(t, accepting(func(s api.Stream) error {
		first := streams.Add(1) == 1
		s.Patience(100 * time.Millisecond)
		return s.Listen(func(*api.Message) error { return nil }, func() { ended <- first })
	}))
	c.lot.sweep = 5 * time.Millisecond
	c.overSockets(t)
	c.open(t)
	for c.Streams() != 1 {
		runtime.Gosched()
	}
	pings := c.open(t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 20 {
		select {
		case first := <-ended:
			if !first {
				t.Fatal("the stream that pings has ended")
			}
		case <-tick.C:
			_ = pings.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
		}
	}
	if n := c.Streams(); n != 1 {
		t.Errorf("%d streams are open", n)
	}
}

// TestListenClockSet sets the clock of the machine, which has no peer be silent that was not, and none be heard that was.
func TestListenClockSet(t *testing.T) {
	set := func(now time.Time, seconds int) time.Time { // what time.Now gives then
		*(*uint64)(unsafe.Pointer(&now)) += uint64(seconds) << 30 // the wall clock's seconds are above 30 bits of nanoseconds; the other clock goes on
		return now
	}
	now := time.Now()
	if hour := set(now, 3600); hour.Unix() != now.Unix()+3600 || hour.Sub(now) != 0 {
		t.Fatalf("the clock is %v", hour)
	}
	var l listener
	l.until.Store(int64(time.Since(began) + time.Minute))
	for _, seconds := range []int{-3600, 0, 3600} {
		if l.late(set(now, seconds)) || !l.late(set(now.Add(2*time.Minute), seconds)) {
			t.Errorf("after %d s the peer is silent at once, or never", seconds)
		}
	}
}

// TestListenCostsNoGoroutine holds that a hundred streams of which nothing comes have no goroutine, before and after they have said something, be it a ping.
func TestListenCostsNoGoroutine(t *testing.T) {
	h, _ := listening(echoing)
	c := newChannel(t, h)
	c.overSockets(t)
	var peers []*peer
	for range 100 {
		peers = append(peers, c.open(t))
	}
	serving := func() int {
		stacks := make([]byte, 16<<20)
		text := string(stacks[:runtime.Stack(stacks, true)])
		return strings.Count(text, "wire.(*stream).run(") + strings.Count(text, "wire.(*stream).turn(")
	}
	idle := func() {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); serving() > 0; {
			if time.Now().After(end) {
				t.Fatalf("%d goroutines wait for 100 streams", serving())
			}
		}
	}
	idle()
	for _, p := range peers {
		p.say(t, "awake")
	}
	idle()
	for _, p := range peers {
		if err := p.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range peers {
		for p.pongs.Load() == 0 {
			runtime.Gosched()
		}
	}
	idle()
}
