package store

import (
	"container/list"
	"context"
	"sync"
)

// turn is a lock that is taken in the order of arrival, whose holder knows whether somebody waits for it, and can rely on that.
type turn struct {
	mu      sync.Mutex
	taken   bool      // guarded by mu
	waiting list.List // guarded by mu; of chan struct{}, each closed when it is its owner's turn
}

// take waits for the turn.
func (t *turn) take(ctx context.Context) error {
	t.mu.Lock()
	if !t.taken {
		t.taken = true
		t.mu.Unlock()
		return nil
	}
	mine := make(chan struct{})
	place := t.waiting.PushBack(mine)
	t.mu.Unlock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-mine:
		return nil // Whoever passed it to us counts on us, so it is too late to leave.
	default:
		t.waiting.Remove(place)
		return ctx.Err()
	}
}

// pass gives the turn to the one who waits longest, and says whether there was one. If not, it stays with the caller.
func (t *turn) pass() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next()
}

// give gives the turn up.
func (t *turn) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken = t.next()
}

// next is pass with mu held.
func (t *turn) next() bool {
	first := t.waiting.Front()
	if first == nil {
		return false
	}
	close(t.waiting.Remove(first).(chan struct{}))
	return true
}
