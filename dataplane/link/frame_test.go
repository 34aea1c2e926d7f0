package link

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/yamux"
)

// TestHeader writes headers and reads them again, and no byte more.
func TestHeader(t *testing.T) {
	four, six := netip.MustParseAddrPort("192.0.2.7:40000"), netip.MustParseAddrPort("[2001:db8::7]:443")
	for _, c := range []struct {
		name       string
		have, want Header
	}{
		{"IPv4", Header{From: four, To: four}, Header{From: four, To: four}},
		{"IPv6", Header{From: six, To: six}, Header{From: six, To: six}},
		{"mixed", Header{From: four, To: six}, Header{From: four, To: six}},
		{"mapped", Header{From: netip.MustParseAddrPort("[::ffff:192.0.2.7]:40000"), To: four}, Header{From: four, To: four}},
		{"zoned", Header{From: netip.MustParseAddrPort("[fe80::1%eth0]:1"), To: six}, Header{From: netip.MustParseAddrPort("[fe80::1]:1"), To: six}},
		{"unknown", Header{To: six}, Header{From: netip.MustParseAddrPort("[::]:0"), To: six}},
		{
			"values", Header{From: four, To: four, Endpoint: "vpce-0123456789abcdef0", Listener: []byte("12345678"), Mark: 7},
			Header{From: four, To: four, Endpoint: "vpce-0123456789abcdef0", Listener: []byte("12345678"), Mark: 7},
		},
	} {
		r := bytes.NewReader(c.have.Append([]byte("x"))[1:])
		rest := io.MultiReader(r, strings.NewReader("rest"))
		got, err := ReadHeader(rest)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		if after, err := io.ReadAll(rest); err != nil || string(after) != "rest" {
			t.Errorf("%s: %q, %v after the header", c.name, after, err)
		}
	}
	// Bytes as AWS's load balancers send them. source: userguide, "PROXY protocol"; the endpoint's id is flat after its type
	sent := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x26\x0a\x00\x00\x05\x0a\x00\x00\x09\x9c\x40\x01\xbb\xea\x00\x17\x01vpce-0123456789abcdef0"
	got, err := ReadHeader(strings.NewReader(sent))
	if err != nil || got.Endpoint != "vpce-0123456789abcdef0" || got.From != netip.MustParseAddrPort("10.0.0.5:40000") || got.To != netip.MustParseAddrPort("10.0.0.9:443") {
		t.Errorf("%+v, %v", got, err)
	}
	for name, text := range map[string]string{
		"HTTP":         "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"version 1":    "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
		"cut":          sent[:40],
		"local":        strings.Replace(sent, "\x21\x11", "\x20\x11", 1),
		"UDP":          strings.Replace(sent, "\x21\x11", "\x21\x12", 1),
		"no room":      signature + "\x21\x11\x00\x04abcd",
		"a long value": signature + "\x21\x11\x00\x0faaaabbbb1122\xea\x00\x01",
		"a short mark": signature + "\x21\x11\x00\x10aaaabbbb1122\xe1\x00\x01x",
		"very long":    signature + "\x21\x11\xff\xff" + strings.Repeat("x", 70000),
	} {
		if h, err := ReadHeader(strings.NewReader(text)); err == nil {
			t.Errorf("%s is a header: %+v", name, h)
		}
	}
}

// FuzzReadHeader reads headers of anybody's. What is one is the same when it has been written again.
func FuzzReadHeader(f *testing.F) {
	at := netip.MustParseAddrPort("192.0.2.7:40000")
	f.Add((&Header{From: at, To: at}).Append(nil))
	f.Add((&Header{To: at, Endpoint: "vpce-1", Listener: []byte("12345678"), Mark: 1 << 31}).Append(nil))
	f.Add([]byte(signature + "\x21\x11\x00\x04abcd"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		h, err := ReadHeader(r)
		if err != nil {
			return
		}
		again, err := ReadHeader(bytes.NewReader(h.Append(nil)))
		if len(h.Listener) == 0 {
			h.Listener, again.Listener = nil, nil
		}
		if err != nil || !reflect.DeepEqual(h, again) {
			t.Fatalf("%+v, then %+v, %v", h, again, err)
		}
	})
}

// FuzzFrame reads requests, answers and packets of anybody's. What can be read takes no more memory than has come.
func FuzzFrame(f *testing.F) {
	var b bytes.Buffer
	if err := writeFrame(&b, request{Op: opFlows}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("\xff\xff\xff\xff{}"))
	f.Add([]byte("\x03\xff\xff\xff{}"))
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\x00\x00\x00\x01\x7f\x00\x00\x01\x00\x35x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var rq request
		if err := readFrame(bytes.NewReader(b), &rq); err == nil {
			var again bytes.Buffer
			if err := writeFrame(&again, rq); err != nil {
				t.Fatal(err)
			}
		}
		var a answer
		_ = readFrame(bytes.NewReader(b), &a)
		if peer, packet, err := readPacket(bytes.NewReader(b)); err == nil {
			var again bytes.Buffer
			if err := writePacket(&again, peer, packet); err != nil || !bytes.HasPrefix(b, again.Bytes()) {
				t.Fatalf("%v: %x, then %x", err, b, again.Bytes())
			}
		}
	})
}

// bubble tests something in time of its own. yamux keeps its timers in a pool for all sessions, and those of one bubble must not be
// used in another: the garbage collector takes what is in a pool when it has seen it twice.
func bubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	for range 2 {
		runtime.GC()
	}
	synctest.Test(t, test)
	for range 2 {
		runtime.GC()
	}
}

// linked gives both sides of a link over a pipe; cut breaks it without a word, as a machine that loses its power does.
func linked(t *testing.T) (a, b *yamux.Session, cut func()) {
	t.Helper()
	one, other := net.Pipe()
	log := slog.New(slog.DiscardHandler)
	gone := &silent{Conn: one, gone: make(chan struct{})}
	a, err := over(gone, log, planeLingers, yamux.Client)
	if err != nil {
		t.Fatal(err)
	}
	b, err = over(other, log, diallerLeaves, yamux.Server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = a.Close()
		_ = b.Close()
	})
	return a, b, sync.OnceFunc(func() { close(gone.gone) })
}

// silent is a connection whose other side may be gone.
type silent struct {
	net.Conn
	gone chan struct{}
}

// Write writes to nobody when the other side is gone.
func (s *silent) Write(b []byte) (int, error) {
	select {
	case <-s.gone:
		return len(b), nil
	default:
		return s.Conn.Write(b)
	}
}

// pair gives both sides of a stream.
func pair(t *testing.T, a, b *yamux.Session) (*stream, *stream) {
	t.Helper()
	one, err := a.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	other, err := b.AcceptStream()
	if err != nil {
		t.Fatal(err)
	}
	return &stream{Stream: one}, &stream{Stream: other}
}

// TestDeadPeer misses a peer that is gone without a word.
func TestDeadPeer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, cut := linked(t)
		one, _ := pair(t, a, b)
		began := time.Now()
		time.Sleep(5 * time.Minute) // quiet is not dead
		if a.IsClosed() || b.IsClosed() {
			t.Fatal("a quiet link is broken")
		}
		cut()
		began = time.Now()
		if _, err := one.Read(make([]byte, 1)); err == nil {
			t.Error("something came from nobody")
		}
		if took := time.Since(began); took > alive+patience {
			t.Errorf("it took %v", took)
		}
	})
}

// TestStreamHalves ends the directions of a stream one by one, and both at once.
func TestStreamHalves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, _ := linked(t)
		one, other := pair(t, a, b)
		text := bytes.Repeat([]byte("0123456789"), 50_000) // longer than a window
		var sent sync.WaitGroup
		sent.Go(func() {
			if n, err := one.Write(text); n != len(text) || err != nil {
				t.Errorf("wrote %d: %v", n, err)
			}
			if err := one.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		got, err := io.ReadAll(other)
		if err != nil || !bytes.Equal(got, text) {
			t.Fatalf("read %d bytes: %v", len(got), err)
		}
		sent.Wait()
		if _, err := one.Write([]byte("more")); err == nil {
			t.Error("wrote after the end")
		}
		time.Sleep(time.Hour) // longer than yamux lets a stream be half closed
		if _, err := other.Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
		few := make([]byte, 10)
		if n, err := one.Read(few); err != nil || string(few[:n]) != "late" {
			t.Fatalf("%q, %v", few[:n], err)
		}

		// A reader is told of its own side's end and of the other's.
		read := make(chan error, 2)
		sent.Go(func() { _, err := one.Read(few); read <- err })
		synctest.Wait()
		if err := one.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-read; err == nil {
			t.Error("read from a stream that this side has closed")
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		one, other = pair(t, a, b)
		if err := one.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Read(few); err != io.ErrUnexpectedEOF {
			t.Errorf("read from a stream that the other side has closed: %v", err)
		}
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if a.NumStreams()+b.NumStreams() != 0 {
			t.Errorf("%d and %d streams are left", a.NumStreams(), b.NumStreams())
		}
		sent.Wait()
	})
}

// TestStreamAbandoned resets a control plane's stream that a gateway has closed, on which it writes and does not read.
func TestStreamAbandoned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, _ := linked(t)
		plane, gateway := pair(t, a, b)
		if err := gateway.Close(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if n, err := plane.Write(make([]byte, 4*window)); err == nil {
			t.Errorf("wrote %d bytes to nobody", n)
		}
		if took := time.Since(began); took > diallerLeaves {
			t.Errorf("it took %v to hear of it", took)
		}
		_ = plane.Close()
	})
}

// TestStreamDeadline interrupts a read in the middle of a piece, and its length; what follows is whole.
func TestStreamDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, _ := linked(t)
		one, other := pair(t, a, b)
		b4 := make([]byte, 4)
		for _, piece := range []string{"\x00", "\x04ab", "cd"} { // yamux's own Write: no lengths are added
			if _, err := one.Stream.Write([]byte(piece)); err != nil {
				t.Fatal(err)
			}
			if err := other.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := other.Read(b4)
			switch want := map[string]string{"\x00": "", "\x04ab": "ab", "cd": "cd"}[piece]; {
			case want != string(b4[:n]):
				t.Errorf("%q, %v", b4[:n], err)
			case want == "":
				if !errors.Is(err, os.ErrDeadlineExceeded) { // TLS goes on after that one only
					t.Errorf("%v is no timeout", err)
				}
			case err != nil:
				t.Error(err)
			}
		}
		// A writer for whom there is no room is interrupted, and writes no more.
		if err := one.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := one.Write(make([]byte, 2*window))
		if e, ok := err.(net.Error); !ok || !e.Timeout() || n >= window {
			t.Errorf("wrote %d: %v", n, err)
		}
		if err := one.SetWriteDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := one.Write([]byte("more")); err == nil {
			t.Error("wrote after half a piece")
		}
	})
}

// broken writes until it hears that nobody is there, as after a TCP connection's close.
func broken(t *testing.T, conn net.Conn) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		if _, err := conn.Write([]byte("more")); err != nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("what is written goes nowhere")
		}
	}
}

// TestSplice carries a connection over a link as if there were none.
func TestSplice(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, near, far net.Conn)
	}{
		{"halves", func(t *testing.T, near, far net.Conn) {
			question := bytes.Repeat([]byte("question "), 100_000)
			var asked sync.WaitGroup
			asked.Go(func() {
				_, err := near.Write(question)
				if err == nil {
					err = near.(*net.TCPConn).CloseWrite()
				}
				if err != nil {
					t.Error(err)
				}
			})
			got, err := io.ReadAll(far)
			if err != nil || !bytes.Equal(got, question) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			asked.Wait()
			if _, err := far.Write([]byte("answer")); err != nil {
				t.Error(err)
			}
			_ = far.Close()
			if got, err := io.ReadAll(near); err != nil || string(got) != "answer" {
				t.Errorf("%q, %v", got, err)
			}
		}},
		{"far ends after a half", func(t *testing.T, near, far net.Conn) {
			if err := far.(*stream).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if _, err := near.Read(make([]byte, 1)); err != io.EOF {
				t.Fatalf("the near side has not heard of it: %v", err)
			}
			if _, err := near.Write([]byte("more")); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAtLeast(far, make([]byte, 10), 4); err != nil || got != 4 {
				t.Fatalf("%d, %v", got, err)
			}
			_ = far.Close()
			broken(t, near)
		}},
		{"near ends", func(t *testing.T, near, far net.Conn) {
			Refuse(near)
			if _, err := far.Read(make([]byte, 1)); err != io.ErrUnexpectedEOF {
				t.Errorf("the far side has not heard of it: %v", err)
			}
		}},
		{"far ends", func(t *testing.T, near, far net.Conn) {
			_ = far.Close()
			if _, err := near.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the near side has not heard of it: %v", err)
			}
			broken(t, near)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b, _ := linked(t)
			one, far := pair(t, a, b)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			near, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			accepted, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			var done sync.WaitGroup
			done.Go(func() { splice(one, accepted) })
			for _, conn := range []net.Conn{near, far} {
				if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
					t.Fatal(err)
				}
			}
			c.do(t, near, far)
			_ = near.Close()
			_ = far.Close()
			done.Wait()
		})
	}
}
