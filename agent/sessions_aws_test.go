//go:build unix

package agent_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/xtaci/smux"

	"github.com/vennel/vennel/agent/agenttest"
	"github.com/vennel/vennel/datachannel"
)

// plugin is a client that speaks as AWS's does. source: the protocol sheet of the official client, measured
type plugin struct {
	t       *testing.T
	c       *datachannel.Channel
	actions []string // that the agent asked for
}

// openPlugin opens a session and does the handshake.
func openPlugin(t *testing.T, s *agenttest.Session) *plugin {
	t.Helper()
	start := s.Start()
	c := datachannel.NewChannel(datachannel.Client, func(ctx context.Context) (datachannel.Conn, error) {
		return datachannel.DialWebsocket(ctx, start.StreamURL, nil, datachannel.Opening{
			MessageSchemaVersion: "1.0", RequestID: uuid.NewString(), TokenValue: start.Token, ClientID: uuid.NewString(), ClientVersion: "1.2.707.0",
		}, s.DialOptions())
	}, datachannel.Options{SessionID: s.ID})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = c.Run(context.Background())
	}()
	t.Cleanup(func() {
		_ = c.Close()
		<-ended
	})
	p := &plugin{t: t, c: c}
	var request struct{ RequestedClientActions []struct{ ActionType string } }
	if err := json.Unmarshal(p.receive(datachannel.PayloadHandshakeRequest), &request); err != nil {
		t.Fatal(err)
	}
	var done []map[string]any
	for _, a := range request.RequestedClientActions {
		p.actions = append(p.actions, a.ActionType)
		if a.ActionType == "SessionType" {
			done = append(done, map[string]any{"ActionType": a.ActionType, "ActionStatus": 1, "ActionResult": nil, "Error": ""})
		} else {
			done = append(done, map[string]any{"ActionType": a.ActionType, "ActionStatus": 0, "ActionResult": 3, "Error": "Unsupported action " + a.ActionType})
		}
	}
	p.send(datachannel.PayloadHandshakeResponse, toJSON(t, map[string]any{"ClientVersion": "1.2.707.0", "ProcessedClientActions": done, "Errors": nil}))
	p.receive(datachannel.PayloadHandshakeComplete)
	return p
}

// next is the next payload; none when the session has ended.
func (p *plugin) next() (kind uint32, payload []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return p.c.Receive(ctx)
}

// receive wants a payload of a kind.
func (p *plugin) receive(want uint32) []byte {
	p.t.Helper()
	kind, payload, err := p.next()
	if err != nil || kind != want {
		p.t.Fatalf("kind %d, %q, %v; want %d", kind, payload, err, want)
	}
	return payload
}

// send sends.
func (p *plugin) send(kind uint32, payload string) {
	p.t.Helper()
	if err := p.c.SendUrgent(kind, []byte(payload)); err != nil {
		p.t.Fatal(err)
	}
}

// until receives frames of output until a text has come, and gives them.
func (p *plugin) until(text string) (all string, frames [][]byte) {
	p.t.Helper()
	for !strings.Contains(all, text) {
		kind, payload, err := p.next()
		if err != nil || kind != datachannel.PayloadOutput {
			p.t.Fatalf("kind %d, %q, %v after %q", kind, payload, err, all)
		}
		all += string(payload)
		frames = append(frames, bytes.Clone(payload))
	}
	return all, frames
}

// rest receives until the session ends, and gives what came by its kind.
func (p *plugin) rest(s *agenttest.Session) map[uint32]string {
	p.t.Helper()
	all := map[uint32]string{}
	go func() {
		s.Ended(p.t)
		s.EndOnData("") // as a server does then
	}()
	for {
		kind, payload, err := p.next()
		if err != nil {
			return all
		}
		all[kind] += string(payload)
	}
}

// TestAWSClientShell has a shell with a client of AWS's: it is asked for what it does not know, gets whole characters, and no exit code.
func TestAWSClientShell(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	s := w.node.Hold(t, shellDocument, nil)
	p := openPlugin(t, s)
	if got := fmt.Sprint(p.actions); got != "[SessionType VennelExtensions]" {
		t.Errorf("%s", got)
	}
	p.send(datachannel.PayloadSize, `{"cols":90,"rows":40}`)
	p.send(datachannel.PayloadOutput, "PS1=; stty -echo; stty size; i=0; while [ $i -lt 2000 ]; do printf 'aé世🌍'; i=$((i+1)); done; echo; echo ready\n")
	all, frames := p.until("\nready\r\n")
	_, all, sized := strings.Cut(all, "40 90")
	if !sized || strings.Count(all, "aé世🌍") != 2000 {
		t.Errorf("%q", all[:min(len(all), 200)])
	}
	for _, f := range frames {
		if !utf8.Valid(f) {
			t.Errorf("a frame ends within a character: %q", f[max(0, len(f)-10):])
		}
	}
	p.send(datachannel.PayloadOutput, "printf '\\351\\350'; exit 9\n")
	if got := p.rest(s); len(got) != 1 || got[datachannel.PayloadOutput] != "\xe9\xe8" {
		t.Errorf("%v", got)
	}
}

// TestAWSClientCommand runs commands with a client of AWS's. source: agent
func TestAWSClientCommand(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	for name, tt := range map[string]struct {
		separate string
		want     map[uint32]string
	}{
		"together": {"false", map[uint32]string{1: "one\nerr\ntwo\n"}},
		"separate": {"true", map[uint32]string{1: "O:one\nO:two\n", 11: "E:err\n", 12: "EXIT_CODE: 5"}},
	} {
		s := w.node.Hold(t, withoutTerminal, parameters("command", `sh -c 'echo one; sleep 0.2; echo err >&2; sleep 0.2; cat; echo two; exit 5'`, "separate", tt.separate))
		if got := openPlugin(t, s).rest(s); fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	for key, want := range map[string]string{"\x03": "EXIT_CODE: 130", "\x1c": "EXIT_CODE: 131"} {
		s := w.node.Hold(t, withoutTerminal, parameters("command", `sh -c 'echo begun; exec sleep 600'`, "separate", "true"))
		p := openPlugin(t, s)
		p.until("begun")
		p.send(datachannel.PayloadOutput, "x"+key)
		if got := p.rest(s); got[datachannel.PayloadExitCode] != want {
			t.Errorf("%q: %v", key, got)
		}
	}
}

// piped is a connection over a channel's output, as the client's multiplexer has it.
type piped struct {
	p    *plugin
	rest []byte
}

// Read reads.
func (c *piped) Read(b []byte) (int, error) {
	for len(c.rest) == 0 {
		kind, payload, err := c.p.c.Receive(context.Background())
		if err != nil {
			return 0, io.EOF
		}
		if kind == datachannel.PayloadOutput {
			c.rest = bytes.Clone(payload)
		}
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Write writes.
func (c *piped) Write(b []byte) (int, error) {
	return len(b), c.p.c.Send(context.Background(), datachannel.PayloadOutput, bytes.Clone(b))
}

// Close does nothing.
func (c *piped) Close() error { return nil }

// TestAWSClientPort forwards with a client of AWS's, which speaks smux.
func TestAWSClientPort(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				b := make([]byte, 5)
				if _, err := io.ReadFull(conn, b); err == nil {
					_, _ = conn.Write(append([]byte("you said "), b...))
				}
			}()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := w.node.Hold(t, portDocument, parameters("portNumber", port))
	p := openPlugin(t, s)
	cfg := smux.DefaultConfig()
	cfg.KeepAliveDisabled = true
	mux, err := smux.Client(&piped{p: p}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mux.Close() }() // the session has ended
	for range 20 {
		conn, err := mux.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		write(t, conn, "hello")
		if b, err := io.ReadAll(conn); string(b) != "you said hello" {
			t.Errorf("%q, %v", b, err)
		}
	}
	p.send(datachannel.PayloadFlag, string(binary.BigEndian.AppendUint32(nil, 2)))
	if end := s.Ended(t); end.FinalTaskStatus != "Success" {
		t.Errorf("%+v", end)
	}
}

// TestSessionKeys interrupts programs on terminals.
func TestSessionKeys(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	for key, want := range map[string]int{"\x03": 130, "\x1c": 131} {
		c := w.node.Hold(t, onTerminal, parameters("command", `echo begun; exec sleep 600`)).Open(t, datachannel.ClientOptions{})
		expect(t, c, "begun")
		write(t, c, key)
		if exit := wait(t, c); exit.Code != want {
			t.Errorf("%q: %+v", key, exit)
		}
	}
}
