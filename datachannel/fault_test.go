package datachannel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// paths are paths with faults of some kind.
var paths = map[string]func(*Message) fault{
	"drops":      random(1, 20, 0, 0, 0),
	"doubles":    random(2, 0, 100, 0, 0),
	"delays":     random(3, 0, 0, 100, 0),
	"kills":      random(4, 0, 0, 0, 5),
	"everything": random(5, 10, 20, 20, 3),
}

// TestFaultsCommand sends 12 MB in both directions of a command through them.
func TestFaultsCommand(t *testing.T) {
	for name, faults := range paths {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &relay{t: t}
				s, a := pair(t, r, ClientOptions{}, AgentOptions{Kind: NonInteractiveCommands})
				r.with(faults)
				input, output := noise(1, 12<<20), noise(2, 12<<20)
				var all sync.WaitGroup
				all.Go(func() {
					if _, err := s.Write(input); err != nil {
						t.Error(err)
					}
					if err := s.CloseWrite(); err != nil {
						t.Error(err)
					}
				})
				all.Go(func() {
					if _, err := a.Write(output); err != nil {
						t.Error(err)
					}
				})
				all.Go(func() {
					got, err := io.ReadAll(a)
					if err != nil || sha256.Sum256(got) != sha256.Sum256(input) {
						t.Errorf("input of %d bytes: %v", len(got), err)
					}
				})
				all.Go(func() {
					got := make([]byte, len(output))
					if n, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, output) {
						t.Errorf("output of %d bytes: %v", n, err)
					}
				})
				all.Wait()
				all.Go(func() {
					if err := errors.Join(a.Exit(7), a.Finish(t.Context())); err != nil {
						t.Error(err)
					}
				})
				if exit, err := s.Wait(t.Context()); err != nil || exit.Code != 7 {
					t.Errorf("%+v, %v", exit, err)
				}
				all.Wait()
				r.with(nil)
			})
		})
	}
}

// TestFaultsPort carries 200 connections through them, in both directions.
func TestFaultsPort(t *testing.T) {
	for name, faults := range paths {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &relay{t: t}
				s, a := pair(t, r, ClientOptions{}, AgentOptions{Kind: Port, Properties: properties(forwarding)})
				r.with(faults)
				go echo(t, a)
				var all sync.WaitGroup
				for i := range 200 {
					all.Go(func() { request(t, s, noise(uint64(i), 50_000+100*i)) })
				}
				all.Go(func() { request(t, s, noise(1000, 5<<20)) })
				all.Wait()
				r.with(nil)
			})
		})
	}
}

// TestLostAgain loses each of a conversation's frames twice, on a connection that goes on: what one has waited for, the next does not.
func TestLostAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t}
		s, a := pair(t, r, ClientOptions{}, AgentOptions{Kind: NonInteractiveCommands})
		lost := map[int64]int{} // under the relay's lock
		r.with(func(m *Message) fault {
			if m.Type != typeOutput || lost[m.Sequence] == 2 {
				return fault{}
			}
			lost[m.Sequence]++
			return fault{drop: true}
		})
		begun := time.Now()
		line := make([]byte, 1)
		for range 8 {
			if _, err := a.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(s, line); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took > 15*time.Second { // each waits for leastRetry and then twice that
			t.Errorf("it took %v", took)
		}
		r.with(nil)
	})
}

// TestOutage holds what is written while there is no network, for an hour, and keeps to little memory.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t}
		var lost, back int
		s, a := pair(t, r, ClientOptions{Lost: func(error) { lost++ }, Back: func() { back++ }}, AgentOptions{Kind: StandardStream})
		input := noise(1, 3<<20)
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := s.Write(input); err != nil {
				t.Error(err)
			}
		})
		if err := s.Resize(80, 24); err != nil {
			t.Error(err)
		}
		if size := <-a.Sizes(); size != (Size{80, 24}) {
			t.Error(size)
		}
		r.cut(true)
		synctest.Wait()
		for i := range 5000 {
			if err := s.Resize(100, i); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		if n := s.channel.out.waiting; n > (mostPending+1)*chunk {
			t.Errorf("%d bytes wait", n)
		}
		begun := time.Now()
		r.cut(false)
		got := make([]byte, len(input))
		if _, err := io.ReadFull(a, got); err != nil || !bytes.Equal(got, input) {
			t.Error(err)
		}
		if size := <-a.Sizes(); size != (Size{100, 4999}) {
			t.Error(size)
		}
		if d := time.Since(begun); d > longWait+5*time.Second {
			t.Errorf("back after %v", d)
		}
		all.Wait()
		synctest.Wait()
		if lost != 1 || back != 1 {
			t.Errorf("lost %d times, back %d", lost, back)
		}
	})
}

// TestSlowReader keeps a sender back whose receiver reads nothing for an hour: it neither sends on nor
// sends the same again and again.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t, record: true}
		s, a := pair(t, r, ClientOptions{}, AgentOptions{Kind: StandardStream})
		output := noise(1, 5<<20)
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := a.Write(output); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Hour)
		bytesSent := 0
		r.mu.Lock()
		for _, m := range r.sent[Agent] {
			bytesSent += len(m.Payload)
		}
		r.mu.Unlock()
		if most := leastWindow + 3600/5*chunk + 1<<20; bytesSent > most {
			t.Errorf("%d bytes were sent, at most %d are fine", bytesSent, most)
		}
		if r.dials != [2]int{1, 1} {
			t.Errorf("dials %v", r.dials)
		}
		got := make([]byte, len(output))
		if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, output) {
			t.Error(err)
		}
		all.Wait()
	})
}

// TestIdentical sends a frame again exactly as it was, which an encrypted one must be.
func TestIdentical(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t, record: true}
		keys := &testKeys{}
		s, a := pair(t, r, ClientOptions{Keys: keys}, AgentOptions{Kind: StandardStream, KMSKeyID: "key", Keys: keys, InstanceID: "mi-1"})
		r.with(random(9, 300, 0, 0, 10))
		input, output := noise(1, 3<<20), noise(2, 3<<20)
		var all sync.WaitGroup
		all.Go(func() { _, _ = s.Write(input) })
		all.Go(func() { _, _ = a.Write(output) })
		all.Go(func() {
			got := make([]byte, len(input))
			if _, err := io.ReadFull(a, got); err != nil || !bytes.Equal(got, input) {
				t.Error(err)
			}
		})
		got := make([]byte, len(output))
		if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, output) {
			t.Error(err)
		}
		all.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		r.faults = nil
		again := 0
		for role, sent := range r.sent {
			first := map[int64][]byte{}
			for _, m := range sent {
				if m.Type != Role(role).sends() {
					continue
				}
				if first[m.Sequence] == nil {
					first[m.Sequence] = m.Frame
				} else if again++; !bytes.Equal(first[m.Sequence], m.Frame) {
					t.Errorf("frame %d was sent differently", m.Sequence)
				}
				if bytes.Contains(input, m.Payload[:min(len(m.Payload), 16)]) || m.PayloadType == PayloadOutput && bytes.Contains(output, m.Payload[:min(len(m.Payload), 16)]) {
					t.Errorf("frame %d is not encrypted", m.Sequence)
				}
			}
		}
		if again == 0 {
			t.Error("nothing was sent again")
		}
	})
}

// TestDeadConnection gives a connection up on which nothing comes any more, in seconds, and one that was asleep at once.
func TestDeadConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asleep atomic.Int64
		r := &relay{t: t}
		wall := func() time.Time { return time.Now().Add(time.Duration(asleep.Load())) }
		dials := func() [2]int {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.dials
		}
		s, a := pair(t, r, ClientOptions{pace: pace{wall: wall}}, AgentOptions{Kind: StandardStream})
		go func() { _, _ = io.Copy(io.Discard, a) }()
		time.Sleep(time.Hour)
		if dials() != [2]int{1, 1} {
			t.Errorf("an idle session has connected %v times", dials())
		}
		r.mu.Lock()
		r.ends[Client].deaf = true
		r.mu.Unlock()
		begun := time.Now()
		if _, err := s.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if err := s.channel.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if d := time.Since(begun); dials()[Client] != 2 || d > 13*time.Second {
			t.Errorf("%d connections after %v", dials()[Client], d)
		}
		asleep.Store(int64(5 * time.Minute))
		time.Sleep(1500 * time.Millisecond)
		if dials()[Client] != 3 {
			t.Errorf("%d connections after a sleep", dials()[Client])
		}
	})
}

// TestPausedAgent sends nothing new while it is told not to, but acknowledges; input lets it go on. source: agent
func TestPausedAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t}
		s, a := pair(t, r, ClientOptions{}, AgentOptions{Kind: StandardStream})
		tell := func(kind string) {
			r.to(Agent, &Message{Type: kind, Schema: 1, Created: time.Now(), ID: [16]byte{1}})
			synctest.Wait()
		}
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			b := make([]byte, 16)
			n := 0
			if !s.out.empty() {
				n, _ = s.Read(b)
			}
			if string(b[:n]) != want {
				t.Errorf("got %q, not %q", b[:n], want)
			}
		}
		tell(typePause)
		_, _ = a.Write([]byte("one"))
		expect("")
		tell(typeStart)
		expect("one")
		synctest.Wait()
		tell(typePause)
		_, _ = a.Write([]byte("two"))
		expect("")
		_, _ = s.Write([]byte("x"))
		expect("two")
		synctest.Wait()
		tell(typePause)
		_, _ = a.Write([]byte("three"))
		expect("")
		r.kill(Agent)
		time.Sleep(time.Second)
		expect("three")
	})
}

// TestForeignSequences takes nothing with a sequence number that is far off, and no acknowledgement of what was not sent.
func TestForeignSequences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &relay{t: t, record: true}
		s, _ := pair(t, r, ClientOptions{}, AgentOptions{Kind: StandardStream})
		for _, seq := range []int64{-1, -1 << 63, 1<<63 - 1, 1 << 40, 0} {
			m := &Message{Type: typeOutput, Schema: 1, Created: time.Now(), ID: [16]byte{2}, Sequence: seq, PayloadType: 1, Payload: []byte("x")}
			r.to(Client, m)
			r.to(Client, (ack{typeInput, [16]byte{3}, seq}).message())
		}
		synctest.Wait()
		if !s.out.empty() || len(s.channel.in.held) != 0 {
			t.Error("something was taken")
		}
	})
}

// TestRefusedAgain ends a session whose server says goodbye again and again before it says anything else; what it says now and
// then does no harm.
func TestRefusedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		dial := func(context.Context) (Conn, error) {
			dials++
			in := make(chan *Message, 1)
			if dials == 3 {
				in <- &Message{Type: typeStart, Schema: 1, Created: time.Now(), ID: [16]byte{1}}
			}
			close(in)
			if dials == 2 {
				return nil, io.ErrUnexpectedEOF
			}
			return refusing{given{in}}, nil
		}
		err := NewChannel(Client, dial, Options{}).Run(t.Context())
		if refusal, ok := errors.AsType[*Refusal](err); !ok || !errors.Is(err, ErrEnded) || refusal.Reason != "no" || dials != 6 {
			t.Errorf("%d dials: %v", dials, err)
		}
	})
}

// refusing is a connection that ends with a refusal.
type refusing struct{ given }

// Receive gives what there is, and refuses.
func (r refusing) Receive() (*Message, error) {
	if m, ok := <-r.in; ok {
		return m, nil
	}
	return nil, &Refusal{Reason: "no"}
}

// testKeys is a KMS whose encryption is the context.
type testKeys struct {
	mu    sync.Mutex
	plain map[string][]byte // by context
	fail  error
}
