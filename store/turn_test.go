package store

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestTurn has many who wait, some of whom give up, and checks that one holds the turn at a time and that it never gets lost.
func TestTurn(t *testing.T) {
	var turn turn
	var holding, had, left atomic.Int64
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			ctx := t.Context()
			if i%3 == 0 {
				short, cancel := context.WithTimeout(ctx, time.Duration(i)*time.Microsecond)
				defer cancel()
				ctx = short
			}
			for range 50 {
				if err := turn.take(ctx); err != nil {
					left.Add(1)
					continue
				}
				if holding.Add(1) != 1 {
					t.Error("two hold the turn")
				}
				had.Add(1)
				holding.Add(-1)
				if turn.pass() {
					continue
				}
				if holding.Add(1) != 1 { // It stayed ours.
					t.Error("two hold the turn")
				}
				holding.Add(-1)
				turn.give()
			}
		})
	}
	wg.Wait()
	if had.Load()+left.Load() != 200*50 || had.Load() < 133*50 {
		t.Errorf("%d had it, %d left", had.Load(), left.Load())
	}
	done, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := turn.take(done); err != nil {
		t.Errorf("the turn is lost: %v", err)
	}
}
