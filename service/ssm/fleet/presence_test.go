package fleet

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// TestPresenceOfNodesThatAreGone hears of a node after it was deregistered, as by the end of its
// line: neither the database nor the memory keeps it.
func TestPresenceOfNodesThatAreGone(t *testing.T) {
	db := storetest.New(t)
	f := New(db, nil, nil, Config{}, slog.New(slog.DiscardHandler))
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		return rows.New(tx).PutNode(t.Context(), rows.PutNodeParams{ID: "mi-here", PublicKey: []byte{1}})
	})
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1000)
	for range 2 { // the first inserts, the second updates
		at = at.Add(time.Second)
		f.Seen("mi-here", at)
		f.Seen("mi-gone", at)
		if err := f.flushPresence(t.Context()); err != nil {
			t.Fatal(err)
		}
		if seen, err := written(t.Context(), db, "mi-here"); err != nil || seen != at.UnixMilli() {
			t.Errorf("written down of the node that is there: %d, %v", seen, err)
		}
		if seen, err := written(t.Context(), db, "mi-gone"); !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("written down of the node that is gone: %d, %v", seen, err)
		}
		if _, ok := f.presence.seen["mi-gone"]; ok || len(f.presence.seen) != 1 || len(f.presence.changed) != 0 {
			t.Errorf("kept in memory: %v, to be written %v", f.presence.seen, f.presence.changed)
		}
	}
}

// written reads what is written down of a node.
func written(ctx context.Context, db *store.DB, node string) (seen int64, err error) {
	err = db.View(ctx, func(tx *store.Tx) (err error) {
		seen, err = rows.New(tx).GetPresence(ctx, node)
		return err
	})
	return seen, err
}
