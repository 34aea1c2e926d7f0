package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/store"
)

// next returns the next keys, which must be there already.
func next(t *testing.T, s *store.Subscription) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	keys, err := s.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// notify: wake-ups come after the commit, coalesced, and never after a rollback.
func notify(t *testing.T, db *store.DB) {
	do(t, db, numbers)
	s, other := db.Subscribe("numbers"), db.Subscribe("other")
	defer s.Close()
	defer other.Close()
	if n := db.Seq("numbers"); n != 0 {
		t.Errorf("Seq is %d at first", n)
	}
	failed := errors.New("failed")
	if err := db.Update(t.Context(), func(tx *store.Tx) error { tx.Notify("numbers", "never"); return failed }); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if n := db.Seq("numbers"); n != 0 {
		t.Errorf("Seq is %d after a rollback", n)
	}
	for _, key := range []string{"b", "a", "b"} {
		update(t, db, func(tx *store.Tx) error {
			tx.Notify("numbers", key)
			tx.Notify("numbers", "always")
			if db.Seq("other") != 0 {
				t.Error("Seq moved before its commit")
			}
			return nil
		})
	}
	if n := db.Seq("numbers"); n != 3 {
		t.Errorf("Seq is %d after three commits", n)
	}
	if diff := cmp.Diff([]string{"b", "always", "a"}, next(t, s)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if keys, err := s.Next(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Next returned %q, %v when there was nothing", keys, err)
	}
	// The rows are there when the wake-up comes.
	go func() {
		_ = db.Update(t.Context(), func(tx *store.Tx) error {
			tx.Notify("other", "row")
			_, err := tx.ExecContext(t.Context(), `INSERT INTO numbers VALUES ('row', 1)`)
			return err
		})
	}()
	if diff := cmp.Diff([]string{"row"}, next(t, other)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if n := count(t, db, `SELECT COUNT(*) FROM numbers`); n != 1 {
		t.Errorf("%d rows at the wake-up", n)
	}
	if err := db.View(t.Context(), func(tx *store.Tx) error { tx.Notify("numbers", "x"); return nil }); err == nil {
		t.Error("Notify in a View")
	}
}

// notifyOverflow: too many keys become one that stands for all.
func notifyOverflow(t *testing.T, db *store.DB) {
	s := db.Subscribe("many")
	defer s.Close()
	for i := range 2 {
		update(t, db, func(tx *store.Tx) error {
			for j := range 40000 {
				tx.Notify("many", fmt.Sprint(i, j))
			}
			return nil
		})
	}
	if diff := cmp.Diff([]string{store.Everything}, next(t, s)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	update(t, db, func(tx *store.Tx) error { tx.Notify("many", "one"); return nil })
	if diff := cmp.Diff([]string{"one"}, next(t, s)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// subscriptionCloses: Next ends with its subscription and with the database.
func subscriptionCloses(t *testing.T, db *store.DB) {
	s, left := db.Subscribe("a"), db.Subscribe("a")
	var wg sync.WaitGroup
	for _, s := range []*store.Subscription{s, left} {
		wg.Go(func() {
			if keys, err := s.Next(t.Context()); !errors.Is(err, store.ErrClosed) {
				t.Errorf("Next returned %q, %v", keys, err)
			}
		})
	}
	s.Close()
	s.Close()
	update(t, db, func(tx *store.Tx) error { tx.Notify("b", "nobody"); return nil })
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if _, err := db.Subscribe("a").Next(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Next on a closed database: %v", err)
	}
}

// insertAll is a Batcher's function that inserts into numbers.
func insertAll(t *testing.T) func(tx *store.Tx, items []int) error {
	return func(tx *store.Tx, items []int) error {
		for _, i := range items {
			if _, err := tx.ExecContext(t.Context(), `INSERT INTO numbers VALUES ($1, $2)`, fmt.Sprint(i), i); err != nil {
				return err
			}
		}
		return nil
	}
}

// start runs a Batcher until the returned function is called.
func start(t *testing.T, run func(ctx context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// batcher: an item is committed when Add returns, and batches are used and bounded.
func batcher(t *testing.T, db *store.DB) {
	do(t, db, numbers)
	insert := insertAll(t)
	var largest atomic.Int64
	b := store.NewBatcher(db, 10, func(tx *store.Tx, items []int) error {
		largest.Store(max(largest.Load(), int64(len(items))))
		return insert(tx, items)
	})
	defer start(t, b.Run)()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if err := b.Add(t.Context(), i); err != nil {
				t.Error(err)
			}
			if n := count(t, db, `SELECT COUNT(*) FROM numbers WHERE n = $1`, i); n != 1 {
				t.Errorf("item %d was not there after Add", i)
			}
		})
	}
	wg.Wait()
	if n := largest.Load(); n < 2 || n > 10 {
		t.Errorf("the largest batch had %d items, want 2 to 10", n)
	}
}

// batcherBadItem: an item that fails takes no other with it.
func batcherBadItem(t *testing.T, db *store.DB) {
	do(t, db, numbers)
	insert := insertAll(t)
	bad := errors.New("bad item")
	b := store.NewBatcher(db, 100, func(tx *store.Tx, items []int) error {
		if err := insert(tx, items); err != nil {
			return err
		}
		if slices.ContainsFunc(items, func(i int) bool { return i%10 == 3 }) {
			return bad
		}
		return nil
	})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if err := b.Add(t.Context(), i); (i%10 == 3) != errors.Is(err, bad) || i%10 != 3 && err != nil {
				t.Errorf("item %d: %v", i, err)
			}
		})
	}
	defer start(t, b.Run)()
	wg.Wait()
	if n := count(t, db, `SELECT COUNT(*) FROM numbers`); n != 90 {
		t.Errorf("%d rows, want 90", n)
	}
}

// batcherStops: Add waits for Run to begin and fails after it has ended.
func batcherStops(t *testing.T, db *store.DB) {
	b := store.NewBatcher(db, 100, func(*store.Tx, []int) error { return nil })
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := b.Add(short, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Add without Run: %v", err)
	}
	stop := start(t, b.Run)
	if err := b.Add(t.Context(), 1); err != nil {
		t.Error(err)
	}
	stop()
	if err := b.Add(t.Context(), 1); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Add after Run: %v", err)
	}
}
