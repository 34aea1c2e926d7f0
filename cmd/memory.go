package cmd

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// spareHeap is memory that is counted as used and never touched, so that the kernel never gives it. The garbage collector runs when the heap has doubled: a
// small server, which has a few megabytes in use, would else collect dozens of times in each second of work.
const spareHeap = 32 << 20

// How often to look whether many nodes come or go, how many those are, after how many looks it is over, by how much the heap may grow meanwhile before
// garbage is collected, in per cent, and how often to collect garbage when it is over: pools are empty after the second time, and each halves the stacks
// that are too large.
const (
	lookAfter = time.Second
	manyMoves = 20
	calmLooks = 5
	stormGrow = 25
	settling  = 3
)

// keepTogether keeps together in memory what idle streams need. To open one takes ten times as much for a moment, which would lie between: of each piece of
// memory from which garbage was collected a little would stay in use. So while many nodes come, as after a restart, garbage is collected after less of it;
// and when they have come, what is left over is given back.
func (s *Server) keepTogether(ctx context.Context) error {
	usual := debug.SetGCPercent(stormGrow)
	debug.SetGCPercent(usual)
	defer debug.SetGCPercent(usual)
	tick := time.NewTicker(lookAfter)
	defer tick.Stop()
	for last, storm := s.Mux.Moves(), 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		moves := s.Mux.Moves()
		switch {
		case moves-last >= manyMoves:
			debug.SetGCPercent(stormGrow)
			storm = calmLooks
		case storm > 0:
			if storm--; storm == 0 {
				debug.SetGCPercent(usual)
				for range settling {
					debug.FreeOSMemory()
				}
			}
		}
		last = moves
	}
}

// How often a process that mostly waits looks whether it does, how many bytes it may make between two looks when it does, and how many it must have made
// since memory was given back to give it back again.
const (
	idleLook   = 2 * time.Second
	idleMakes  = 64 << 10
	worthwhile = 1 << 20
)

// oneAtATime has a process that serves one session use one core. Its goroutines hand one message to each other, and to do that from core to
// core costs more than the other core brings; one carries several hundred megabytes in a second. GOMAXPROCS says otherwise.
func oneAtATime() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}

// giveBack gives memory back whenever a process has done something and has nothing to do any more, until ctx ends. The garbage collector leaves four
// megabytes alone, and what a burst of work took stays for as long as nothing happens: of a process for each session that is most of it.
func giveBack(ctx context.Context) {
	tick := time.NewTicker(idleLook)
	defer tick.Stop()
	made := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	for last, given := uint64(0), uint64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		metrics.Read(made)
		now := made[0].Value.Uint64()
		if now-last < idleMakes && now-given >= worthwhile {
			for range settling {
				debug.FreeOSMemory()
			}
			given = now
		}
		last = now
	}
}
