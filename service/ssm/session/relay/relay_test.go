package relay_test

import (
	"errors"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/internal/bubble"
	"github.com/vennel/vennel/service/ssm/session/relay"
)

// TestRelay carries a shell session from its first output to its end.
func TestRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Options{})
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		agent.start()
		synctest.Wait()
		agent.send(1, "$ ") // before the client is there
		synctest.Wait()
		client.start()
		client.gets("$ ")
		client.send(3, `{"cols":80,"rows":24}`)
		client.send(1, "ls\n")
		agent.gets(`{"cols":80,"rows":24}` + "ls\n")
		agent.send(1, "file\n$ ")
		client.gets("$ file\n$ ")
		client.settles()
		agent.settles()
		agent.control("agent_session_state", `{"SchemaVersion":1,"SessionState":"Terminating","SessionId":"s"}`)
		synctest.Wait()
		w.relay.Close("bye\x1b[2J\u0085!\xff\n")
		w.relay.Close("not this")
		agent.ends()
		var said map[string]any
		if err := json.Unmarshal([]byte(client.ends()), &said); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]any{
			"DestinationId": "mi-0123456789abcdef0", "SessionId": "alice-0123456789abcdef0", "MessageType": "channel_closed", "SchemaVersion": 1.0,
			"Output": "bye[2J!\uFFFD\n",
		} { // source: agent
			if said[name] != want {
				t.Errorf("%s is %q, not %q", name, said[name], want)
			}
		}
		synctest.Wait()
		if got := w.news.String(); got != "connected 1, begun, connected 0, ending, lost 0" {
			t.Errorf("the news are %s", got)
		}
		late := newSocket(1000) // somebody who comes when all is over
		var served sync.WaitGroup
		served.Go(func() { _ = w.relay.Serve(late, relay.Client) })
		if i, err := late.down.get(); err != nil || i.m.Type != "channel_closed" {
			t.Errorf("a late client got %v, %v", i, err)
		}
		begin := time.Now()
		served.Wait() // although it stays
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("its stream ended after %v", took)
		}
	})
}

// TestByteForByte passes frames on as they came, and acknowledgements too.
func TestByteForByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relay.New("s", "t", new(news), relay.Options{})
		client, agent := newSocket(1<<20), newSocket(1<<20)
		var served sync.WaitGroup
		defer served.Wait()
		defer client.kill()
		defer agent.kill()
		served.Go(func() { _ = r.Serve(client, relay.Client) })
		served.Go(func() { _ = r.Serve(agent, relay.Agent) })
		out := frame("output_stream_data", 0, 1, "x")
		_ = agent.up.put(item{m: out})
		if i, _ := client.down.get(); !reflect.DeepEqual(i.m, out) {
			t.Errorf("%v became %v", out, i.m)
		}
		ack := frame("acknowledge", 0, 0, `{"AcknowledgedMessageSequenceNumber":0, "more":[]}`)
		_ = client.up.put(item{m: ack})
		if i, _ := agent.down.get(); !reflect.DeepEqual(i.m, ack) {
			t.Errorf("%v became %v", ack, i.m)
		}
		_ = agent.up.put(item{m: out}) // once more: its acknowledgement got lost. source: agent
		i, _ := agent.down.get()
		want := `{"AcknowledgedMessageType":"output_stream_data","AcknowledgedMessageId":"` + out.ID.String() + `","AcknowledgedMessageSequenceNumber":0,"IsSequentialMessage":true}`
		if i.m.Type != "acknowledge" || i.m.Flags != 3 || string(i.m.Payload) != want {
			t.Errorf("the answer to a repeated frame is %+v %s", i.m, i.m.Payload)
		}
		if _, err := i.m.Bytes(); err != nil {
			t.Error(err)
		}
	})
}

// TestReplaced has a new stream take the place of one that seems to live.
func TestReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(news)
		r := relay.New("s", "t", n, relay.Options{})
		var served sync.WaitGroup
		sockets := make([]*socket, 5)
		for i := range sockets {
			sockets[i] = newSocket(1 << 20)
			served.Go(func() { _ = r.Serve(sockets[i], relay.Agent) })
			synctest.Wait()
		}
		for i, s := range sockets {
			if err := s.up.put(item{}); (err == nil) != (i == len(sockets)-1) {
				t.Errorf("stream %d: %v", i, err)
			}
		}
		sockets[4].kill()
		served.Wait()
		if got := n.String(); got != "connected 1, connected 1, connected 1, connected 1, connected 1, lost 1" {
			t.Errorf("the news are %s", got)
		}
	})
}

// TestRefusals has peers that take no data yet and do not say so: it is given to them again. source: agent
func TestRefusals(t *testing.T) {
	for _, role := range []relay.Role{relay.Client, relay.Agent} {
		for _, cut := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, relay.Options{Begins: true})
				p, sender := w.peers[role], w.peers[1-role]
				p.unready = true
				p.start()
				sender.start()
				synctest.Wait()
				for i, text := range []string{"handshake,", "more of it,", "banner,", "more"} {
					sender.send([]uint32{5, 7, 1, 1}[i], text)
				}
				time.Sleep(time.Minute)
				if cut {
					p.kill()
					time.Sleep(time.Minute)
				}
				p.mu.Lock()
				if p.expected != 2 {
					t.Errorf("it waits for %d", p.expected)
				}
				p.unready = false
				p.mu.Unlock()
				p.gets("handshake,more of it,banner,more")
				sender.settles()
			})
		}
	}
}

// TestOvertaken gives a plugin that may not be ready nothing before its turn: it would acknowledge that, and forget it when the end of the handshake
// comes. source: agent
func TestOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Options{Begins: true})
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		client.unready = true
		client.start()
		agent.start()
		synctest.Wait()
		agent.send(5, "request ")
		synctest.Wait()
		client.send(6, "{}")
		client.settles()
		agent.tampered = func(m *api.Message) int { return min(1, int(m.PayloadType)%7) } // a connection that breaks loses the end of the handshake
		agent.send(7, "complete ")
		agent.send(1, "one ")
		agent.send(1, "two")
		client.gets("request complete ")
		time.Sleep(50 * time.Millisecond) // it gets ready
		client.mu.Lock()
		client.unready = false
		client.mu.Unlock()
		client.gets("request complete one two")
		agent.settles()
	})
}

// TestSilentCopies has a plugin that was given frames by a server that is no more, which it does not say: the agent
// must not wait for their acknowledgements for ever, or nothing that is lost later can be saved.
func TestSilentCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, relay.Options{})
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		agent.race = true
		agent.send(1, "a") // its acknowledgement finds nothing
		client.gets("a")
		agent.race = false
		w.restart(relay.Options{})
		client.send(1, "x") // which says that it takes output
		agent.send(1, "b")
		agent.settles()
		client.gets("ab")
		if client.copies == 0 {
			t.Error("the client was given nothing twice")
		}
	})
}

// TestLostAnswer has the plugin of TestSilentCopies lose its answer to a ping, too: it is asked again.
func TestLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, relay.Options{})
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		agent.race = true
		agent.send(1, "a")
		client.gets("a")
		agent.race = false
		client.mu.Lock()
		client.mute = 2
		client.mu.Unlock()
		w.restart(relay.Options{})
		began := time.Now()
		agent.settles()
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// TestDisconnected has a plugin in a port session of one connection at a time, which takes nothing while there is none:
// it says when one ends. source: agent
func TestDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, relay.Options{})
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		client.send(10, "\x00\x00\x00\x01")
		client.settles()
		client.mu.Lock()
		client.unready = true
		client.mu.Unlock()
		agent.send(1, "banner")
		time.Sleep(time.Minute)
		client.kill()
		time.Sleep(time.Minute)
		client.mu.Lock()
		client.unready = false
		client.mu.Unlock()
		client.gets("banner")
		agent.settles()
	})
}

// TestInTheMiddle has the server begin again while an agent has many frames that the plugin lacks. It repeats them one by
// one, and goes on sending meanwhile: the plugin is never sent more than it keeps, and the agent is not asked to wait,
// for then it would not repeat anything either. source: agent
func TestInTheMiddle(t *testing.T) {
	for _, begins := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, relay.Options{Begins: begins, Window: 1 << 20})
			client, agent := w.peers[relay.Client], w.peers[relay.Agent]
			client.start()
			agent.start()
			synctest.Wait()
			agent.tampered = func(m *api.Message) int {
				if m.Sequence < 150 {
					return 0
				}
				return 1
			}
			var all strings.Builder
			for i := range 20_000 {
				text := strconv.Itoa(i)
				all.WriteString(text)
				agent.send(1, text)
				time.Sleep(time.Millisecond)
			}
			client.gets(all.String())
			agent.settles()
		})
	}
}

// TestWindow bounds what is on its way to a client that reads and does nothing about it, in bytes.
func TestWindow(t *testing.T) {
	const window = 256 << 10
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Options{Begins: true, Window: window})
		w.room = 1 << 30
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		client.blocked = make(chan struct{})
		client.start()
		agent.start()
		synctest.Wait()
		for range 500 {
			agent.send(1, strings.Repeat("x", 1024))
		}
		synctest.Wait()
		if _, _, flying, _ := w.relay.Held(relay.Client); flying > window || flying < window-2048 {
			t.Errorf("%d bytes are on their way", flying)
		}
		close(client.blocked)
		client.mu.Lock()
		client.blocked = nil
		client.mu.Unlock()
		client.gets(strings.Repeat("x", 500*1024))
	})
}

// TestPriority gives a peer the acknowledgements that it waits for before the frames.
func TestPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relay.New("s", "t", new(news), relay.Options{Begins: true})
		client, agent := newSocket(1<<10), newSocket(1<<20)
		var served sync.WaitGroup
		served.Go(func() { _ = r.Serve(client, relay.Client) })
		served.Go(func() { _ = r.Serve(agent, relay.Agent) })
		for i := range int64(50) {
			_ = agent.up.put(item{m: frame("output_stream_data", i, 1, strings.Repeat("x", 600))})
		}
		synctest.Wait()
		_ = client.up.put(item{m: frame("input_stream_data", 0, 1, "x")})
		if i, _ := agent.down.get(); i.m.Type != "input_stream_data" {
			t.Errorf("the agent got %+v", i.m)
		}
		_ = agent.up.put(item{m: acknowledgement("input_stream_data", "", 0)})
		synctest.Wait()
		for n := range 3 {
			if i, _ := client.down.get(); i.m.Type == "acknowledge" {
				break
			} else if n == 2 { // one was there, one was being written
				t.Error("the acknowledgement is not the third message")
			}
		}
		r.Close("") // which is as urgent
		for n := range 3 {
			if i, _ := client.down.get(); i.m.Type == "channel_closed" {
				break
			} else if n == 2 {
				t.Error("the channel_closed is not the third message")
			}
		}
		client.kill()
		agent.kill()
		served.Wait()
	})
}

// TestDeafAgent has an agent that does not read the acknowledgements of what it sends, nor the answers to what it
// repeats: few of them are kept, and when it comes back it is told all that it has missed.
func TestDeafAgent(t *testing.T) {
	const frames = 6000
	synctest.Test(t, func(t *testing.T) {
		r := relay.New("s", "t", new(news), relay.Options{Begins: true})
		client, agent := newSocket(1<<30), newSocket(1<<10)
		var served sync.WaitGroup
		served.Go(func() { _ = r.Serve(client, relay.Client) })
		served.Go(func() { _ = r.Serve(agent, relay.Agent) })
		first := frame("output_stream_data", 0, 1, "x")
		for i := range int64(frames) {
			m := frame("output_stream_data", i, 1, "x")
			if i == 0 {
				m = first
			}
			_ = agent.up.put(item{m: m})
			_, _ = client.down.get()
			_ = client.up.put(item{m: acknowledgement("output_stream_data", "", i)})
			synctest.Wait()
			if i == 10 {
				for range 100 {
					_ = agent.up.put(item{m: first})
				}
				synctest.Wait()
				if acks, _ := r.Waiting(relay.Agent); acks > 12 {
					t.Errorf("%d acknowledgements wait", acks)
				}
			}
		}
		if err := r.Check(); err != nil {
			t.Error(err)
		}
		agent.kill()
		again := newSocket(1 << 30)
		served.Go(func() { _ = r.Serve(again, relay.Agent) })
		synctest.Wait()
		_ = again.up.put(item{m: first})
		for i := range frames {
			m, _ := again.down.get()
			if want := `"AcknowledgedMessageSequenceNumber":` + strconv.Itoa(i) + ","; m.m == nil || !strings.Contains(string(m.m.Payload), want) {
				t.Fatalf("%d: %+v", i, m.m)
			}
		}
		client.kill()
		again.kill()
		served.Wait()
	})
}

// TestRepeats has a client repeat a frame all the time that its agent does nothing about.
func TestRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relay.New("s", "t", new(news), relay.Options{Begins: true})
		client, agent := newSocket(1<<20), newSocket(100)
		var served sync.WaitGroup
		served.Go(func() { _ = r.Serve(client, relay.Client) })
		served.Go(func() { _ = r.Serve(agent, relay.Agent) })
		for range 1000 {
			_ = client.up.put(item{m: frame("input_stream_data", 0, 1, "x")})
			_ = client.up.put(item{m: frame("input_stream_data", 1, 1, "x")})
		}
		synctest.Wait()
		if _, repeats := r.Waiting(relay.Agent); repeats > 2 {
			t.Errorf("%d frames wait to be repeated", repeats)
		}
		client.kill()
		agent.kill()
		served.Wait()
	})
}

// TestForged acknowledges frames that were not sent yet: they are sent all the same.
func TestForged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relay.New("s", "t", new(news), relay.Options{Begins: true, Window: 4 << 10})
		client, agent := newSocket(1<<20), newSocket(1<<20)
		var served sync.WaitGroup
		served.Go(func() { _ = r.Serve(client, relay.Client) })
		served.Go(func() { _ = r.Serve(agent, relay.Agent) })
		for i := range int64(10) {
			_ = agent.up.put(item{m: frame("output_stream_data", i, 1, strings.Repeat("x", 1000))})
		}
		synctest.Wait()
		for i := range int64(10) {
			_ = client.up.put(item{m: acknowledgement("output_stream_data", "", 9-i)})
		}
		synctest.Wait()
		for want := int64(0); want < 10; {
			i, _ := client.down.get()
			if i.m.Type != "output_stream_data" || i.m.Sequence != want {
				t.Fatalf("%+v came, want %d", i.m, want)
			}
			want++
			_ = client.up.put(item{m: acknowledgement("output_stream_data", "", i.m.Sequence)})
		}
		client.kill()
		agent.kill()
		served.Wait()
	})
}

// TestLargeAcknowledgement has a client acknowledge with more words than there is room for: its frame stays held, and its words are not passed on.
func TestLargeAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relay.New("s", "t", new(news), relay.Options{Begins: true})
		client, agent := newSocket(1<<20), newSocket(1<<20)
		var served sync.WaitGroup
		served.Go(func() { _ = r.Serve(client, relay.Client) })
		served.Go(func() { _ = r.Serve(agent, relay.Agent) })
		_ = agent.up.put(item{m: frame("output_stream_data", 0, 1, "x")})
		synctest.Wait()
		for _, c := range []struct {
			more string
			held int
		}{{strings.Repeat("x", 1<<10), 1}, {strings.Repeat("x", 500), 0}} {
			text := `{"AcknowledgedMessageSequenceNumber":0,"more":"` + c.more + `"}`
			_ = client.up.put(item{m: frame("acknowledge", 0, 0, text)})
			synctest.Wait()
			if _, frames, _, _ := r.Held(relay.Client); frames != c.held {
				t.Errorf("after an acknowledgement of %d bytes %d frames are held", len(text), frames)
			}
		}
		if i, _ := agent.down.get(); i.m.Type != "acknowledge" || len(i.m.Payload) > 1<<10 {
			t.Errorf("the agent got %s of %d bytes", i.m.Type, len(i.m.Payload))
		}
		client.kill()
		agent.kill()
		served.Wait()
	})
}

// TestTogether has an agent wait earlier when all sessions together hold too much, and go on when its own client has taken what is held.
func TestTogether(t *testing.T) {
	for _, others := range []int64{0, 1 << 30} {
		synctest.Test(t, func(t *testing.T) {
			var together atomic.Int64
			together.Store(others)
			r := relay.New("s", "t", new(news), relay.Options{Begins: true, Together: &together})
			r.Watch(0, func(int64, []byte) {})
			client, agent := newSocket(1<<20), newSocket(1<<20)
			var served sync.WaitGroup
			served.Go(func() { _ = r.Serve(agent, relay.Agent) })
			for i := range int64(10) {
				_ = agent.up.put(item{m: frame("output_stream_data", i, 1, strings.Repeat("x", 50_000))})
			}
			synctest.Wait()
			if held := together.Load() - others; held < 500_000 {
				t.Errorf("%d bytes are counted", held)
			}
			served.Go(func() { _ = r.Serve(client, relay.Client) })
			_ = client.up.put(item{m: frame("input_stream_data", 0, 1, "x")})
			for i := int64(9); i >= 0; i-- { // what is acknowledged before its turn is held for a while
				synctest.Wait()
				_ = client.up.put(item{m: acknowledgement("output_stream_data", "", i)})
			}
			synctest.Wait()
			var heard []string
			for len(agent.down.items) > 0 {
				if i, _ := agent.down.get(); i.m != nil && strings.HasSuffix(i.m.Type, "_publication") {
					heard = append(heard, i.m.Type)
				}
			}
			if waits := slices.Contains(heard, "pause_publication"); waits != (others > 0) {
				t.Errorf("while others hold %d bytes the agent hears %q", others, heard)
			}
			if strings.Contains(r.String(), "pausing true") {
				t.Error("the agent still waits")
			}
			_ = agent.up.put(item{m: frame("output_stream_data", 10, 1, strings.Repeat("x", 50_000))})
			synctest.Wait()
			r.Close("")
			if held := together.Load() - others; held != 0 {
				t.Errorf("%d bytes are counted for a session that is over", held)
			}
			client.kill()
			agent.kill()
			served.Wait()
		})
	}
}

// TestStale has a stream say more after another has taken its place.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relay.New("s", "t", new(news), relay.Options{})
		lines := []*line{newLine(), newLine(), newLine()}
		ended := make([]error, len(lines))
		var served sync.WaitGroup
		for i, l := range lines {
			served.Go(func() { ended[i] = r.Serve(l, relay.Agent) })
			synctest.Wait()
		}
		lines[0].up <- frame("output_stream_data", 0, 1, "x")
		lines[1].up <- acknowledgement("input_stream_data", "", 0)
		synctest.Wait()
		if _, frames, _, _ := r.Held(relay.Client); frames != 0 || ended[0] == nil || ended[1] == nil {
			t.Errorf("%d frames are held; %v, %v", frames, ended[0], ended[1])
		}
		close(lines[2].up)
		served.Wait()
	})
}

// TestKeepalive pings those that are idle, and gives a client time.
func TestKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relay.New("s", "t", new(news), relay.Options{})
		var served sync.WaitGroup
		sockets := []*socket{newSocket(1000), newSocket(1000)}
		for role, s := range sockets {
			served.Go(func() { _ = r.Serve(s, relay.Role(role)) })
		}
		synctest.Wait()
		for range 200 { // ten minutes
			time.Sleep(3 * time.Second)
			r.Tick(time.Now())
		}
		synctest.Wait()
		for role, s := range sockets {
			if n := len(s.down.items); n < 20 || n > 24 { // a proxy forgets what is silent for a minute. source: agent
				t.Errorf("%d was pinged %d times", role, n)
			}
			s.kill()
		}
		if sockets[relay.Client].silence <= 5*time.Minute || sockets[relay.Agent].silence <= 54*time.Second { // what they ping by themselves. source: agent
			t.Errorf("they may be silent for %v, %v", sockets[relay.Client].silence, sockets[relay.Agent].silence)
		}
		served.Wait()
	})
}

// TestHeldUp loses the connection of a client that is held up: nobody reads from it, and yet it is noticed.
func TestHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := new(news)
		r := relay.New("s", "t", n, relay.Options{Begins: true, Window: 4 << 10})
		s := newSocket(1 << 20)
		var served sync.WaitGroup
		served.Go(func() { _ = r.Serve(s, relay.Client) })
		for i := range int64(100) {
			_ = s.up.put(item{m: frame("input_stream_data", i, 1, strings.Repeat("x", 1000))})
		}
		synctest.Wait()
		if bytes, _, _, _ := r.Held(relay.Agent); bytes > 8<<10 {
			t.Errorf("%d bytes are held", bytes)
		}
		s.kill()
		time.Sleep(30 * time.Second)
		r.Tick(time.Now())
		synctest.Wait()
		if got := n.String(); got != "connected 0, lost 0" {
			t.Errorf("the news are %s", got)
		}
		r.Close("")
		served.Wait()
	})
}

// TestIdle holds that a session costs no goroutines but those in which its streams are served, and none when it is over.
func TestIdle(t *testing.T) {
	const sessions = 100
	synctest.Test(t, func(t *testing.T) {
		before := bubble.Goroutines()
		var served sync.WaitGroup
		var sockets []*socket
		for range sessions {
			r := relay.New("s", "t", new(news), relay.Options{})
			for _, role := range []relay.Role{relay.Client, relay.Agent} {
				s := newSocket(1 << 20)
				sockets = append(sockets, s)
				served.Go(func() { _ = r.Serve(s, role) })
			}
			synctest.Wait()
			_ = sockets[len(sockets)-1].up.put(item{m: frame("output_stream_data", 0, 1, "x")})
			_ = sockets[len(sockets)-2].up.put(item{m: acknowledgement("output_stream_data", "", 0)})
			r.Tick(time.Now().Add(time.Minute))
		}
		synctest.Wait()
		if grown := bubble.Goroutines() - before; grown != 2*sessions {
			t.Errorf("%d sessions have %d goroutines", sessions, grown)
		}
		for _, s := range sockets {
			s.kill()
		}
		served.Wait()
		synctest.Wait()
		if grown := bubble.Goroutines() - before; grown != 0 {
			t.Errorf("%d goroutines are left", grown)
		}
	})
}

// TestExtended has a client of ours, which acknowledges what it is given twice, and late what it is given once.
func TestExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Options{})
		for _, p := range w.peers {
			p.start()
		}
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		client.send(6, `{"ProcessedClientActions":[{"ActionType":"VennelExtensions","ActionStatus":1}]}`)
		client.send(1, "x")
		client.settles()
		client.mu.Lock()
		client.unready = true // as if its user did not read
		client.mu.Unlock()
		agent.send(1, "a")
		time.Sleep(time.Minute)
		client.kill()
		time.Sleep(time.Minute)
		agent.mu.Lock()
		if len(agent.unacked) != 1 {
			t.Error("a frame that the client has not taken was acknowledged")
		}
		agent.mu.Unlock()
		client.mu.Lock()
		client.unready = false
		client.mu.Unlock()
		client.gets("a")
		agent.settles()
	})
}

// TestLostAcknowledgements cuts an agent off from many acknowledgements at once: it hears of all of them when it asks
// for the first, and not one by one.
func TestLostAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, relay.Options{})
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		agent.race = true
		down := agent.transfer(1000, nil)
		client.gets(down)
		agent.race = false
		agent.kill()
		begin := time.Now()
		agent.settles()
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestSlowReader has a client that reads slowly or not at all: the agent waits, what is held is bounded, keystrokes go
// through, and all arrives in the end.
func TestSlowReader(t *testing.T) {
	const window = 256 << 10
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Options{Begins: true, Window: window})
		w.room = 64 << 10
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		stopped := make(chan struct{})
		var reading sync.Mutex
		client.read = func(m *api.Message) {
			if m.Type == "output_stream_data" && m.Sequence == 10 {
				<-stopped // control-S
			}
			reading.Lock()
			defer reading.Unlock()
			time.Sleep(3 * time.Millisecond)
		}
		client.start()
		agent.start()
		synctest.Wait()
		var down string
		var sending sync.WaitGroup
		sending.Go(func() { down = agent.transfer(4000, nil) })
		time.Sleep(10 * time.Minute)
		bytes, _, flying, _ := w.relay.Held(relay.Client)
		if bytes > window+64<<10 || bytes < window || flying > window {
			t.Errorf("%d bytes are held, %d on their way", bytes, flying)
		}
		agent.mu.Lock()
		if !agent.paused {
			t.Error("the agent was not asked to wait")
		}
		agent.mu.Unlock()
		start := time.Now()
		client.send(1, "x")
		agent.gets("x")
		if took := time.Since(start); took > time.Millisecond {
			t.Errorf("a keystroke took %v", took)
		}
		time.Sleep(time.Minute)
		if bytes, _, _, _ = w.relay.Held(relay.Client); bytes > window+64<<10 {
			t.Errorf("%d bytes are held after a keystroke", bytes)
		}
		close(stopped)
		done := make(chan struct{})
		go func() {
			defer close(done)
			sending.Wait()
		}()
		for most := 0; ; {
			select {
			case <-done:
				client.gets(down)
				agent.settles()
				if most > 2*window {
					t.Errorf("%d bytes were held", most)
				}
				return
			case <-time.After(10 * time.Millisecond):
				bytes, _, _, _ := w.relay.Held(relay.Client)
				most = max(most, bytes)
			}
		}
	})
}

// TestBlockedAgent has a node that does not take its input: the client is held up, and output still reaches it.
func TestBlockedAgent(t *testing.T) {
	const window = 256 << 10
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, relay.Options{Window: window})
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		agent.mu.Lock()
		agent.got, agent.blocked = nil, make(chan struct{})
		agent.mu.Unlock()
		var up string
		var sending sync.WaitGroup
		sending.Go(func() { up = client.transfer(8000, nil) }) // its socket holds a mebibyte
		time.Sleep(time.Minute)
		if bytes, _, _, _ := w.relay.Held(relay.Agent); bytes > window+64<<10 || bytes < window {
			t.Errorf("%d bytes are held", bytes)
		}
		agent.send(1, "still here")
		client.gets("still here")
		agent.mu.Lock()
		close(agent.blocked)
		agent.blocked = nil
		agent.mu.Unlock()
		sending.Wait()
		agent.gets(up)
		client.settles()
	})
}

// TestEcho has a program that gives back what it reads, and waits while it cannot: neither direction may wait for the
// other for ever.
func TestEcho(t *testing.T) {
	const window, frames = 256 << 10, 3000
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Options{Window: window})
		w.room = 128 << 10
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		agent.read = func(m *api.Message) {
			if m.Type == "input_stream_data" && m.Sequence == agent.expected {
				agent.send(1, string(m.Payload))
			}
		}
		slow := time.Now().Add(time.Minute)
		client.read = func(m *api.Message) {
			if time.Now().Before(slow) {
				time.Sleep(time.Until(slow)) // then all at once
			}
		}
		client.start()
		agent.start()
		synctest.Wait()
		up := client.transfer(frames, nil)
		client.gets(up)
		agent.gets(up)
		client.settles()
		agent.settles()
	})
}

// TestStandstill has a node that takes nothing and a client that takes nothing, while each sends: their relay
// ends it when there is too much, and no earlier.
func TestStandstill(t *testing.T) {
	const window = 64 << 10
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, relay.Options{Window: window})
		w.room = 16 << 10
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		stuck := make(chan struct{})
		defer close(stuck)
		for _, p := range w.peers {
			p.kill()
			p.mu.Lock()
			p.blocked = stuck
			p.mu.Unlock()
		}
		time.Sleep(time.Second)
		w.all.Go(func() { agent.transfer(100, nil) })
		w.all.Go(func() { client.transfer(1000, nil) })
		time.Sleep(2 * time.Second)
		if got := w.news.String(); strings.Contains(got, "failed") {
			t.Errorf("the news are %s", got)
		}
		time.Sleep(10 * time.Minute)
		if got := w.news.String(); !strings.Contains(got, "failed: More data was sent in the session than its receiver takes") {
			t.Errorf("the news are %s", got)
		}
	})
}

// TestFinish gives a client the tail of its output before it says that the session is over.
func TestFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, relay.Options{})
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		client.kill()
		agent.send(1, "tail")
		synctest.Wait()
		w.relay.Finish("over", time.Minute)
		client.gets("tail")
		if told := client.ends(); !strings.Contains(told, `"Output":"over"`) {
			t.Errorf("it was told %s", told)
		}
		agent.ends()
	})
	synctest.Test(t, func(t *testing.T) { // a client that is not there
		w := newWorld(t, relay.Options{})
		w.peers[relay.Agent].start()
		w.peers[relay.Agent].send(1, "tail")
		synctest.Wait()
		w.relay.Finish("over", time.Minute)
		time.Sleep(time.Minute + time.Second)
		client := w.peers[relay.Client]
		client.start()
		if told := client.ends(); !strings.Contains(told, `"Output":"over"`) || len(client.got) > 0 {
			t.Errorf("it was told %s after %q", told, client.got)
		}
	})
	synctest.Test(t, func(t *testing.T) { // an agent that still sends when all is over can end: what it says is taken
		w := begin(t, relay.Options{})
		w.relay.Close("")
		w.peers[relay.Agent].send(1, "too late")
		w.peers[relay.Agent].settles()
	})
}

// TestActive counts what people and programs say, and nothing else.
func TestActive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, relay.Options{})
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		began := w.relay.Active()
		for _, c := range []struct {
			p       *peer
			kind    uint32
			payload string
			active  bool
		}{
			{client, 3, "{}", false},
			{client, 1, "\x01\x03\x00\x00\x00\x00\x00\x00", false}, // a NOP of smux. source: agent
			{client, 1, "\x00\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x07", false},
			{client, 10, "\x00\x00\x00\x01", false},
			{client, 1, "x", true},
			{agent, 5, "{}", false},
			{agent, 1, "x", true},
			{agent, 11, "x", true},
			{agent, 1, "\x01\x02\x00\x00\x00\x00\x00\x00", true},
		} {
			time.Sleep(time.Minute)
			before := w.relay.Active()
			c.p.send(c.kind, c.payload)
			c.p.settles()
			if active := w.relay.Active().After(before); active != c.active {
				t.Errorf("type %d %q of %d: active is %v", c.kind, c.payload, c.p.role, active)
			}
		}
		agent.race = true
		agent.send(1, "again")
		at := w.relay.Active()
		agent.settles()
		if w.relay.Active() != at || !at.After(began) {
			t.Error("a repeated frame counts")
		}
	})
}

// TestWatch writes a transcript: in order, and only of what is not encrypted.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, relay.Options{Begins: true})
		client, agent := w.peers[relay.Client], w.peers[relay.Agent]
		var hearing sync.Mutex
		var heard strings.Builder
		w.relay.Watch(0, func(_ int64, output []byte) {
			hearing.Lock()
			defer hearing.Unlock()
			heard.Write(output)
		})
		client.start()
		agent.start()
		client.send(3, "{}")
		lost := true
		agent.tampered = func(m *api.Message) int {
			if m.Sequence%7 == 3 && lost {
				return 0 // what follows is acknowledged before it comes
			}
			return 1
		}
		agent.send(5, `{"AgentVersion":"3.3.0.0","RequestedClientActions":[{"ActionType":"SessionType","ActionParameters":{"SessionType":"Standard_Stream"}}]}`)
		agent.send(7, "{}")
		all := agent.transfer(50, nil)
		agent.send(11, "error")
		agent.send(12, "EXIT_CODE: 0")
		agent.settles()
		synctest.Wait()
		hearing.Lock()
		defer hearing.Unlock()
		if heard.String() != all+"error" {
			t.Errorf("the transcript has %d bytes other than the %d of the output", heard.Len(), len(all)+5)
		}
		if bytes, frames, _, _ := w.relay.Held(relay.Client); bytes != 0 || frames != 0 {
			t.Errorf("%d bytes of %d frames are still held", bytes, frames)
		}
	})
	synctest.Test(t, func(t *testing.T) { // after a restart, from a number on
		w := newWorld(t, relay.Options{})
		var heard []string
		w.relay.Watch(4, func(next int64, output []byte) { heard = append(heard, string(output)+strconv.FormatInt(next, 10)) })
		w.peers[relay.Agent].start()
		w.peers[relay.Client].start()
		for _, text := range []string{"a", "b", "c", "d", "e", "f"} {
			w.peers[relay.Agent].send(1, text)
		}
		w.peers[relay.Agent].settles()
		synctest.Wait()
		if !slices.Equal(heard, []string{"e5", "f6"}) {
			t.Errorf("heard %q", heard)
		}
	})
	for _, request := range []string{
		`{"RequestedClientActions":[{"ActionType":"SessionType"},{"ActionType":"KMSEncryption","ActionParameters":{"KMSKeyId":"k"}}]}`, "what?",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, relay.Options{})
			w.relay.Watch(0, func(int64, []byte) { t.Error("something of an encrypted session was heard") })
			w.peers[relay.Agent].start()
			w.peers[relay.Client].start()
			w.peers[relay.Agent].send(5, request)
			w.peers[relay.Agent].send(1, "secret")
			w.peers[relay.Agent].settles()
		})
	}
}

// TestHostile says what no official peer says.
func TestHostile(t *testing.T) {
	ack := func(n string) *api.Message {
		return frame("acknowledge", 0, 0, `{"AcknowledgedMessageType":"output_stream_data","AcknowledgedMessageSequenceNumber":`+n+`}`)
	}
	for name, c := range map[string]struct {
		role relay.Role
		send []*api.Message
		ends bool
	}{
		"a negative number":           {relay.Agent, []*api.Message{frame("output_stream_data", -1, 1, "x")}, true},
		"the highest number":          {relay.Agent, []*api.Message{frame("output_stream_data", math.MaxInt64, 1, "x")}, true},
		"a number far ahead":          {relay.Agent, []*api.Message{frame("output_stream_data", 1, 1, "x"), frame("output_stream_data", 1<<40, 1, "x")}, true},
		"a number far ahead, input":   {relay.Client, []*api.Message{frame("input_stream_data", 1, 1, "x"), frame("input_stream_data", 200_000, 1, "x")}, true},
		"acknowledges nothing":        {relay.Client, []*api.Message{ack("0"), ack("7"), ack("-1"), ack("9223372036854775807"), ack("1e3"), ack(`"5"`), ack("9223372036854775808")}, false},
		"no JSON":                     {relay.Client, []*api.Message{frame("acknowledge", 0, 0, "{"), frame("acknowledge", 0, 0, ""), frame("acknowledge", 0, 0, "[]")}, false},
		"a lot of JSON":               {relay.Client, []*api.Message{frame("acknowledge", 0, 0, strings.Repeat("[", 1<<20))}, false},
		"a deep state":                {relay.Agent, []*api.Message{frame("agent_session_state", 0, 0, strings.Repeat("[", 1<<20))}, false},
		"the other's data":            {relay.Client, []*api.Message{frame("output_stream_data", 0, 1, "x"), frame("agent_session_state", 0, 0, `{"SessionState":"Terminating"}`)}, false},
		"the server's messages":       {relay.Client, []*api.Message{frame("channel_closed", 0, 0, "{}"), frame("pause_publication", 0, 0, ""), frame("interactive_shell", 0, 0, "")}, false},
		"the server's to an agent":    {relay.Agent, []*api.Message{frame("channel_closed", 0, 0, "{}"), frame("start_publication", 0, 0, ""), frame("input_stream_data", 0, 1, "x")}, false},
		"a response that is no JSON":  {relay.Client, []*api.Message{frame("input_stream_data", 0, 6, "\xff{")}, false},
		"a frame of nothing":          {relay.Client, []*api.Message{frame("input_stream_data", 0, 1, "")}, false},
		"frames from before its time": {relay.Agent, early(3000), false},
		"a frame a thousand times":    {relay.Agent, many(1000, frame("output_stream_data", 0, 1, "x")), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := new(news)
				r := relay.New("s", "t", n, relay.Options{})
				sockets := [2]*socket{newSocket(1 << 30), newSocket(1 << 30)}
				ended := [2]error{}
				var served sync.WaitGroup
				for role, s := range sockets {
					served.Go(func() { ended[role] = r.Serve(s, relay.Role(role)) })
				}
				for _, m := range c.send {
					_ = sockets[c.role].up.put(item{m: m})
				}
				synctest.Wait()
				if err := r.Check(); err != nil {
					t.Error(err)
				}
				if e, refused := errors.AsType[*api.Error](ended[c.role]); refused != c.ends || refused && e.Reason != api.Unserializable {
					t.Errorf("Serve gave %v", ended[c.role])
				}
				if strings.Contains(n.String(), "ending") && c.role == relay.Client {
					t.Errorf("the news are %s", n)
				}
				for role, s := range sockets {
					s.down.mu.Lock()
					for _, i := range s.down.items {
						if i.m != nil && (i.m.Type == data(relay.Role(role)) || i.m.Type == "channel_closed") {
							t.Errorf("%d was sent a message of type %s", role, i.m.Type)
						}
					}
					if len(s.down.items) > len(c.send)+10 {
						t.Errorf("%d was sent %d messages", role, len(s.down.items))
					}
					s.down.mu.Unlock()
					s.kill()
				}
				served.Wait()
				if !c.ends && ended[c.role] != io.EOF { //nolint:errorlint // as a stream gives it
					t.Errorf("Serve gave %v", ended[c.role])
				}
			})
		})
	}
}

// early are frames in the order that is worst for a relay which begins in the middle.
func early(n int64) (all []*api.Message) {
	for ; n >= 0; n-- {
		all = append(all, frame("output_stream_data", n*2, 1, "x"))
	}
	return all
}

// many is a frame many times.
func many(n int, m *api.Message) (all []*api.Message) {
	for range n {
		all = append(all, m)
	}
	return all
}

// TestNeverReads has peers that read nothing, not even that all is over.
func TestNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relay.New("s", "t", new(news), relay.Options{})
		client, agent := newSocket(100), newSocket(100)
		var served sync.WaitGroup
		served.Go(func() { _ = r.Serve(client, relay.Client) })
		served.Go(func() { _ = r.Serve(agent, relay.Agent) })
		for i := range int64(10) {
			_ = agent.up.put(item{m: frame("output_stream_data", i, 1, "x")})
			_ = client.up.put(item{m: frame("input_stream_data", i, 1, "x")})
		}
		synctest.Wait()
		begin := time.Now()
		r.Close("")
		served.Wait()
		if took := time.Since(begin); took > time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// TestFlood has an agent that neither waits nor ends: the session does.
func TestFlood(t *testing.T) {
	for name, payload := range map[string]string{"of bytes": strings.Repeat("x", 64<<10), "of frames": "x"} {
		synctest.Test(t, func(t *testing.T) {
			n := new(news)
			r := relay.New("s", "t", n, relay.Options{})
			s := newSocket(1 << 20)
			var served sync.WaitGroup
			served.Go(func() { _ = r.Serve(s, relay.Agent) })
			most, i := 0, int64(0)
			for ; !strings.Contains(n.String(), "failed") && i < 200_000; i++ {
				if s.up.put(item{m: frame("output_stream_data", i, 1, payload)}) != nil {
					break
				}
				if i%100 == 0 {
					bytes, _, _, _ := r.Held(relay.Client)
					most = max(most, bytes)
				}
			}
			synctest.Wait()
			if most > 80<<20 || !strings.Contains(n.String(), "failed") {
				t.Errorf("%s: %d bytes were held of %d frames; %s", name, most, i, n)
			}
			if bytes, frames, _, slots := r.Held(relay.Client); bytes != 0 || frames != 0 || slots != 0 {
				t.Errorf("%s: %d bytes of %d frames are still held", name, bytes, frames)
			}
			s.kill()
			served.Wait()
		})
	}
}
