package relay_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/ssm/session/relay"
)

// TestAnything has everything go wrong that can, at random: frames are lost on their way to the relay and come twice,
// acknowledgements overtake, handlers dawdle, connections end, the server begins again. Every byte arrives, once and in
// order, in both directions; both senders are told so; and nothing is left of it.
func TestAnything(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { anything(t, seed) }) })
	}
}

// anything is one run of it.
func anything(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // chance is what is wanted
	var chance sync.Mutex
	roll := func(n int) int {
		chance.Lock()
		defer chance.Unlock()
		return r.IntN(n)
	}
	o := relay.Options{Begins: roll(2) == 0, Window: 32<<10 + roll(1<<20)}
	w := newWorld(t, o)
	w.room = 4<<10 + roll(256<<10)
	kills, restarts, losses := roll(8), roll(3)*roll(2), roll(2)
	for _, p := range w.peers {
		p.redial = func() time.Duration { return time.Duration(roll(500)) * time.Millisecond }
		p.tampered = func(*api.Message) int {
			switch n := roll(100); {
			case n < losses:
				return 0
			case n < 10:
				return 2
			}
			return 1
		}
		slow := roll(20)
		p.read = func(*api.Message) { time.Sleep(time.Duration(roll(1+slow*100)) * time.Microsecond) }
		p.race = roll(4) == 0
	}
	w.peers[roll(2)].start()
	time.Sleep(time.Duration(roll(1000)) * time.Millisecond)
	for _, p := range w.peers {
		p.mu.Lock()
		started := p.socket != nil
		p.mu.Unlock()
		if !started {
			p.start()
		}
	}
	client, agent := w.peers[relay.Client], w.peers[relay.Agent]
	synctest.Wait()
	client.send(3, "{}")
	sent := [2]string{}
	var sending sync.WaitGroup
	for role, p := range w.peers {
		n := 50 + roll(400)
		sending.Go(func() {
			var all strings.Builder
			for i := range n {
				for p.waits() {
					time.Sleep(time.Millisecond)
				}
				text := fmt.Sprintf("%*d", 8+roll(2000), i)
				all.WriteString(text)
				p.send(1, text)
				time.Sleep(time.Duration(roll(3000)) * time.Microsecond)
			}
			sent[role] = all.String()
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for kills+restarts > 0 {
			time.Sleep(time.Duration(roll(1000)) * time.Millisecond)
			if n := roll(kills + restarts); n < kills {
				kills--
				w.peers[roll(2)].kill()
			} else {
				restarts--
				o.Begins = false
				w.restart(o)
			}
			if err := w.now().Check(); err != nil {
				t.Error(err)
			}
		}
	}()
	sending.Wait()
	<-done
	client.gets(sent[relay.Agent])
	agent.gets("{}" + sent[relay.Client])
	client.settles()
	agent.settles()
	synctest.Wait()
	last := w.now()
	if err := last.Check(); err != nil {
		t.Error(err)
	}
	for role := range w.peers {
		if bytes, frames, _, _ := last.Held(relay.Role(role)); bytes != 0 || frames != 0 {
			t.Errorf("%d bytes of %d frames are held for %d when all is acknowledged", bytes, frames, role)
		}
	}
	if strings.Contains(w.news.String(), "failed") {
		t.Errorf("the news are %s", w.news)
	}
}
