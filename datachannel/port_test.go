package datachannel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// properties are those of a port session of some type.
func properties(kind string) any {
	p := map[string]string{"portNumber": "80"}
	if kind != "" {
		p["type"] = kind
	}
	return p
}

// noise is reproducible data.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	key[0] = byte(seed)
	key[1] = byte(seed >> 8)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // which has no errors
	return b
}

// echo accepts connections and writes back what they send, at its end.
func echo(t *testing.T, a *AgentSession) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		conn, _, err := a.Accept(t.Context())
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			return
		}
		all.Go(func() {
			if _, err := io.Copy(conn, conn); err != nil && !errors.Is(err, errAborted) && !errors.Is(err, ErrEnded) && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			_ = conn.Close()
		})
	}
}

// request sends a request, ends it, and reads the answer.
func request(t *testing.T, s *Session, body []byte) {
	conn, err := s.OpenPort(t.Context())
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	var sent sync.WaitGroup
	sent.Go(func() {
		if _, err := conn.Write(body); err != nil {
			t.Error(err)
		}
		if err := conn.CloseWrite(); err != nil {
			t.Error(err)
		}
	})
	got, err := io.ReadAll(conn)
	sent.Wait()
	if err != nil || sha256.Sum256(got) != sha256.Sum256(body) {
		t.Errorf("%d of %d bytes: %v", len(got), len(body), err)
	}
}

// TestPort carries requests that end and their answers, many at a time.
func TestPort(t *testing.T) {
	for _, kind := range []string{forwarding, ""} {
		synctest.Test(t, func(t *testing.T) {
			s, a := pair(t, &relay{t: t}, ClientOptions{}, AgentOptions{Kind: Port, Properties: properties(kind)})
			go echo(t, a)
			var all sync.WaitGroup
			for i := range 200 {
				all.Go(func() { request(t, s, noise(uint64(i), 1000*i)) })
			}
			all.Wait()
		})
	}
}

// TestPortRefused tells the client why.
func TestPortRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := pair(t, &relay{t: t}, ClientOptions{}, AgentOptions{Kind: Port, Properties: properties(forwarding)})
		go func() {
			_, refuse, err := a.Accept(t.Context())
			if err != nil {
				t.Error(err)
			}
			refuse(errors.New("connection refused"))
		}()
		conn, err := s.OpenPort(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Read(make([]byte, 1))
		if refused, ok := errors.AsType[*PortRefused](err); !ok || refused.Reason != "connection refused" {
			t.Error(err)
		}
		_ = conn.Close()
	})
}

// TestPortAbort stops a node that sends to a connection which nobody reads any more.
func TestPortAbort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := pair(t, &relay{t: t}, ClientOptions{}, AgentOptions{Kind: Port, Properties: properties(forwarding)})
		stopped := make(chan error)
		go func() {
			conn, _, err := a.Accept(t.Context())
			for err == nil {
				_, err = conn.Write(make([]byte, 32<<10))
			}
			_ = conn.Close()
			stopped <- err
		}()
		conn, err := s.OpenPort(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 10<<20)); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := <-stopped; !errors.Is(err, errAborted) {
			t.Error(err)
		}
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		synctest.Wait()
		for _, m := range []*mux{s.ports.muxer(), a.ports.muxer()} {
			m.mu.Lock()
			if n := len(m.streams); n != 0 {
				t.Errorf("%d connections are left", n)
			}
			m.mu.Unlock()
		}
	})
}

// TestPortDeadline gives a read up and lets the next one go on.
func TestPortDeadline(t *testing.T) {
	for _, version := range [][2]string{{"", ""}, {"3.3.0.0", "1.2.707.0"}, {"2.3.700.0", "1.1.0"}} {
		synctest.Test(t, func(t *testing.T) {
			s, a := official(t, version[0], version[1], forwarding)
			go func() {
				conn, _, err := a.Accept(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				b := make([]byte, 1)
				_, _ = conn.Read(b)
				time.Sleep(time.Second)
				_, _ = conn.Write(b)
			}()
			conn, err := s.OpenPort(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Error(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
				t.Error(err)
			}
			var late net.Error
			if _, err := conn.Read(make([]byte, 1)); !errors.As(err, &late) || !late.Timeout() {
				t.Error(err)
			}
			if err := conn.SetReadDeadline(time.Time{}); err != nil {
				t.Error(err)
			}
			if n, err := conn.Read(make([]byte, 1)); n != 1 || err != nil {
				t.Error(n, err)
			}
			_ = conn.Close()
		})
	}
}

// official opens a session whose ends say that they are some versions and know no extensions; an empty one is ours.
func official(t *testing.T, agent, client, kind string) (*Session, *AgentSession) {
	r := &relay{t: t, rewrite: func(m *Message) {
		if agent != "" || client != "" {
			m.Payload = bytes.ReplaceAll(m.Payload, []byte(actionExtensions), []byte("SomethingElse___"))
		}
	}}
	return pair(t, r, ClientOptions{Version: client}, AgentOptions{Kind: Port, Properties: properties(kind), Version: agent})
}

// TestPortOfficial speaks smux with AWS's peers, or one connection at a time with old ones. source: agent
func TestPortOfficial(t *testing.T) {
	for name, c := range map[string]struct {
		agent, client, kind string
		mux                 bool
	}{
		"both new":   {"3.3.0.0", "1.2.707.0", forwarding, true},
		"old agent":  {"3.0.196.0", "1.1.0", forwarding, false},
		"ssh":        {"3.3.0.0", "1.2.707.0", "", false},
		"just mux":   {"3.0.197.0", "1.1.70", forwarding, true},
		"no numbers": {"three", "one", forwarding, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a := official(t, c.agent, c.client, c.kind)
				if s.Extended || a.extended || (a.ports.mux != nil) != c.mux {
					t.Fatalf("extended %t, %t; smux %t", s.Extended, a.extended, a.ports.mux != nil)
				}
				go echo(t, a)
				one := func(i int) {
					conn, err := s.OpenPort(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					body := noise(uint64(i), 1+10000*i)
					go func() {
						if _, err := conn.Write(body); err != nil {
							t.Error(err)
						}
					}()
					got := make([]byte, len(body))
					if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, body) {
						t.Errorf("%d: %d bytes: %v", i, len(body), err)
					}
					if err := conn.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
						t.Error(err)
					}
					if err := conn.Close(); err != nil {
						t.Error(err)
					}
				}
				if !c.mux {
					one(1)
					if c.kind == forwarding {
						one(2) // the agent connects again
					}
					return
				}
				var all sync.WaitGroup
				for i := range 50 {
					all.Go(func() { one(i) })
				}
				all.Wait()
				time.Sleep(time.Hour) // nothing that is idle ends
				one(3)
			})
		})
	}
}

// TestPortOfficialRefused tells of a refusal, as far as an AWS agent does. source: agent
func TestPortOfficialRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a := official(t, "3.3.0.0", "1.2.707.0", forwarding)
		go func() {
			_, refuse, err := a.Accept(t.Context())
			if err != nil {
				t.Error(err)
			}
			refuse(fmt.Errorf("connection refused"))
		}()
		conn, err := s.OpenPort(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
}

// TestPortEnded breaks connections whose session ends: reading gives what came, and then no clean end. The end of the only connection of an
// AWS agent is that of its session, without a reason. source: agent
func TestPortEnded(t *testing.T) {
	for name, c := range map[string]struct {
		agent, client, output string
		clean                 bool
	}{
		"ours":                          {"", "", "idle", false},
		"ours without a reason":         {"", "", "", false},
		"smux":                          {"3.3.0.0", "1.2.707.0", "idle", false},
		"one at a time":                 {"3.0.0.0", "1.1.0", "idle", false},
		"one at a time, by their agent": {"3.0.0.0", "1.1.0", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &relay{t: t, rewrite: func(m *Message) {
					if c.agent != "" {
						m.Payload = bytes.ReplaceAll(m.Payload, []byte(actionExtensions), []byte("SomethingElse___"))
					}
				}}
				s, a := pair(t, r, ClientOptions{Version: c.client}, AgentOptions{Kind: Port, Properties: properties(forwarding), Version: c.agent})
				conn, err := s.OpenPort(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Write([]byte("half")); err != nil {
					t.Fatal(err)
				}
				node, _, err := a.Accept(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := node.Write([]byte("half")); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				r.close(c.output)
				synctest.Wait()
				if got, err := io.ReadAll(node); string(got) != "half" || err == nil {
					t.Errorf("the node: %q, %v", got, err)
				}
				got, err := io.ReadAll(conn)
				if string(got) != "half" || (err == nil) != c.clean || err != nil && !strings.Contains(err.Error(), c.output) {
					t.Errorf("the client: %q, %v", got, err)
				}
			})
		})
	}
}

// TestPortEndedAfterAll keeps the clean end of a connection whose session ends before it is read.
func TestPortEndedAfterAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t}
		s, a := pair(t, r, ClientOptions{}, AgentOptions{Kind: Port, Properties: properties(forwarding)})
		conn, err := s.OpenPort(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		node, _, err := a.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := node.Write([]byte("all")); err != nil {
			t.Fatal(err)
		}
		if err := node.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.close("idle")
		synctest.Wait()
		if got, err := io.ReadAll(conn); string(got) != "all" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestPortUnread holds up a peer whose streams nobody reads, in parts of any size, and lets it go on when they are read.
func TestPortUnread(t *testing.T) {
	for _, size := range []int{1, 1 << 10, mostPart} {
		var m *mux
		c := NewChannel(Agent, nowhere, Options{deliver: func(r *received) { m.input(r) }})
		m = newMux(c, false, true, false)
		seq := int64(0)
		arrives := func(payload []byte) {
			c.arrived(&Message{Type: typeInput, Sequence: seq, PayloadType: PayloadOutput, Payload: payload}, nil)
			seq++
		}
		const streams = 16 // whose windows are more than the channel holds
		var conns []*stream
		for i := range uint32(streams) {
			arrives(m.header(muxOpen, i, 0))
			conns = append(conns, <-m.accept)
		}
		sent, full := 0, func() bool { return c.in.bytes > mostReceived }
		for id := uint32(0); !full() && sent < streams*streamWindow; {
			var payload []byte
			for len(payload)+muxHeader+size <= chunk {
				payload = append(append(payload, m.header(muxData, id, size)...), make([]byte, size)...)
				sent += size
				id = (id + 1) % streams
			}
			arrives(payload)
			if sent/streams > streamWindow-2*chunk {
				break
			}
		}
		if c.isClosed() {
			t.Fatal(c.reason())
		}
		if most := int64(3 * mostReceived); !full() || m.unread.Load() > most {
			t.Errorf("parts of %d: %d bytes are taken and %d not acknowledged", size, m.unread.Load(), c.in.bytes)
		}
		for i, s := range conns {
			if i%2 == 0 {
				_ = s.Close()
				continue
			}
			_ = s.SetReadDeadline(time.Now().Add(time.Minute))
			for {
				s.mu.Lock()
				left := len(s.parts)
				s.mu.Unlock()
				if left == 0 {
					break
				}
				if _, err := s.Read(make([]byte, chunk)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if c.in.bytes != 0 || len(c.in.taken) != 0 || m.unread.Load() != 0 {
			t.Errorf("parts of %d: %d bytes in %d frames are left, and %d unread", size, c.in.bytes, len(c.in.taken), m.unread.Load())
		}
	}
}
