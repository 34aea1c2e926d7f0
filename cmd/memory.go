package cmd

import (
	"context"
	"runtime/debug"
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
