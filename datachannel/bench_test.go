package datachannel

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// gateway is a service on loopback, over TLS, that passes frames on as they come.
type gateway struct {
	*httptest.Server
	pool sync.Pool

	mu   sync.Mutex // guards ends
	ends [2]*gatewayEnd
	both *sync.Cond
}

// gatewayEnd is the connection of one end.
type gatewayEnd struct {
	mu   sync.Mutex // guards writing
	conn *websocket.Conn
}

// newGateway starts one.
func newGateway(t testing.TB) *gateway {
	g := &gateway{}
	g.both = sync.NewCond(&g.mu)
	g.Server = httptest.NewTLSServer(http.HandlerFunc(g.serve))
	t.Cleanup(g.Close)
	return g
}

// serve passes the frames of one end on.
func (g *gateway) serve(w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{ReadBufferSize: 512, WriteBufferSize: 4096, WriteBufferPool: &g.pool}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	role := Client
	if strings.HasSuffix(r.URL.Path, "agent") {
		role = Agent
	}
	if _, _, err := conn.ReadMessage(); err != nil {
		return
	}
	g.mu.Lock()
	g.ends[role] = &gatewayEnd{conn: conn}
	g.both.Broadcast()
	for g.ends[1-role] == nil {
		g.both.Wait()
	}
	other := g.ends[1-role]
	g.mu.Unlock()
	for {
		_, body, err := conn.NextReader()
		if err != nil {
			return
		}
		m, err := ReadFrame(body)
		if err != nil {
			return
		}
		if m.Type == typeState {
			continue
		}
		other.mu.Lock()
		err = other.conn.WriteMessage(websocket.BinaryMessage, m.Frame)
		other.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// options trust the gateway.
func (g *gateway) options() DialOptions {
	return DialOptions{TLS: &tls.Config{RootCAs: g.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, MinVersion: tls.VersionTLS13}}
}

// forward opens a port session over the gateway and gives the address of its local end; connections go to a target.
func (g *gateway) forward(t testing.TB, target string) string {
	url := "wss" + strings.TrimPrefix(g.URL, "https")
	a := NewAgent(func(ctx context.Context) (Conn, error) {
		return DialWebsocket(ctx, url+"/agent", nil, Opening{ClientInstanceID: "mi-1"}, g.options())
	}, AgentOptions{SessionID: "session", Kind: Port, Properties: properties(forwarding)})
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = a.Run(ctx) })
	shaken := make(chan error, 1)
	go func() {
		_, _, err := a.Handshake(ctx)
		shaken <- err
	}()
	s, err := Open(t.Context(), Start{SessionID: "session", StreamURL: url + "/client"}, ClientOptions{Dial: g.options()})
	if err := errors.Join(err, <-shaken); err != nil {
		t.Fatal(err)
	}
	all.Go(func() {
		for {
			conn, refuse, err := a.Accept(ctx)
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", target)
			if err != nil {
				refuse(err)
				continue
			}
			go join(conn, to.(*net.TCPConn))
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	all.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			conn, err := s.OpenPort(ctx)
			if err != nil {
				_ = from.Close()
				return
			}
			go join(conn, from.(*net.TCPConn))
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		_ = s.Close()
		cancel()
		all.Wait()
	})
	return l.Addr().String()
}

// join carries a connection.
func join(a PortConn, b *net.TCPConn) {
	var both sync.WaitGroup
	carry := func(to, from PortConn) {
		_, _ = io.Copy(to, from)
		_ = to.CloseWrite()
	}
	both.Go(func() { carry(a, b) })
	both.Go(func() { carry(b, a) })
	both.Wait()
	_ = a.Close()
	_ = b.Close()
}

// target is a server that does what the first byte says: d for a download without end, u for an upload that it answers with a
// byte at the end, e for an echo.
func target(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				what := make([]byte, 1)
				if _, err := io.ReadFull(conn, what); err != nil {
					return
				}
				switch what[0] {
				case 'd':
					b := noise(1, 1<<20)
					for err == nil {
						_, err = conn.Write(b)
					}
				case 'u':
					_, _ = io.Copy(io.Discard, conn)
					_, _ = conn.Write(what)
				case 'e':
					_, _ = io.Copy(conn, conn)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// ask connects and says what it wants.
func ask(t testing.TB, address, what string) *net.TCPConn {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(what)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// benchmark is how much one round of a benchmark carries.
const benchmarkBytes = 64 << 20

// BenchmarkDownload reads from a port.
func BenchmarkDownload(b *testing.B) {
	conn := ask(b, newGateway(b).forward(b, target(b)), "d")
	buffer := make([]byte, 256<<10)
	b.SetBytes(benchmarkBytes)
	b.ReportAllocs()
	for b.Loop() {
		for n := 0; n < benchmarkBytes; {
			k, err := conn.Read(buffer)
			if err != nil {
				b.Fatal(err)
			}
			n += k
		}
	}
}

// BenchmarkUpload writes to a port, until the other side has all of it.
func BenchmarkUpload(b *testing.B) {
	address := newGateway(b).forward(b, target(b))
	data := noise(1, 1<<20)
	b.SetBytes(benchmarkBytes)
	b.ReportAllocs()
	for b.Loop() {
		conn := ask(b, address, "u")
		for n := 0; n < benchmarkBytes; n += len(data) {
			if _, err := conn.Write(data); err != nil {
				b.Fatal(err)
			}
		}
		if err := conn.CloseWrite(); err != nil {
			b.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || len(got) != 1 {
			b.Fatal(err, len(got))
		}
	}
}

// BenchmarkEcho sends a byte and reads it back, alone and while downloads run.
func BenchmarkEcho(b *testing.B) {
	for name, downloads := range map[string]int{"idle": 0, "bulk": 1} {
		b.Run(name, func(b *testing.B) {
			address := newGateway(b).forward(b, target(b))
			for range downloads {
				conn := ask(b, address, "d")
				go func() { _, _ = io.Copy(struct{ io.Writer }{io.Discard}, conn) }()
			}
			conn := ask(b, address, "e")
			time.Sleep(200 * time.Millisecond)
			var took []time.Duration
			for b.Loop() {
				begun := time.Now()
				if _, err := conn.Write([]byte("x")); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
