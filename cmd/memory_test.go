package cmd

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// TestGiveBack gives memory back once when something was done and nothing is any more.
func TestGiveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		forced := func() uint32 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.NumForcedGC
		}
		go giveBack(ctx)
		collected := func(d time.Duration) uint32 {
			before := forced()
			time.Sleep(d)
			synctest.Wait()
			return forced() - before
		}
		collected(3 * idleLook) // what the test itself has made
		work := make([]byte, 2*worthwhile)
		if n := collected(idleLook); n != 0 {
			t.Errorf("garbage was collected %d times while there was work", n)
		}
		if n := collected(idleLook); n != settling {
			t.Errorf("garbage was collected %d times after the work", n)
		}
		if n := collected(10 * idleLook); n != 0 {
			t.Errorf("garbage was collected %d times while nothing happened", n)
		}
		runtime.KeepAlive(work)
	})
}
