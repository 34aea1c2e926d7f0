package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/wire/sigv4"

	"github.com/vennel/vennel/datachannel"
)

// TestIdleStreamMemory holds what an idle stream over TLS costs the server against the least that any
// connection costs: crypto/tls, whose handshake is done in one goroutine and whose next read in a
// fresh one.
func TestIdleStreamMemory(t *testing.T) {
	bare, ours := idleCosts(t, 400)
	t.Logf("bare TLS %v, a stream %v: %.2f times", bare, ours, ours.total()/bare.total())
	if ours.total() > 1.5*bare.total() {
		t.Error("a stream costs more than one and a half bare connections")
	}
}

// BenchmarkIdleStream reports the same for a few thousand.
func BenchmarkIdleStream(b *testing.B) {
	for b.Loop() {
		bare, ours := idleCosts(b, 4000)
		b.ReportMetric(ours.heap, "heap-KiB/stream")
		b.ReportMetric(ours.stack, "stack-KiB/stream")
		b.ReportMetric(bare.total(), "KiB/bare")
		b.ReportMetric(ours.total(), "KiB/stream")
		b.ReportMetric(ours.total()/bare.total(), "stream/bare")
	}
}

// idleCosts measures n connections of each kind. The clients are in a process of their own. Each says
// one thing and hears its echo before the measurement.
func idleCosts(t testing.TB, n int) (bare, ours cost) {
	t.Helper()
	ca := newCA(t)
	bare = measure(t, "bare", n, func(l net.Listener) func() { return serveBare(tls.NewListener(l, ca.Config(served))) })
	c := newChannel(t, accepting(echo))
	c.Record, c.Log = nil, slog.New(slog.DiscardHandler)
	ours = measure(t, "stream", n, func(l net.Listener) func() {
		server := &http.Server{Handler: c, TLSConfig: ca.Config(served), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.ServeTLS(l, "", "") })
		return func() { c.stop(); _ = server.Close(); serving.Wait(); c.Wait() }
	})
	return bare, ours
}

// cost is the memory of one connection, in KiB.
type cost struct{ heap, stack float64 }

// total is all of it.
func (c cost) total() float64 { return c.heap + c.stack }

// String writes it.
func (c cost) String() string {
	return fmt.Sprintf("%.1f KiB (heap %.1f, stack %.1f)", c.total(), c.heap, c.stack)
}

// measure serves n clients, and gives the memory of one.
func measure(t testing.TB, mode string, n int, serve func(net.Listener) (stop func())) cost {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stop := serve(l)
	defer stop()
	before := settled()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "WIRE_TEST_CLIENTS="+strings.Join([]string{mode, strconv.Itoa(n), l.Addr().String()}, " "))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
		t.Log(lines.Text())
	}
	after := settled()
	_ = in.Close()
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the clients: %v", err)
	}
	each := func(after, before uint64) float64 { return (float64(after) - float64(before)) / 1024 / float64(n) }
	return cost{each(after.HeapAlloc, before.HeapAlloc), each(after.StackInuse, before.StackInuse)}
}

// settled is the memory in use when stacks have shrunk and pools are empty.
func settled() (m runtime.MemStats) {
	for range 6 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return m
}

// serveBare answers one byte on each connection and waits for the next.
func serveBare(l net.Listener) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				if c.(*tls.Conn).Handshake() == nil {
					go func() {
						defer c.Close()
						var b [1]byte // io.Copy would have a buffer of its own
						for {
							if _, err := c.Read(b[:]); err != nil {
								return
							}
							_, _ = c.Write(b[:])
						}
					}()
				}
			}()
		}
	}()
	return func() { _ = l.Close(); <-done }
}

// TestMain runs the tests, or, in the other process, the clients.
func TestMain(m *testing.M) {
	spec := os.Getenv("WIRE_TEST_CLIENTS")
	if spec == "" {
		os.Exit(m.Run())
	}
	if err := idleClients(spec); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// idleClients opens connections and holds them until its input ends.
func idleClients(spec string) error {
	var mode, address string
	var n int
	if _, err := fmt.Sscan(spec, &mode, &n, &address); err != nil {
		return err
	}
	for i := range n {
		raw, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer raw.Close()
		// The certificate is proved elsewhere; here it only costs time.
		config := &tls.Config{InsecureSkipVerify: true, ServerName: "ssmmessages.us-east-1.amazonaws.com"}
		if mode == "bare" {
			err = bareClient(tls.Client(raw, config))
		} else {
			err = streamClient(raw, config, i)
		}
		if err != nil {
			return err
		}
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// bareClient says a byte and hears it.
func bareClient(c *tls.Conn) error {
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

// streamClient opens a channel as an agent does, says a message and hears it.
func streamClient(raw net.Conn, config *tls.Config, i int) error {
	r := newRequest("GET", "https://ssmmessages.us-east-1.amazonaws.com/v1/control-channel/mi-0123456789abcd"+strconv.Itoa(1000+i), "")
	r = signedAs(r, sigv4.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, testRegion, "ssmmessages", time.Now())
	d := websocket.Dialer{TLSClientConfig: config, NetDialContext: func(context.Context, string, string) (net.Conn, error) { return raw, nil }}
	conn, _, err := d.DialContext(context.Background(), "wss"+r.URL.String()[len("https"):], r.Header) //nolint:bodyclose // there is none, or the dialer has read it
	if err != nil {
		return err
	}
	frame, err := datachannel.AppendFrame(nil, message("hello"))
	if err != nil {
		return err
	}
	if err := conn.WriteMessage(websocket.TextMessage, []byte(opening)); err != nil {
		return err
	}
	if err := conn.WriteMessage(websocket.BinaryMessage, frame); err != nil {
		return err
	}
	_, _, err = conn.ReadMessage()
	return err
}
