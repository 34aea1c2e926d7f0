package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// TestUpdateDiskFull is about errors on which SQLite undoes more than the statement: whoever was told that it is written must find it, whoever was
// told that it is not must not.
func TestUpdateDiskFull(t *testing.T) {
	for _, twice := range []bool{false, true} {
		t.Run(fmt.Sprint("twice ", twice), func(t *testing.T) {
			db := storetest.Open(t, storetest.SQLite(t), store.Options{RunTwice: twice})
			must(t, do(t.Context(), db, `CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, s TEXT NOT NULL)`))
			must(t, store.LimitPages(db, 60))
			filler := fmt.Sprintf("%02000d", 0)
			insert := func(id int) error {
				return db.Update(t.Context(), func(tx *store.Tx) error {
					_, err := tx.ExecContext(t.Context(), `INSERT INTO t VALUES ($1, $2)`, id, filler)
					if id%2 == 0 {
						return nil // Some pass over the error.
					}
					return err
				})
			}
			var mu sync.Mutex
			written := map[int]bool{}
			var wg sync.WaitGroup
			for w := range 16 {
				wg.Go(func() {
					for i := range 20 {
						id := i*16 + w
						err := insert(id)
						mu.Lock()
						written[id] = err == nil
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			must(t, store.LimitPages(db, 100000))
			must(t, insert(1001))
			failed := 0
			for id, want := range written {
				if n := number(t, db, `SELECT COUNT(*) FROM t WHERE id = $1`, id); (n == 1) != want {
					t.Errorf("row %d: written is %v, %d rows are there", id, want, n)
				}
				if !want {
					failed++
				}
			}
			if failed == 0 || failed == len(written) {
				t.Errorf("%d of %d failed: the test tested nothing", failed, len(written))
			}
		})
	}
}

// TestUpdateWaitsForRestore is about the writers while another process holds the database for a restore: they wait, but not beyond their contexts.
func TestUpdateWaitsForRestore(t *testing.T) {
	address := storetest.SQLite(t)
	db := storetest.Open(t, address, store.Options{})
	must(t, do(t.Context(), db, `CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY)`))
	guest := storetest.Open(t, address, store.Options{Beside: true})
	must(t, store.Exclusive(t.Context(), guest, func(*store.Tx) error {
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { wantError(t, "Update", do(short, db, `INSERT INTO t VALUES (1)`), context.DeadlineExceeded) })
		}
		wg.Wait()
		if n := number(t, db, `SELECT COUNT(*) FROM t`); n != 0 { // Reading goes on.
			t.Errorf("%d rows", n)
		}
		return nil
	}))
	must(t, do(t.Context(), db, `INSERT INTO t VALUES (1)`))
}

// TestUpdateWaitsForUpdate is about a closure that takes long: others wait for it, but not beyond their contexts, and whoever gives up takes nothing
// with him.
func TestUpdateWaitsForUpdate(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t), store.Options{})
	must(t, do(t.Context(), db, `CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY)`))
	var wg sync.WaitGroup
	for round := range 20 {
		inside := make(chan struct{})
		var impatient sync.WaitGroup
		impatient.Add(3)
		wg.Go(func() {
			must(t, db.Update(t.Context(), func(tx *store.Tx) error {
				close(inside)
				impatient.Wait()
				_, err := tx.ExecContext(t.Context(), `INSERT INTO t VALUES ($1)`, round)
				return err
			}))
		})
		<-inside
		for range 3 {
			go func() {
				defer impatient.Done()
				short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				wantError(t, "Update", do(short, db, `INSERT INTO t VALUES (-1)`), context.DeadlineExceeded)
			}()
		}
		wg.Go(func() { must(t, do(t.Context(), db, fmt.Sprintf(`INSERT INTO t VALUES (%d)`, 100+round))) })
	}
	wg.Wait()
	if n := number(t, db, `SELECT COUNT(*) FROM t WHERE id >= 0`); n != 40 || number(t, db, `SELECT COUNT(*) FROM t`) != 40 {
		t.Errorf("%d rows, want 40", n)
	}
}

// TestStatementsAreForgotten has more texts than a connection keeps.
func TestStatementsAreForgotten(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		db := storetest.Open(t, e.url(t), store.Options{Readers: 1})
		must(t, db.View(t.Context(), func(tx *store.Tx) error {
			for i := range store.KeptStatements + 10 {
				var n int
				if err := tx.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT %d`, i)).Scan(&n); err != nil || n != i {
					return fmt.Errorf("read %d for %d: %w", n, i, err)
				}
			}
			return nil
		}))
	})
}
