package datachannel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/xtaci/smux"
)

// rawChannel is a channel as a stream of bytes, as AWS's peers use it under smux.
type rawChannel struct {
	c    *Channel
	left []byte
}

// Read reads output payloads.
func (r *rawChannel) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		kind, payload, err := r.c.Receive(context.Background())
		if err != nil {
			return 0, err
		}
		if kind == PayloadOutput {
			r.left = bytes.Clone(payload)
		}
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// Write sends payloads of 1 KiB. source: agent
func (r *rawChannel) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		part := bytes.Clone(p[n:min(len(p), n+1024)])
		err = r.c.Send(context.Background(), PayloadOutput, part)
		n += len(part)
	}
	return n, err
}

// Close ends the channel.
func (r *rawChannel) Close() error { return r.c.Close() }

// run runs a channel until the test ends.
func run(t *testing.T, c *Channel) {
	ctx, cancel := context.WithCancel(context.Background())
	var ran sync.WaitGroup
	ran.Go(func() { _ = c.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		ran.Wait()
	})
}

// expect receives a payload of a kind.
func expect(t *testing.T, c *Channel, kind uint32, into any) {
	t.Helper()
	got, payload, err := c.Receive(t.Context())
	if err != nil || got != kind {
		t.Fatalf("payload %d, not %d: %v", got, kind, err)
	}
	if err := json.Unmarshal(payload, into); err != nil {
		t.Fatal(err)
	}
}

// plugin is the handshake of AWS's session-manager-plugin. source: agent
func plugin(t *testing.T, r *relay, version string) *Channel {
	c := NewChannel(Client, r.dial(Client), Options{})
	run(t, c)
	var request handshakeRequest
	expect(t, c, PayloadHandshakeRequest, &request)
	answer := map[string]any{"ClientVersion": version, "Errors": nil}
	var done []any
	for _, a := range request.RequestedClientActions {
		if a.ActionType == actionSessionType {
			done = append(done, map[string]any{"ActionType": a.ActionType, "ActionStatus": 1, "ActionResult": nil, "Error": ""})
		} else {
			done = append(done, map[string]any{"ActionType": a.ActionType, "ActionStatus": 0, "ActionResult": 3, "Error": "Unsupported action " + a.ActionType})
		}
	}
	answer["ProcessedClientActions"] = done
	b, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SendUrgent(PayloadHandshakeResponse, b); err != nil {
		t.Fatal(err)
	}
	var complete handshakeComplete
	expect(t, c, PayloadHandshakeComplete, &complete)
	return c
}

// TestPluginPort lets the smux of AWS's client speak with our agent.
func TestPluginPort(t *testing.T) {
	r := &relay{t: t}
	a := NewAgent(r.dial(Agent), AgentOptions{SessionID: "session", Kind: Port, Properties: properties(forwarding)})
	run(t, a.channel)
	shaken := make(chan error, 1)
	go func() {
		_, extended, err := a.Handshake(context.Background())
		if extended {
			err = errors.Join(err, errors.New("the plugin knows no extensions"))
		}
		shaken <- err
	}()
	c := plugin(t, r, "1.2.707.0")
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	go echo(t, a)
	o := smux.DefaultConfig()
	o.KeepAliveDisabled = true
	session, err := smux.Client(&rawChannel{c: c}, o)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			stream, err := session.OpenStream()
			if err != nil {
				t.Error(err)
				return
			}
			echoed(t, stream, noise(uint64(i), 1+100_000*i))
			if err := stream.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	_ = session.Close()
}

// echoed writes and reads the same back.
func echoed(t *testing.T, conn io.ReadWriter, body []byte) {
	go func() {
		if _, err := conn.Write(body); err != nil {
			t.Error(err)
		}
	}()
	got := make([]byte, len(body))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, body) {
		t.Errorf("%d bytes: %v", len(body), err)
	}
}

// TestAgentPort lets our client speak with the smux of AWS's agent.
func TestAgentPort(t *testing.T) {
	r := &relay{t: t}
	c := NewChannel(Agent, r.dial(Agent), Options{})
	run(t, c)
	request := `{"AgentVersion":"3.3.0.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"80","localPortNumber":"0","type":"LocalPortForwarding"}}}]}` // source: agent
	if err := c.SendUrgent(PayloadHandshakeRequest, []byte(request)); err != nil {
		t.Fatal(err)
	}
	shaken := make(chan error, 1)
	go func() {
		kind, _, err := c.Receive(context.Background())
		if err == nil && kind != PayloadHandshakeResponse {
			err = fmt.Errorf("payload %d", kind)
		}
		shaken <- errors.Join(err, c.SendUrgent(PayloadHandshakeComplete, []byte(`{"HandshakeTimeToComplete":489724969,"CustomerMessage":""}`)))
	}()
	s, err := Open(t.Context(), Start{SessionID: "session"}, ClientOptions{dial: r.dial(Client)})
	if err := errors.Join(err, <-shaken); err != nil {
		t.Fatal(err)
	}
	o := smux.DefaultConfig()
	o.KeepAliveDisabled = true
	session, err := smux.Server(&rawChannel{c: c}, o)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			stream, err := session.AcceptStream()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(stream, stream)
				_ = stream.Close()
			}()
		}
	}()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			conn, err := s.OpenPort(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			echoed(t, conn, noise(uint64(i), 1+100_000*i))
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	_ = session.Close()
}
