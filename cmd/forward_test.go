package cmd

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/vennel/vennel/datachannel"
)

// TestParseForwarding reads what may be forwarded.
func TestParseForwarding(t *testing.T) {
	for text, want := range map[string]forwarding{
		"80":                  {"", 80, ""},
		"80:8080":             {"", 80, "8080"},
		"80:-":                {"", 80, "-"},
		"80:0":                {"", 80, "0"},
		"db.internal:5432":    {"db.internal", 5432, ""},
		"db.internal:5432:15": {"db.internal", 5432, "15"},
		"10.0.0.7:22":         {"10.0.0.7", 22, ""},
		"[fd00::7]:22":        {"fd00::7", 22, ""},
		"[fd00::7]:22:2222":   {"fd00::7", 22, "2222"},
		"1:2:3":               {"1", 2, "3"},
	} {
		if have, err := parseForwarding(text); err != nil || have != want {
			t.Errorf("%q: %+v %v", text, have, err)
		}
	}
	for _, text := range []string{"", ":", "0", "65536", "http", "db:", ":80", "80:65536", "80:x", "a:b:c", "db:1:2:3", "[]:80", "[fd00::7]", "[fd00::7]80", "1:2:3:4", "-1", "80:-1"} {
		if have, err := parseForwarding(text); err == nil {
			t.Errorf("%q is %+v", text, have)
		}
	}
}

// TestForwardings refuses what cannot be together.
func TestForwardings(t *testing.T) {
	for _, c := range []struct {
		local string
		ports []string
		want  string
	}{
		{"8080", []string{"80"}, ""},
		{"-", []string{"22"}, ""},
		{"", []string{"80", "db:5432:15432"}, ""},
		{"8080", []string{"80:81"}, "names no local one itself"},
		{"8080", []string{"80", "81"}, "names no local one itself"},
		{"", []string{"80", "22:-"}, "carry one connection"},
		{"x", []string{"80"}, "a port or -"},
	} {
		_, err := (&Forward{Local: c.local, Ports: c.ports}).forwardings()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %q: %v", c.local, c.ports, err)
		}
	}
}

// TestForwardDocument takes the documents of AWS. source: aws-facts B.14
func TestForwardDocument(t *testing.T) {
	for text, want := range map[string][]string{
		"80":      {"AWS-StartPortForwardingSession", "", "80"},
		"22:-":    {"AWS-StartSSHSession", "", "22"},
		"db:80:-": {"AWS-StartPortForwardingSessionToRemoteHost", "db", "80"},
		"db:80":   {"AWS-StartPortForwardingSessionToRemoteHost", "db", "80"},
	} {
		f, err := parseForwarding(text)
		if err != nil {
			t.Fatal(err)
		}
		name, values := f.document()
		if have := []string{name, strings.Join(values["host"], ","), strings.Join(values["portNumber"], ",")}; !cmp.Equal(have, want) {
			t.Errorf("%s: %q", text, have)
		}
	}
}

// TestListening says one line, for people or for programs.
func TestListening(t *testing.T) {
	at, f := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}, &forwarding{host: "db", port: 5432}
	text := (&Forward{Node: "mi-1", Output: "text"}).listening(at, f, "admin-1")
	if text != "Forwarding 127.0.0.1:8080 to db port 5432 through mi-1" {
		t.Error(text)
	}
	text = (&Forward{Node: "mi-1", Output: "json"}).listening(at, f, "admin-1")
	if text != `{"listening":"127.0.0.1:8080","node":"mi-1","host":"db","port":5432,"session":"admin-1"}` {
		t.Error(text)
	}
}

// oneWay is a connection to an agent of AWS's.
type oneWay struct{ net.Conn }

// CloseWrite cannot be told.
func (oneWay) CloseWrite() error { return errors.ErrUnsupported }

// TestJoinInSilence has an agent that cannot be told that the input has ended: what still comes is taken, and the end of it is a silence.
func TestJoinInSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote, node := net.Pipe()
		go func() {
			for range 3 {
				time.Sleep(quietEnd * 9 / 10)
				_, _ = node.Write([]byte("late ")) // the other side says what it has read
			}
		}()
		var got strings.Builder
		start := time.Now()
		_, err := (&holding{Session: new(datachannel.Session)}).join(oneWay{remote}, strings.NewReader(""), &got)
		if err != nil || got.String() != "late late late " {
			t.Errorf("%q %v", got.String(), err)
		}
		if took, want := time.Since(start), quietEnd*37/10; took != want {
			t.Errorf("it took %v, not %v", took, want)
		}
		if _, err := node.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the node's end is open: %v", err)
		}
	})
}

// portSession is a session of type Port with an agent of ours, and what ends it as the service does.
func portSession(t *testing.T) (s *holding, node *datachannel.AgentSession, end func(output string)) {
	var mu sync.Mutex
	both, ends := sync.NewCond(&mu), map[string]*websocket.Conn{}
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		if _, _, err := conn.ReadMessage(); err != nil { // the opening
			return
		}
		mu.Lock()
		ends[r.URL.Path] = conn
		both.Broadcast()
		for len(ends) < 2 {
			both.Wait()
		}
		mu.Unlock()
		other := ends[map[string]string{"/client": "/agent", "/agent": "/client"}[r.URL.Path]]
		for {
			_, b, err := conn.ReadMessage()
			if err != nil {
				return
			}
			m, err := datachannel.ParseFrame(b)
			if err != nil || m.Type == "agent_session_state" {
				continue
			}
			mu.Lock()
			_ = other.WriteMessage(websocket.BinaryMessage, b)
			mu.Unlock()
		}
	}))
	t.Cleanup(gateway.Close)
	url := "ws" + strings.TrimPrefix(gateway.URL, "http")
	a := datachannel.NewAgent(func(ctx context.Context) (datachannel.Conn, error) {
		return datachannel.DialWebsocket(ctx, url+"/agent", nil, datachannel.Opening{}, datachannel.DialOptions{})
	}, datachannel.AgentOptions{SessionID: "session", Kind: datachannel.Port, Properties: map[string]string{"type": "LocalPortForwarding"}})
	ctx, cancel := context.WithCancel(context.Background())
	var ran sync.WaitGroup
	ran.Go(func() { _ = a.Run(ctx) })
	ran.Go(func() { _, _, _ = a.Handshake(ctx) })
	opened, err := datachannel.Open(t.Context(), datachannel.Start{SessionID: "session", StreamURL: url + "/client"}, datachannel.ClientOptions{})
	t.Cleanup(func() { cancel(); ran.Wait() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return &holding{Session: opened}, a, func(output string) {
		m := &datachannel.Message{Type: "channel_closed", Schema: 1, Created: time.Now(), ID: uuid.New(), Payload: []byte(`{"Output":"` + output + `"}`)}
		b, err := m.Bytes()
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		_ = ends["/client"].WriteMessage(websocket.BinaryMessage, b)
	}
}

// half has the node send something on the next connection, and then end it if it is all.
func half(t *testing.T, node *datachannel.AgentSession, all bool) {
	conn, _, err := node.Accept(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	_, err = conn.Write([]byte("half"))
	if all {
		err = errors.Join(err, conn.CloseWrite())
	}
	if err != nil {
		t.Error(err)
	}
}

// TestForwardEnded tells a connection that has ended from one whose session has, with and without a port here.
func TestForwardEnded(t *testing.T) {
	for name, all := range map[string]bool{"all": true, "half": false} {
		t.Run(name, func(t *testing.T) {
			s, node, end := portSession(t)
			go half(t, node, all)
			in, typed := io.Pipe()
			defer typed.Close()
			out, heard := io.Pipe()
			carried := make(chan error, 1)
			go func() { carried <- s.carry(t.Context(), "a port", Streams{In: in, Out: heard}) }()
			if _, err := io.ReadFull(out, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			if !all {
				end("idle")
			}
			err := failed(<-carried)
			if code, _ := errors.AsType[*ExitError](err); all && err != nil || !all && (code == nil || code.Code != exitSession || !strings.Contains(err.Error(), "session has ended: idle")) {
				t.Errorf("it ended with %v", err)
			}
		})
		t.Run(name+" to a port", func(t *testing.T) {
			s, node, end := portSession(t)
			go half(t, node, all)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			user, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer user.Close()
			local, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				s.connect(t.Context(), local.(*net.TCPConn), func(err error) { t.Error(err) })
			}()
			if _, err := io.ReadFull(user, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			if !all {
				end("idle")
			}
			_ = user.SetReadDeadline(time.Now().Add(10 * time.Second)) // which has no errors
			_, err = user.Read(make([]byte, 1))
			if want := map[bool]error{true: io.EOF, false: syscall.ECONNRESET}[all]; !errors.Is(err, want) {
				t.Errorf("%v, not %v", err, want)
			}
			user.Close()
			<-done
		})
	}
}
