package relay_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/ssm/session/relay"
)

// begin starts a shell session and types into it: from then on the plugin takes output.
func begin(t *testing.T, o relay.Options) *world {
	w := newWorld(t, o)
	for _, p := range w.peers {
		p.start()
	}
	synctest.Wait()
	w.peers[relay.Client].send(3, "{}")
	w.peers[relay.Client].settles()
	w.peers[relay.Agent].got = nil
	return w
}

// transfer has a peer send some frames of a kibibyte, one a millisecond as official ones do, and now and then does
// something else.
func (p *peer) transfer(frames int, meanwhile func(i int)) string {
	var all strings.Builder
	for i := range frames {
		p.mu.Lock()
		for p.paused && !p.stopped {
			p.changed.Wait()
		}
		p.mu.Unlock()
		text := fmt.Sprintf("%1024d", i)
		all.WriteString(text)
		p.send(1, text)
		time.Sleep(time.Millisecond)
		if meanwhile != nil {
			meanwhile(i)
		}
	}
	return all.String()
}

// TestFaults transfers in both directions while something goes wrong: all arrives, once and in order, and both
// peers are told so.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		prepare   func(w *world)
		meanwhile func(w *world, i int)
		idle      bool          // the client sends nothing meanwhile: one that does ends when it is cut off
		within    time.Duration // after the transfer
	}{
		"nothing": {within: time.Second},
		"acknowledgements that overtake": {
			prepare: func(w *world) { w.peers[relay.Agent].race, w.peers[relay.Client].race = true, true }, within: 10 * time.Minute,
		},
		"the client is cut off seven times": {
			meanwhile: func(w *world, i int) {
				if i%140 == 139 {
					w.peers[relay.Client].kill()
				}
			}, idle: true, within: 2 * time.Second,
		},
		"the agent is cut off": {
			meanwhile: func(w *world, i int) {
				if i == 500 {
					w.peers[relay.Agent].kill()
				}
			}, within: 30 * time.Second,
		},
		"each is cut off in turn": {
			meanwhile: func(w *world, i int) {
				if i%140 == 139 {
					w.peers[i/140%2].kill()
				}
			}, within: 4 * time.Minute,
		},
		"both are cut off at once": {
			meanwhile: func(w *world, i int) {
				if i == 500 {
					w.peers[0].kill()
					w.peers[1].kill()
				}
			}, within: 30 * time.Second,
		},
		"the server is restarted": {
			meanwhile: func(w *world, i int) {
				if i == 500 {
					w.restart(relay.Options{})
				}
			}, within: 30 * time.Second,
		},
		"the server is restarted twice": {
			meanwhile: func(w *world, i int) {
				if i == 300 || i == 700 {
					w.restart(relay.Options{})
				}
			}, within: time.Minute,
		},
		"every third frame comes twice": {
			prepare: func(w *world) {
				for _, p := range w.peers {
					p.tampered = func(m *api.Message) int { return 1 + int(m.Sequence%3)/2 }
				}
			}, within: time.Second,
		},
		"frames that an agent writes into a dead connection": {
			prepare: func(w *world) {
				w.peers[relay.Agent].tampered = func(m *api.Message) int {
					if m.Sequence > 300 && m.Sequence < 340 {
						return 0
					}
					return 1
				}
			}, within: time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := begin(t, relay.Options{})
				if c.prepare != nil {
					c.prepare(w)
				}
				client, agent := w.peers[relay.Client], w.peers[relay.Agent]
				var up string
				done := make(chan struct{})
				go func() {
					defer close(done)
					if !c.idle {
						up = client.transfer(500, nil)
					}
				}()
				down := agent.transfer(1000, func(i int) {
					if c.meanwhile != nil {
						c.meanwhile(w, i)
					}
				})
				<-done
				sent := time.Now()
				client.gets(down)
				agent.gets(up)
				agent.settles()
				client.settles()
				if took := time.Since(sent); took > c.within {
					t.Errorf("it took %v more", took)
				}
			})
		})
	}
}
