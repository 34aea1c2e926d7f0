//go:build unix

package test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/datachannel"
	"github.com/vennel/vennel/wire"
)

// fate is what becomes of a message on its way.
type fate string

// The fates.
const (
	passed  fate = "passed"
	dropped fate = "dropped"
	delayed fate = "delayed"
	doubled fate = "doubled"
)

// deck is among how many messages of a class there is one of each fate that is a fault, and mostDelay how late a delayed one comes at most.
const (
	deck      = 12
	mostDelay = 300 * time.Millisecond
)

// class is a kind of messages: those of a type that go one way.
type class struct {
	message string
	down    bool // from the server
}

// String says which.
func (c class) String() string {
	if c.down {
		return c.message + " of the server"
	}
	return c.message + " of the peer"
}

// dealt is a fate of a class.
type dealt struct {
	class
	fate
}

// meddler is in the middle of a path. It ends TLS, passes requests on as they came, and so websockets; but of data channels it drops, delays
// and doubles single frames and acknowledgements, while the connection stays intact.
type meddler struct {
	agent    bool   // the peer is one
	official bool   // the peer is official
	to       string // the server
	off      atomic.Bool
	trust    *tls.Config
	upgrader websocket.Upgrader

	mu     sync.Mutex
	random *rand.Rand       // guarded by mu
	decks  map[class][]fate // what is to be dealt next; guarded by mu
	counts map[dealt]int    // guarded by mu

	all sync.WaitGroup // the websockets
}

// meddle puts a meddler on a path, for the connections that are made until the test ends.
func (o *operator) meddle(on *path) *meddler {
	t := o.t
	t.Helper()
	ca, err := wire.OpenCA(filepath.Dir(o.CA))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := strconv.ParseUint(os.Getenv("VENNEL_FRAMES_SEED"), 10, 64)
	if err != nil {
		seed = rand.Uint64()
	}
	t.Logf("VENNEL_FRAMES_SEED=%d", seed)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.PEM())
	x := &meddler{
		agent: on == o.far, official: on == o.near && o.kind == officialKind || on == o.far && o.agent == officialKind, to: on.to, trust: &tls.Config{RootCAs: pool},
		upgrader: websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, ReadBufferSize: pathChunk, WriteBufferSize: pathChunk},
		random:   rand.New(rand.NewPCG(seed, 0)), decks: map[class][]fate{}, counts: map[dealt]int{},
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	transport := &http.Transport{TLSClientConfig: x.trust.Clone(), DisableCompression: true}
	onward := &httputil.ReverseProxy{Transport: transport, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "https", x.to, r.In.Host
	}}
	server := &http.Server{
		TLSConfig: ca.Config(func(string) bool { return true }), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0),
		BaseContext: func(net.Listener) context.Context { return ctx },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if websocket.IsWebSocketUpgrade(r) {
				x.carry(w, r)
				return
			}
			onward.ServeHTTP(w, r)
		}),
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.ServeTLS(l, "", "") }()
	address := l.Addr().String()
	on.over.Store(&address)
	t.Cleanup(func() {
		on.over.Store(nil)
		late, done := context.WithTimeout(context.Background(), time.Second) // for requests that are on their way
		defer done()
		_ = server.Shutdown(late)
		cancel()
		_ = server.Close()
		<-served
		x.all.Wait()
		transport.CloseIdleConnections()
	})
	return x
}

// carry carries a websocket until it ends.
func (x *meddler) carry(w http.ResponseWriter, r *http.Request) {
	x.all.Add(1)
	defer x.all.Done()
	header := r.Header.Clone()
	for _, name := range []string{"Connection", "Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version", "Sec-Websocket-Extensions"} {
		header.Del(name) // the dialer's own
	}
	header.Set("Host", r.Host)
	dialer := &websocket.Dialer{TLSClientConfig: x.trust.Clone(), ReadBufferSize: pathChunk, WriteBufferSize: 2 * pathChunk}
	far, answer, err := dialer.DialContext(r.Context(), "wss://"+x.to+r.URL.RequestURI(), header) //nolint:bodyclose // the dialer has read it
	if err != nil {
		if answer == nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		maps.Copy(w.Header(), answer.Header)
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body) // the peer may be gone
		return
	}
	near, err := x.upgrader.Upgrade(w, r, nil)
	if err != nil {
		_ = far.Close()
		return
	}
	ends := func() { _, _ = near.Close(), far.Close() }
	stop := context.AfterFunc(r.Context(), ends)
	defer stop()
	faulty := strings.HasPrefix(r.URL.Path, "/v1/data-channel/")
	var both sync.WaitGroup
	both.Go(func() { x.pump(far, near, false, faulty) })
	both.Go(func() { x.pump(near, far, true, faulty) })
	both.Wait()
	ends()
}

// pump carries one direction of a websocket to its end, and then what is late. The end is passed on as it came.
func (x *meddler) pump(to, from *websocket.Conn, down, faulty bool) {
	var (
		late   sync.WaitGroup
		one    sync.Mutex // one message at a time
		failed error      // guarded by one
		bye    []byte     // how the websocket ends, if it says so
	)
	write := func(kind int, b []byte) {
		one.Lock()
		defer one.Unlock()
		if failed == nil { // if nobody takes it any more, the rest is still read, so that its sender ends in good order
			failed = to.WriteMessage(kind, b)
		}
	}
	from.SetPingHandler(func(text string) error {
		_ = to.WriteControl(websocket.PingMessage, []byte(text), time.Time{}) // as above
		return nil
	})
	from.SetPongHandler(func(text string) error {
		_ = to.WriteControl(websocket.PongMessage, []byte(text), time.Time{}) // as above
		return nil
	})
	from.SetCloseHandler(func(code int, text string) error {
		bye = websocket.FormatCloseMessage(code, text)
		return nil
	})
	seen := map[int64]bool{}
	for {
		kind, b, err := from.ReadMessage()
		if err != nil {
			break
		}
		what, delay := passed, time.Duration(0)
		if faulty && !x.off.Load() && kind == websocket.BinaryMessage {
			what, delay = x.decide(b, down, seen)
		}
		switch what {
		case dropped:
		case delayed:
			late.Go(func() {
				time.Sleep(delay) // which is what it is for
				write(kind, b)
			})
		case doubled:
			write(kind, b)
			write(kind, b)
		case passed:
			write(kind, b)
		}
	}
	late.Wait()
	if bye != nil {
		_ = to.WriteControl(websocket.CloseMessage, bye, time.Time{}) // as above
		return
	}
	if c, ok := to.NetConn().(*tls.Conn); ok {
		_ = c.CloseWrite() // as above
	}
}

// decide says what becomes of a message. What the server or the agent says once and nobody acknowledges passes.
func (x *meddler) decide(b []byte, down bool, seen map[int64]bool) (fate, time.Duration) {
	m, err := datachannel.ParseFrame(b)
	if err != nil {
		return passed, 0
	}
	switch m.Type {
	case "acknowledge":
	case "input_stream_data", "output_stream_data":
		again := seen[m.Sequence]
		seen[m.Sequence] = true
		if x.spares(m, down, again) {
			return passed, 0
		}
	default:
		return passed, 0
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	c := class{m.Type, down}
	if len(x.decks[c]) == 0 {
		cards := slices.Repeat([]fate{passed}, deck)
		cards[0], cards[1], cards[2] = dropped, delayed, doubled
		x.random.Shuffle(deck, func(i, j int) { cards[i], cards[j] = cards[j], cards[i] })
		x.decks[c] = cards
	}
	card := x.decks[c][0]
	x.decks[c] = x.decks[c][1:]
	x.counts[dealt{c, card}]++
	return card, time.Duration(x.random.Int64N(int64(mostDelay)))
}

// spares says whether a frame passes because an official client cannot do without it. source: agent
//
// It does not answer a frame that it has had, so one that is sent again, and that it has not answered before a ping that was sent behind, counts as one that it has had: a
// connection loses nothing that it has not lost the ping with. What it is given before the first frame, or before the end of the handshake, it acknowledges and forgets.
func (x *meddler) spares(m *datachannel.Message, down, again bool) bool {
	return !x.agent && x.official && down && (again || m.Sequence == 0 || m.PayloadType == datachannel.PayloadHandshakeComplete)
}

// check wants every fault to have happened to messages of every class.
func (x *meddler) check(t *testing.T) {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	var said []string
	up, down := "input_stream_data", "output_stream_data"
	if x.agent {
		up, down = down, up
	}
	for _, c := range []class{{up, false}, {"acknowledge", false}, {down, true}, {"acknowledge", true}} {
		for _, f := range []fate{passed, dropped, delayed, doubled} {
			n := x.counts[dealt{c, f}]
			said = append(said, fmt.Sprintf("%v %s: %d", c, f, n))
			if n == 0 {
				t.Errorf("no %v was %s", c, f)
			}
		}
	}
	t.Log(strings.Join(said, ", "))
}

// few is how many bytes are carried while single frames are lost: an official peer sends one again at a time, after a fraction of a second.
func (o *operator) few(up bool) int64 { return o.size(up) / 32 }

// count is what seq writes.
func count(n int) string {
	var b strings.Builder
	for i := range n {
		_, _ = fmt.Fprintln(&b, i+1)
	}
	return b.String()
}

// testFrames has a meddler on a path while a shell, a command and a port are used: all arrives once and in order.
func testFrames(t *testing.T, o *operator, on *path) {
	x := o.meddle(on)
	for _, part := range []struct {
		name string
		try  func(*testing.T, *operator, *meddler)
	}{{"shell", framesShell}, {"command", framesCommand}, {"port", framesPort}} {
		begin := time.Now()
		part.try(t, o, x)
		t.Logf("%s: %.1f s", part.name, time.Since(begin).Seconds())
	}
	x.check(t)
}

// framesShell pastes into a shell, reads what it writes, and leaves.
func framesShell(t *testing.T, o *operator, _ *meddler) {
	x := onTerminal(t, o.shell())
	x.expect(prompt)
	const lines, numbers = 200, 4000
	x.say("stty -echo; echo qui''et; head -n 200 | md5sum; echo be''gin; seq 4000; echo do''ne\n")
	x.expect(`quiet`)
	text := strings.Repeat(strings.Repeat("0123456789", 6)+"\n", lines)
	go func() { _, _ = io.WriteString(x.pty, text) }() // what arrives is what is looked at
	x.expect(fmt.Sprintf("%x", md5Of(text)))
	got := strings.ReplaceAll(x.expect(`(?s)begin\r+\n(.*)done`), "\r", "") // the official client has its terminal add some
	if got != count(numbers) {
		t.Errorf("the shell wrote %d bytes:\n%s", len(got), lastOf([]byte(got)))
	}
	x.expect(prompt)
	o.leaves(t, x)
}

// framesCommand runs a command without a terminal.
func framesCommand(t *testing.T, o *operator, _ *meddler) {
	const numbers = 3000
	out, complaint, status := o.runs(t, "seq 3000; echo err >&2; exit 3")
	want := count(numbers)
	switch {
	case o.kind == officialKind: // it says everything in one place, and standard error may come in the midst
		rest := bytes.Replace(out, []byte("err\n"), nil, 1)
		if !bytes.Contains(rest, []byte(want)) || len(rest) == len(out) || !bytes.Contains(rest, []byte("EXIT_CODE: 3")) {
			t.Errorf("%d bytes\n%s\n%s", len(out), lastOf(out), complaint)
		}
	case string(out) != want || !bytes.Contains(complaint, []byte("err\n")) || status != 3:
		t.Errorf("%d bytes, want %d, status %d\n%s", len(out), len(want), status, complaint)
	}
	o.quiet()
}

// framesPort carries bytes both ways.
func framesPort(t *testing.T, o *operator, x *meddler) {
	f := o.forward("", o.quay.port)
	done := make(chan error, 1)
	go func() { done <- errors.Join(download(f.local, o.few(false), 10), upload(f.local, o.few(true), 11)) }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("%v\n%s", err, f.said())
		}
	case <-time.After(2 * sessionPatience):
		t.Fatalf("the transfer hangs\n%s", f.said())
	}
	if o.kind == officialKind { // it ends at once, whether or not what it has sent has arrived, and has no lock on its sequence numbers. source: agent
		x.off.Store(true)
		c, err := net.Dial("tcp", f.local)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }() // the session has ended
		if err := c.SetDeadline(time.Now().Add(sessionPatience)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "echo\nx")
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil { // so all that was sent before is there, and nothing is being sent
			t.Error(err)
		}
	}
	f.end()
	o.quiet()
}
