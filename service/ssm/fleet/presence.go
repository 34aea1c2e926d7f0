package fleet

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/store"
)

// presence is when nodes were last heard of. It lives in memory and is written down in batches: a
// row update for each heartbeat would be most of what a large fleet makes a disk do.
type presence struct {
	mu      sync.Mutex
	seen    map[string]int64 // milliseconds; guarded by mu
	changed map[string]bool  // since it was last written; guarded by mu
}

// presenceEvery is how often presence is written down. A crash forgets at most that much, which is
// a small part of LostAfter.
const presenceEvery = 30 * time.Second

// presenceChunk bounds the rows of one transaction.
const presenceChunk = 5000

// Seen notes that a node was heard of.
func (f *Fleet) Seen(node string, at time.Time) {
	p := &f.presence
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[node] = at.UnixMilli()
	p.changed[node] = true
}

// forget drops a node that is gone.
func (p *presence) forget(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.seen, node)
	delete(p.changed, node)
}

// latest is when a node was heard of: what memory says, or else what was written down; heard is
// false when it never was.
func (f *Fleet) latest(node string, written int64) (at time.Time, heard bool) {
	f.presence.mu.Lock()
	defer f.presence.mu.Unlock()
	ms := max(f.presence.seen[node], written)
	return time.UnixMilli(ms).UTC(), ms > 0
}

// online says whether a node is there: it holds its control channel, or was heard of lately.
func (f *Fleet) online(node string, latest time.Time) bool {
	return f.Connected(node) || time.Since(latest) < f.cfg.LostAfter
}

// keepPresence writes presence down from time to time, and once more at the end.
func (f *Fleet) keepPresence(ctx context.Context) error {
	tick := time.NewTicker(presenceEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return f.flushPresence(context.WithoutCancel(ctx))
		case <-tick.C:
			if err := f.flushPresence(ctx); err != nil {
				f.log.Warn("presence not written", "error", err)
			}
		}
	}
}

// flushPresence writes what has changed, and forgets the nodes that are gone: a line may end, and its
// node be heard of by that, after the node was deregistered.
func (f *Fleet) flushPresence(ctx context.Context) error {
	p := &f.presence
	p.mu.Lock()
	changed := make(map[string]int64, len(p.changed))
	for node := range p.changed {
		changed[node] = p.seen[node]
	}
	clear(p.changed)
	p.mu.Unlock()
	for len(changed) > 0 {
		chunk := map[string]int64{}
		for node, seen := range changed {
			if chunk[node] = seen; len(chunk) == presenceChunk {
				break
			}
		}
		var gone []string
		err := f.db.Update(ctx, func(tx *store.Tx) error {
			gone = nil
			for node, seen := range chunk {
				n, err := rows.New(tx).PutPresence(ctx, rows.PutPresenceParams{Node: node, Seen: seen})
				if err != nil {
					return err
				}
				if n == 0 {
					gone = append(gone, node)
				}
			}
			return nil
		})
		if err != nil {
			p.mu.Lock()
			for node := range changed {
				p.changed[node] = true
			}
			p.mu.Unlock()
			return err
		}
		for _, node := range gone {
			p.forget(node)
		}
		maps.DeleteFunc(changed, func(node string, _ int64) bool { _, done := chunk[node]; return done })
	}
	return nil
}
