package storetest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/store"
)

// viewSnapshot: a View sees one state, whatever is committed meanwhile.
func viewSnapshot(t *testing.T, db *store.DB) {
	do(t, db, numbers, `INSERT INTO numbers VALUES ('a', 1)`)
	var before, after int64
	if err := db.View(t.Context(), func(tx *store.Tx) error {
		if err := tx.QueryRowContext(t.Context(), `SELECT n FROM numbers`).Scan(&before); err != nil {
			return err
		}
		do(t, db, `UPDATE numbers SET n = 2`)
		return tx.QueryRowContext(t.Context(), `SELECT n FROM numbers`).Scan(&after)
	}); err != nil {
		t.Fatal(err)
	}
	if before != 1 || after != 1 {
		t.Errorf("the view read %d, then %d, want 1 and 1", before, after)
	}
	if n := count(t, db, `SELECT n FROM numbers`); n != 2 {
		t.Errorf("a later view read %d, want 2", n)
	}
}

// viewRefusesWrites: nothing can be written in a View.
func viewRefusesWrites(t *testing.T, db *store.DB) {
	do(t, db, numbers)
	for _, statement := range []string{`INSERT INTO numbers VALUES ('a', 1)`, `DELETE FROM numbers`, `CREATE TABLE other (a BIGINT NOT NULL)`} {
		if err := db.View(t.Context(), func(tx *store.Tx) error {
			_, err := tx.ExecContext(t.Context(), statement)
			return err
		}); err == nil {
			t.Errorf("View ran %s", statement)
		}
	}
	if n := count(t, db, `SELECT COUNT(*) FROM numbers`); n != 0 {
		t.Errorf("%d rows, want none", n)
	}
}

// updateFails: an error undoes what its own closure wrote, and nothing that was committed together with it.
func updateFails(t *testing.T, db *store.DB) {
	do(t, db, numbers)
	bad := errors.New("bad")
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			err := db.Update(t.Context(), func(tx *store.Tx) error {
				if _, err := tx.ExecContext(t.Context(), `INSERT INTO numbers VALUES ($1, $2)`, fmt.Sprint(i), i); err != nil {
					return err
				}
				if i%2 == 1 {
					return bad
				}
				return nil
			})
			if want := i%2 == 1; (err != nil) != want || want && !errors.Is(err, bad) {
				t.Errorf("update %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if n := count(t, db, `SELECT COUNT(*) FROM numbers`); n != 100 {
		t.Errorf("%d rows, want 100", n)
	}
	if n := count(t, db, `SELECT COUNT(*) FROM numbers WHERE n % 2 = 1`); n != 0 {
		t.Errorf("%d rows of failed updates", n)
	}
}

// updatePanics: a panic or Goexit reaches the caller and undoes what its own closure wrote.
func updatePanics(t *testing.T, db *store.DB) {
	do(t, db, numbers)
	insert := func(tx *store.Tx, name string) {
		if _, err := tx.ExecContext(t.Context(), `INSERT INTO numbers VALUES ($1, 1)`, name); err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			switch i % 3 {
			case 0:
				update(t, db, func(tx *store.Tx) error { insert(tx, fmt.Sprint(i)); return nil })
			case 1:
				defer func() {
					if r := recover(); r != "panic of f" {
						t.Errorf("recovered %v", r)
					}
				}()
				_ = db.Update(t.Context(), func(tx *store.Tx) error { insert(tx, fmt.Sprint(i)); panic("panic of f") })
			case 2:
				_ = db.Update(t.Context(), func(tx *store.Tx) error { insert(tx, fmt.Sprint(i)); runtime.Goexit(); return nil })
				t.Error("Goexit did not end the goroutine")
			}
		})
	}
	wg.Wait()
	if n := count(t, db, `SELECT COUNT(*) FROM numbers`); n != 10 {
		t.Errorf("%d rows, want 10", n)
	}
	// Views survive it too.
	func() {
		defer func() { _ = recover() }()
		_ = db.View(t.Context(), func(tx *store.Tx) error { panic("panic of f") })
	}()
	if n := count(t, db, `SELECT COUNT(*) FROM numbers`); n != 10 {
		t.Errorf("%d rows, want 10", n)
	}
}

// updateSerializable has closures that are only right if they run one after the other: a counter, and write skew.
func updateSerializable(t *testing.T, db *store.DB) {
	do(t, db, numbers, `INSERT INTO numbers VALUES ('count', 0), ('x', 1), ('y', 1)`)
	const writers, rounds = 8, 15
	var wg sync.WaitGroup
	var zeroed atomic.Int64
	for range writers {
		wg.Go(func() {
			for range rounds {
				if err := db.Update(t.Context(), func(tx *store.Tx) error {
					var n int64
					if err := tx.QueryRowContext(t.Context(), `SELECT n FROM numbers WHERE name = 'count'`).Scan(&n); err != nil {
						return err
					}
					_, err := tx.ExecContext(t.Context(), `UPDATE numbers SET n = $1 WHERE name = 'count'`, n+1)
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, mine := range []string{"x", "y"} {
		wg.Go(func() {
			var did bool
			if err := db.Update(t.Context(), func(tx *store.Tx) error {
				var sum int64
				if err := tx.QueryRowContext(t.Context(), `SELECT SUM(n) FROM numbers WHERE name IN ('x', 'y')`).Scan(&sum); err != nil {
					return err
				}
				if did = sum == 2; !did {
					return nil
				}
				_, err := tx.ExecContext(t.Context(), `UPDATE numbers SET n = 0 WHERE name = $1`, mine)
				return err
			}); err != nil {
				t.Error(err)
			}
			if did {
				zeroed.Add(1)
			}
		})
	}
	wg.Wait()
	if n := count(t, db, `SELECT n FROM numbers WHERE name = 'count'`); n != writers*rounds {
		t.Errorf("the counter is %d, want %d", n, writers*rounds)
	}
	if n := zeroed.Load(); n != 1 {
		t.Errorf("%d closures saw both ones, want 1", n)
	}
}

// updateContextDone: nothing is written once the context is done.
func updateContextDone(t *testing.T, db *store.DB) {
	do(t, db, numbers)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Update(done, func(tx *store.Tx) error { t.Error("the closure ran"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Update: %v", err)
	}
	if err := db.View(done, func(tx *store.Tx) error {
		_, err := tx.ExecContext(done, `SELECT 1`)
		return err
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("View: %v", err)
	}
	// In the middle, it ends the transaction, even if the closure does not care.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := db.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT INTO numbers VALUES ('a', 1)`); err != nil {
			return nil
		}
		cancel()
		_, _ = tx.ExecContext(ctx, `INSERT INTO numbers VALUES ('b', 1)`)
		return nil
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("Update: %v", err)
	}
	do(t, db, `INSERT INTO numbers VALUES ('c', 1)`)
	if diff := cmp.Diff([]string{"c"}, strs(t, db, `SELECT name FROM numbers`)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// statementFails: a statement that fails ends the transaction, on SQLite as on PostgreSQL.
func statementFails(t *testing.T, db *store.DB) {
	do(t, db, numbers, `INSERT INTO numbers VALUES ('a', 1)`)
	for name, second := range map[string]func(tx *store.Tx) error{
		"an error that is passed over": func(*store.Tx) error { return nil },
		"a statement after an error": func(tx *store.Tx) error {
			if _, err := tx.ExecContext(t.Context(), `INSERT INTO numbers VALUES ('c', 1)`); err == nil {
				t.Error("a statement ran after one that failed")
			}
			if err := tx.QueryRowContext(t.Context(), `SELECT 1`).Scan(new(int64)); err == nil {
				t.Error("a query ran after one that failed")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := db.Update(t.Context(), func(tx *store.Tx) error {
				if _, err := tx.ExecContext(t.Context(), `INSERT INTO numbers VALUES ('b', 1)`); err != nil {
					return err
				}
				if _, err := tx.ExecContext(t.Context(), `INSERT INTO numbers VALUES ('a', 2)`); err == nil {
					t.Error("the same key twice")
				}
				return second(tx)
			}); err == nil {
				t.Error("Update succeeded")
			}
		})
	}
	// No row is no error.
	update(t, db, func(tx *store.Tx) error {
		if err := tx.QueryRowContext(t.Context(), `SELECT n FROM numbers WHERE name = 'z'`).Scan(new(int64)); err != sql.ErrNoRows {
			t.Errorf("no row: %v", err)
		}
		_, err := tx.ExecContext(t.Context(), `INSERT INTO numbers VALUES ('d', 1)`)
		return err
	})
	if diff := cmp.Diff([]string{"a", "d"}, strs(t, db, `SELECT name FROM numbers ORDER BY name`)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// oneResultAtATime: a statement cannot run while rows are being read, on SQLite as on PostgreSQL.
func oneResultAtATime(t *testing.T, db *store.DB) {
	do(t, db, numbers, `INSERT INTO numbers VALUES ('a', 1), ('b', 2)`)
	err := db.View(t.Context(), func(tx *store.Tx) error {
		rows, err := tx.QueryContext(t.Context(), `SELECT name FROM numbers`)
		if err != nil {
			return err
		}
		defer rows.Close()
		rows.Next()
		return tx.QueryRowContext(t.Context(), `SELECT 1`).Scan(new(int64))
	})
	if err == nil {
		t.Error("a query ran while the rows of another were open")
	}
}

// resultsLeftOpen: a closure that leaves a result open takes no connection with it.
func resultsLeftOpen(t *testing.T, db *store.DB) {
	do(t, db, numbers, `INSERT INTO numbers VALUES ('a', 1), ('b', 2)`)
	for range 40 { // More often than there are connections.
		update(t, db, func(tx *store.Tx) error {
			rows, err := tx.QueryContext(t.Context(), `SELECT name FROM numbers`)
			if err != nil {
				return err
			}
			rows.Next()
			return rows.Err()
		})
		if err := db.View(t.Context(), func(tx *store.Tx) error {
			return tx.QueryRowContext(t.Context(), `SELECT name FROM numbers`).Err()
		}); err != nil {
			t.Fatal(err)
		}
	}
	do(t, db, `DELETE FROM numbers`)
}

// txAfterEnd: a Tx is of no use after its closure, nor in another transaction.
func txAfterEnd(t *testing.T, db *store.DB) {
	do(t, db, numbers)
	var left *store.Tx
	keep := func(tx *store.Tx) error { left = tx; return nil }
	check := func() {
		t.Helper()
		if _, err := left.ExecContext(t.Context(), `INSERT INTO numbers VALUES ('a', 1)`); err == nil {
			t.Error("a statement ran after the end of its transaction")
		}
		if _, err := left.QueryContext(t.Context(), `SELECT 1`); err == nil {
			t.Error("a query ran after the end of its transaction")
		}
		if err := left.QueryRowContext(t.Context(), `SELECT 1`).Scan(new(int64)); err == nil {
			t.Error("a query for a row ran after the end of its transaction")
		}
	}
	update(t, db, keep)
	check()
	if err := db.View(t.Context(), keep); err != nil {
		t.Fatal(err)
	}
	check()
	// Nor does it get into somebody else's transaction.
	update(t, db, keep)
	old := left
	update(t, db, func(*store.Tx) error {
		if _, err := old.ExecContext(t.Context(), `INSERT INTO numbers VALUES ('a', 1)`); err == nil {
			t.Error("a statement ran in another transaction")
		}
		return nil
	})
	if n := count(t, db, `SELECT COUNT(*) FROM numbers`); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// prepare: statements can be prepared, and checked by that.
func prepare(t *testing.T, db *store.DB) {
	do(t, db, numbers)
	update(t, db, func(tx *store.Tx) error {
		insert, err := tx.PrepareContext(t.Context(), `INSERT INTO numbers VALUES ($1, $2)`)
		if err != nil {
			return err
		}
		defer insert.Close()
		for i := range 3 {
			if _, err := insert.ExecContext(t.Context(), fmt.Sprint(i), i); err != nil {
				return err
			}
		}
		get, err := tx.PrepareContext(t.Context(), `SELECT n FROM numbers WHERE name = $1`)
		if err != nil {
			return err
		}
		defer get.Close()
		var n int64
		if err := get.QueryRowContext(t.Context(), "2").Scan(&n); err != nil || n != 2 {
			t.Errorf("read %d, %v", n, err)
		}
		return nil
	})
	if err := db.View(t.Context(), func(tx *store.Tx) error {
		_, err := tx.PrepareContext(t.Context(), `SELECT nothing FROM nowhere`)
		return err
	}); err == nil {
		t.Error("a query without its table was prepared")
	}
}

// closed: every call on a closed database says so.
func closed(t *testing.T, db *store.DB) {
	do(t, db, numbers)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	for name, err := range map[string]error{
		"Update":  db.Update(t.Context(), func(*store.Tx) error { return nil }),
		"View":    db.View(t.Context(), func(*store.Tx) error { return nil }),
		"Backup":  db.Backup(t.Context(), new(bytes.Buffer)),
		"Restore": db.Restore(t.Context(), new(bytes.Buffer)),
		"Run":     db.Run(t.Context()),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s on a closed database: %v", name, err)
		}
	}
}
