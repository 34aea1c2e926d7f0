package relay_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/datachannel"
	"github.com/vennel/vennel/service/ssm/session/relay"
)

// websocketStream is an api.Stream for the official plugin.
type websocketStream struct {
	socket
	conn    *websocket.Conn
	mu      sync.Mutex
	pings   int
	answers map[string]func() // guarded by mu
}

// Receive is the relay's.
func (s *websocketStream) Receive() (*api.Message, error) {
	kind, r, err := s.conn.NextReader()
	if err != nil || kind != websocket.BinaryMessage {
		return nil, errors.Join(io.EOF, err)
	}
	return datachannel.ReadFrame(r)
}

// Post is the relay's.
func (s *websocketStream) Post(m *api.Message) error {
	b, err := m.Bytes()
	if err != nil {
		return err
	}
	return s.conn.WriteMessage(websocket.BinaryMessage, b)
}

// Ping is the relay's.
func (s *websocketStream) Ping(answered func()) error {
	s.mu.Lock()
	s.pings++
	text := strconv.Itoa(s.pings)
	s.answers[text] = answered
	s.mu.Unlock()
	return s.conn.WriteControl(websocket.PingMessage, []byte(text), time.Time{})
}

// ponged calls what waits for a pong.
func (s *websocketStream) ponged(text string) error {
	s.mu.Lock()
	answered := s.answers[text]
	delete(s.answers, text)
	s.mu.Unlock()
	if answered != nil {
		answered()
	}
	return nil
}

// Close is the relay's.
func (s *websocketStream) Close(string) error { return s.conn.Close() }

// TestOfficialPlugin gives the output of a shell to the official plugin, which is cut off again and again, and whose
// server begins again: it shows every line, in order, and the agent is told so. It needs the plugin's path in
// VENNEL_SESSION_PLUGIN.
func TestOfficialPlugin(t *testing.T) {
	plugin := os.Getenv("VENNEL_SESSION_PLUGIN")
	if plugin == "" {
		t.Skip("VENNEL_SESSION_PLUGIN is not set")
	}
	const lines = 3000
	w := newWorld(t, relay.Options{Begins: true})
	agent := w.peers[relay.Agent]
	var mu sync.Mutex
	var current *websocket.Conn // guarded by mu
	opened := 0                 // guarded by mu
	upgrader := websocket.Upgrader{}
	var url string
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, rq *http.Request) {
		if !websocket.IsWebSocketUpgrade(rq) { // ResumeSession
			rw.Header().Set("Content-Type", "application/x-amz-json-1.1")
			_, _ = fmt.Fprintf(rw, `{"SessionId":"alice-0123456789abcdef0","TokenValue":"t","StreamUrl":%q}`, url)
			return
		}
		conn, err := upgrader.Upgrade(rw, rq, nil)
		if err != nil {
			return
		}
		if _, _, err := conn.ReadMessage(); err != nil { // the opening message
			return
		}
		s := &websocketStream{conn: conn, answers: map[string]func(){}}
		conn.SetPongHandler(s.ponged)
		mu.Lock()
		current = conn
		opened++
		r := w.now()
		mu.Unlock()
		_ = r.Serve(s, relay.Client)
	}))
	defer server.Close()
	url = "ws" + strings.TrimPrefix(server.URL, "http") + "/v1/data-channel/alice-0123456789abcdef0?role=publish_subscribe"
	agent.start()
	cmd := exec.CommandContext(t.Context(), plugin, fmt.Sprintf(`{"SessionId":"alice-0123456789abcdef0","TokenValue":"t","StreamUrl":%q}`, url),
		"us-east-1", "StartSession", "", `{"Target":"mi-0123456789abcdef0"}`, server.URL)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=secret", "HOME="+t.TempDir())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }() // the plugin has ended
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	agent.send(1, "$ ")
	agent.until("the size of the terminal", func() bool { return len(agent.got) > 0 })
	for i := range lines {
		text := fmt.Sprintf("line %d of the output\n", i)
		agent.race = i%50 == 0 // as often as on a short way. source: agent
		agent.send(1, text)
		time.Sleep(time.Millisecond)
		switch {
		case i%500 == 499:
			mu.Lock()
			_ = current.Close()
			mu.Unlock()
		case i == 900 || i == 2400:
			mu.Lock()
			w.restart(relay.Options{})
			_ = current.Close()
			mu.Unlock()
		}
	}
	agent.settles()
	w.now().Finish("over", time.Minute)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	_, shown, _ := strings.Cut(out.String(), "$ ")
	next, twice, last := 0, 0, ""
	for line := range strings.Lines(shown) {
		switch {
		case next < lines && line == fmt.Sprintf("line %d of the output\n", next):
			next++
		case next < lines && line == last: // it forgets that it has shown what it could not acknowledge. source: agent
			twice++
		case next < lines:
			t.Fatalf("after line %d comes %q", next-1, line)
		}
		last = line
	}
	if next != lines {
		t.Errorf("it showed %d lines", next)
	}
	mu.Lock()
	defer mu.Unlock()
	t.Logf("it connected %d times and showed %d lines twice", opened, twice)
}
