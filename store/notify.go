package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// mostKeys is how many distinct keys a subscription holds before it answers "*".
const mostKeys = 65536

// Everything is the key that stands for all keys of a topic: more were notified than a Subscription holds.
const Everything = "*"

// topics are the wake-ups of a database by topic.
type topics struct {
	byName sync.Map // name to *topic; topics are few and never removed
}

// topic is who waits for it and how often it was notified.
type topic struct {
	seq atomic.Uint64

	mu   sync.Mutex
	subs map[*Subscription]struct{} // guarded by mu
}

// get returns the topic of that name.
func (t *topics) get(name string) *topic {
	if found, ok := t.byName.Load(name); ok {
		return found.(*topic)
	}
	found, _ := t.byName.LoadOrStore(name, &topic{subs: map[*Subscription]struct{}{}})
	return found.(*topic)
}

// deliver counts one commit for each topic among notes and hands the keys to the subscribers.
func (t *topics) deliver(notes []note) {
	if len(notes) == 0 {
		return
	}
	counted := make(map[*topic]struct{}, 1)
	for _, n := range notes {
		topic := t.get(n.topic)
		if _, ok := counted[topic]; !ok {
			counted[topic] = struct{}{}
			topic.seq.Add(1)
		}
	}
	for _, n := range notes {
		topic := t.get(n.topic)
		topic.mu.Lock()
		for s := range topic.subs {
			s.add(n.key)
		}
		topic.mu.Unlock()
	}
}

// close ends all subscriptions.
func (t *topics) close() {
	t.byName.Range(func(_, value any) bool {
		topic := value.(*topic)
		topic.mu.Lock()
		defer topic.mu.Unlock()
		for s := range topic.subs {
			s.end()
		}
		clear(topic.subs)
		return true
	})
}

// Seq returns how many commits have notified topic, in this process. It has already grown when the Update that did it returns. A cache reads it
// before it reads rows, and is good as long as it reads the same again.
func (db *DB) Seq(topic string) uint64 {
	return db.topics.get(topic).seq.Load()
}

// Subscribe begins to collect the keys that are notified on topic. Rows are the truth: a subscriber first subscribes, then looks at the rows, then
// waits for keys.
func (db *DB) Subscribe(topic string) *Subscription {
	s := &Subscription{topic: db.topics.get(topic), wake: make(chan struct{}, 1), ended: make(chan struct{})}
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	if errors.Is(db.ended(), ErrClosed) {
		s.end()
	} else {
		s.topic.subs[s] = struct{}{}
	}
	return s
}

// Subscription collects the keys of one topic.
type Subscription struct {
	topic *topic
	wake  chan struct{} // holds a token while there may be keys
	ended chan struct{} // closed by Close

	mu       sync.Mutex
	keys     []string            // guarded by mu; in the order of their first notification
	seen     map[string]struct{} // guarded by mu; the members of keys
	overflow bool                // guarded by mu; keys would have become too many
	over     bool                // guarded by mu; ended is closed
}

// add collects one key.
func (s *Subscription) add(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.seen[key]; ok || s.overflow {
		return
	}
	if len(s.keys) == mostKeys {
		s.keys, s.seen, s.overflow = nil, nil, true
		return
	}
	if s.seen == nil {
		s.seen = map[string]struct{}{}
	}
	s.seen[key] = struct{}{}
	s.keys = append(s.keys, key)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Next waits until there are keys that it has not returned yet, and returns them, each once, in the order of their first notification. If more than
// 65,536 came together, it returns the single key [Everything]: look at all of them. It fails when ctx is done, and with ErrClosed after
// Close of the subscription or the database.
func (s *Subscription) Next(ctx context.Context) ([]string, error) {
	for {
		select {
		case <-s.ended:
			return nil, ErrClosed
		default:
		}
		if keys := s.take(); keys != nil {
			return keys, nil
		}
		select {
		case <-s.wake:
		case <-s.ended:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// take empties the subscription.
func (s *Subscription) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := s.keys
	if s.overflow {
		keys = []string{Everything}
	}
	s.keys, s.seen, s.overflow = nil, nil, false
	return keys
}

// Close ends the subscription; a waiting Next returns ErrClosed.
func (s *Subscription) Close() {
	s.topic.mu.Lock()
	delete(s.topic.subs, s)
	s.topic.mu.Unlock()
	s.end()
}

// end lets Next return.
func (s *Subscription) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over = true
		close(s.ended)
	}
}
