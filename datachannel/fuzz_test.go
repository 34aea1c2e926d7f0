package datachannel

import (
	"context"
	"encoding/json"
	"testing"
	"time"
)

// nowhere never connects.
func nowhere(context.Context) (Conn, error) { return nil, ErrEnded }

// over is a context that has ended.
func over() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// handshakes are payloads of handshakes, of both ends.
var handshakes = []string{
	`{"AgentVersion":"3.3.0.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Port","Properties":{"portNumber":"80","localPortNumber":"0","type":"LocalPortForwarding"}}},{"ActionType":"KMSEncryption","ActionParameters":{"KMSKeyId":"arn","Challenge":"AAAA"}},{"ActionType":"VennelExtensions","ActionParameters":{"Version":1,"Features":["input-end"]}}]}`,
	`{"ClientVersion":"1.2.0.0","ProcessedClientActions":[{"ActionType":"SessionType","ActionStatus":1,"ActionResult":null,"Error":""},{"ActionType":"KMSEncryption","ActionStatus":1,"ActionResult":{"KMSCipherTextKey":"AAAA","KMSCipherTextHash":null},"Error":""},{"ActionType":"VennelExtensions","ActionStatus":0,"ActionResult":3,"Error":"Unsupported action VennelExtensions"}],"Errors":null}`,
	`{"HandshakeTimeToComplete":489724969,"CustomerMessage":"x"}`, `{"Challenge":"AAAA"}`, `{"cols":80,"rows":24}`, `EXIT_CODE: 1`, `[]`, `null`, "\x00\x00\x00\x02",
	`{"Output":"the end"}`,
}

// FuzzClient gives a client what an agent may send in its handshake and after it.
func FuzzClient(f *testing.F) {
	for _, h := range handshakes {
		for _, kind := range []uint32{PayloadOutput, PayloadHandshakeRequest, PayloadHandshakeComplete, PayloadEncryptionRequest, PayloadFlag, PayloadExitCode, PayloadStderr, 77} {
			f.Add(kind, []byte(h), true)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint32, payload []byte, keyed bool) {
		keys := &testKeys{}
		s := newSession(Start{SessionID: "session", Target: "mi-1"}, ClientOptions{Keys: keys, dial: nowhere})
		if keyed {
			seal, err := newSealer(Client, noise(1, dataKey))
			if err != nil {
				t.Fatal(err)
			}
			s.channel.seal = seal
		}
		s.deliver(&received{kind: kind, payload: append([]byte(nil), payload...)})
		_, _ = s.shake(over(), Start{SessionID: "session"}, &received{kind: kind, payload: payload})
		s.beginPorts()
		s.deliver(&received{kind: PayloadOutput, payload: append([]byte(nil), payload...)})
	})
}

// FuzzAgent gives an agent what a client may send in its handshake and after it.
func FuzzAgent(f *testing.F) {
	for _, h := range handshakes {
		for _, kind := range []uint32{PayloadOutput, PayloadSize, PayloadHandshakeResponse, PayloadEncryptionResponse, PayloadFlag, 77} {
			f.Add(kind, []byte(h), true)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint32, payload []byte, keyed bool) {
		o := AgentOptions{SessionID: "session", Kind: Port, Properties: properties(forwarding), Keys: &testKeys{}, KMSKeyID: "key"}
		if keyed {
			o.Kind = StandardStream
		}
		a := NewAgent(nowhere, o)
		a.deliver(&received{kind: kind, payload: append([]byte(nil), payload...)})
		var response handshakeResponse
		if json.Unmarshal(payload, &response) == nil {
			if seal, err := a.responded(over(), &response, keyed, "challenge"); keyed && err == nil && seal == nil {
				t.Error("a session that must be encrypted is not")
			}
		}
		a.clientVersion = response.ClientVersion
		a.beginPorts()
		a.deliver(&received{kind: kind, payload: append([]byte(nil), payload...)})
	})
}

// FuzzChannel gives a channel frames of all kinds.
func FuzzChannel(f *testing.F) {
	f.Add(typeOutput, int64(0), uint32(1), []byte("x"))
	f.Add(typeOutput, int64(-1), uint32(1), []byte("x"))
	f.Add(typeOutput, int64(5), uint32(1), []byte("x"))
	f.Add(typeAck, int64(0), uint32(0), ack{typeInput, [16]byte{1}, 0}.message().Payload)
	f.Add(typeAck, int64(0), uint32(0), ack{typeOutput, [16]byte{1}, 1 << 60}.message().Payload)
	f.Add(typeClosed, int64(0), uint32(0), []byte(handshakes[9]))
	f.Fuzz(func(t *testing.T, kind string, seq int64, payloadKind uint32, payload []byte) {
		c := NewChannel(Client, nowhere, Options{})
		for range 3 {
			if err := c.Send(t.Context(), 1, []byte("x")); err != nil {
				t.Fatal(err)
			}
			c.mu.Lock()
			c.nextOut(false)
			c.mu.Unlock()
		}
		in := make(chan *Message, 4)
		for range 2 {
			m := &Message{Type: kind, Schema: 1, Created: time.Now(), ID: [16]byte{1}, Sequence: seq, PayloadType: payloadKind, Payload: payload}
			in <- m
		}
		close(in)
		_ = c.read(given{in})
		if n := len(c.out.unacked); n < 2 && kind == typeAck || n > 3 {
			t.Errorf("%d frames are unacknowledged", n)
		}
		if len(c.in.held)+len(c.in.ready) > 1 {
			t.Errorf("%d and %d frames were taken", len(c.in.held), len(c.in.ready))
		}
	})
}

// given is a connection on which some messages come.
type given struct{ in chan *Message }

// Send takes everything.
func (given) Send(*Message) error { return nil }

// Receive gives the next.
func (g given) Receive() (*Message, error) {
	m, ok := <-g.in
	if !ok {
		return nil, ErrEnded
	}
	return m, nil
}

// Ping is not answered.
func (given) Ping(func()) error { return nil }

// Close does nothing.
func (given) Close() error { return nil }

// FuzzMux gives a multiplexer bytes in pieces of some size.
func FuzzMux(f *testing.F) {
	for _, version := range []byte{muxSmux, muxOurs} {
		var b []byte
		for command := range byte(7) {
			b = append(b, version, command, 4, 0, 3, 0, 0, 0, 1, 2, 3, 4)
			b = append(b, version, command, 0, 0, 3, 0, 0, 0)
		}
		f.Add(b, 5, version == muxOurs, true)
		f.Add(b, 100, version == muxOurs, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, size int, ours, client bool) {
		c := NewChannel(Agent, nowhere, Options{})
		m := newMux(c, client, ours, false)
		if client {
			if _, err := m.open(); err != nil {
				t.Fatal(err)
			}
		}
		size = max(1, size%64)
		for len(b) > 0 && !c.isClosed() {
			n := min(size, len(b))
			m.input(&received{kind: PayloadOutput, payload: b[:n]})
			b = b[n:]
		}
		m.end(ErrEnded)
		if len(m.streams) > 0 {
			t.Error("streams are left")
		}
	})
}
