package bubble_test

import (
	"testing"
	"testing/synctest"

	"github.com/vennel/vennel/internal/bubble"
)

// TestGoroutines counts those inside, not those outside.
func TestGoroutines(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	go func() { <-stop }()
	synctest.Test(t, func(t *testing.T) {
		before, end := bubble.Goroutines(), make(chan struct{})
		for range 7 {
			go func() { <-end }()
		}
		synctest.Wait()
		if n := bubble.Goroutines() - before; n != 7 {
			t.Errorf("7 goroutines are %d", n)
		}
		close(end)
		synctest.Wait()
		if n := bubble.Goroutines(); n != before {
			t.Errorf("%d goroutines are left of %d", n, before)
		}
	})
	if n := bubble.Goroutines(); n < 2 {
		t.Errorf("outside are %d goroutines", n)
	}
}
