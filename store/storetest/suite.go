package storetest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/store"
)

// Run runs the suite. open returns a fresh database that lasts as long as its test.
func Run(t *testing.T, open func(t *testing.T) *store.DB) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, db *store.DB)
	}{
		{"ViewSnapshot", viewSnapshot},
		{"ViewRefusesWrites", viewRefusesWrites},
		{"UpdateFails", updateFails},
		{"UpdatePanics", updatePanics},
		{"UpdateSerializable", updateSerializable},
		{"UpdateContextDone", updateContextDone},
		{"StatementFails", statementFails},
		{"Arguments", arguments},
		{"Types", types},
		{"PortableStatements", portableStatements},
		{"ByteOrder", byteOrder},
		{"OneResultAtATime", oneResultAtATime},
		{"ResultsLeftOpen", resultsLeftOpen},
		{"TxAfterEnd", txAfterEnd},
		{"Prepare", prepare},
		{"Notify", notify},
		{"NotifyOverflow", notifyOverflow},
		{"SubscriptionCloses", subscriptionCloses},
		{"Batcher", batcher},
		{"BatcherBadItem", batcherBadItem},
		{"BatcherStops", batcherStops},
		{"BackupAndRestore", backupAndRestore},
		{"RestoreRefused", restoreRefused},
		{"Closed", closed},
		{"Log", log},
		{"LogPages", logPages},
		{"LogExpires", logExpires},
		{"LogRefuses", logRefuses},
		{"LogCloses", logCloses},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

// update runs f in an Update that must succeed.
func update(t testing.TB, db *store.DB, f func(tx *store.Tx) error) {
	t.Helper()
	if err := db.Update(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// do runs statements in one Update that must succeed.
func do(t testing.TB, db *store.DB, statements ...string) {
	t.Helper()
	update(t, db, func(tx *store.Tx) error {
		for _, s := range statements {
			if _, err := tx.ExecContext(t.Context(), s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
}

// strs reads the rows of one column of text.
func strs(t testing.TB, db *store.DB, query string, args ...any) []string {
	t.Helper()
	var out []string
	if err := db.View(t.Context(), func(tx *store.Tx) (err error) {
		out, err = column[string](t.Context(), tx, query, args...)
		return err
	}); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return out
}

// column reads the rows of one column.
func column[T any](ctx context.Context, tx *store.Tx, query string, args ...any) ([]T, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// count reads a number.
func count(t testing.TB, db *store.DB, query string, args ...any) (n int64) {
	t.Helper()
	if err := db.View(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRowContext(t.Context(), query, args...).Scan(&n)
	}); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// numbers is a table of numbers with a name.
const numbers = `CREATE TABLE numbers (name TEXT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)`

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

// values is a table with a column of each type.
const values = `CREATE TABLE vals (id BIGINT NOT NULL PRIMARY KEY, n BIGINT NOT NULL, s TEXT NOT NULL, b BOOLEAN NOT NULL, y BYTEA NOT NULL,
	d DOUBLE PRECISION NOT NULL, o TEXT)`

func arguments(t *testing.T, db *store.DB) {
	do(t, db, values)
	for name, bad := range map[string]struct {
		statement string
		arg       any
		want      string
	}{
		"NUL":           {`UPDATE vals SET s = $1`, "a\x00b", "NUL"},
		"invalid UTF-8": {`UPDATE vals SET s = $1`, "a\xff", "UTF-8"},
		"typed NUL":     {`UPDATE vals SET s = $1`, label("a\x00b"), "NUL"},
		"NUL in a null": {`UPDATE vals SET o = $1`, sql.NullString{String: "\x00", Valid: true}, "NUL"},
		"NaN":           {`UPDATE vals SET d = $1`, math.NaN(), "finite"},
		"infinity":      {`UPDATE vals SET d = $1`, math.Inf(-1), "finite"},
		"time":          {`UPDATE vals SET n = $1`, time.Unix(0, 0), "BIGINT"},
		"name":          {`UPDATE vals SET n = $1`, sql.Named("n", 1), "numbered"},
		"large":         {`UPDATE vals SET n = $1`, uint64(math.MaxUint64), "uint64"},
		"struct":        {`UPDATE vals SET n = $1`, struct{}{}, "struct"},
	} {
		t.Run(name, func(t *testing.T) {
			err := db.Update(t.Context(), func(tx *store.Tx) error {
				_, err := tx.ExecContext(t.Context(), bad.statement, bad.arg)
				return err
			})
			if err == nil || !strings.Contains(err.Error(), bad.want) {
				t.Errorf("error %v, want one about %q", err, bad.want)
			}
			err = db.View(t.Context(), func(tx *store.Tx) error {
				return tx.QueryRowContext(t.Context(), `SELECT n FROM vals WHERE s = $1`, "\x00").Scan(new(int64))
			})
			if err == nil || !strings.Contains(err.Error(), "NUL") {
				t.Errorf("in a query: error %v", err)
			}
		})
	}
}

// label is a type of text, as capabilities have.
type label string

// record is a row of vals.
type record struct {
	ID, N int64
	S     label
	B     bool
	Y     []byte
	D     float64
	O     sql.NullString
}

func types(t *testing.T, db *store.DB) {
	do(t, db, values)
	all := []record{
		{1, math.MaxInt64, "", false, []byte{}, 0, sql.NullString{}},
		{2, math.MinInt64, "grüße 🚇\n'\"\\", true, []byte{0, 1, 255}, -1.5e300, sql.NullString{Valid: true}},
		{3, 1<<53 + 1, "12", true, []byte("12"), 3, sql.NullString{String: "x", Valid: true}},
		{4, 0, "true", false, nil, 5e-324, sql.NullString{}},
	}
	update(t, db, func(tx *store.Tx) error {
		for _, r := range all {
			if _, err := tx.ExecContext(t.Context(), `INSERT INTO vals VALUES ($1, $2, $3, $4, $5, $6, $7)`, r.ID, r.N, r.S, r.B, r.Y, r.D, r.O); err != nil {
				return err
			}
		}
		return nil
	})
	all[3].Y = []byte{} // A nil slice is stored as an empty one.
	var got []record
	var untyped [][]any
	if err := db.View(t.Context(), func(tx *store.Tx) error {
		got, untyped = nil, nil
		for _, r := range all {
			// What was stored is found again by its value.
			var f record
			if err := tx.QueryRowContext(t.Context(), `SELECT id, n, s, b, y, d, o FROM vals WHERE n = $1 AND s = $2 AND b = $3 AND y = $4 AND d = $5`,
				r.N, r.S, r.B, r.Y, r.D).Scan(&f.ID, &f.N, &f.S, &f.B, &f.Y, &f.D, &f.O); err != nil {
				return fmt.Errorf("row %d: %w", r.ID, err)
			}
			got = append(got, f)
			row := make([]any, 7)
			if err := tx.QueryRowContext(t.Context(), `SELECT id, n, s, b, y, d, o FROM vals WHERE id = $1`, r.ID).
				Scan(&row[0], &row[1], &row[2], &row[3], &row[4], &row[5], &row[6]); err != nil {
				return err
			}
			untyped = append(untyped, row)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var want [][]any
	for _, r := range all {
		row := []any{r.ID, r.N, string(r.S), r.B, r.Y, r.D, nil}
		if r.O.Valid {
			row[6] = r.O.String
		}
		want = append(want, row)
	}
	if diff := cmp.Diff(want, untyped); diff != "" {
		t.Errorf("without types: (-want +got)\n%s", diff)
	}
	// Expressions have no declared type on SQLite.
	var exists, less, both bool
	var rows, sum, longest int64
	var average float64
	if err := db.View(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRowContext(t.Context(), `SELECT EXISTS (SELECT 1 FROM vals WHERE id = $1), 1 < 2, COUNT(*) = 4 AND MIN(id) > 5,
			COUNT(*), SUM(id), MAX(LENGTH(y)), AVG(id) FROM vals`, 3).Scan(&exists, &less, &both, &rows, &sum, &longest, &average)
	}); err != nil {
		t.Fatal(err)
	}
	if !exists || !less || both || rows != 4 || sum != 10 || longest != 3 || average != 2.5 {
		t.Errorf("got %v %v %v %v %v %v %v", exists, less, both, rows, sum, longest, average)
	}
}

// portableStatements tries the subset that queries are written in.
func portableStatements(t *testing.T, db *store.DB) {
	do(t, db,
		`CREATE TABLE node (id TEXT NOT NULL PRIMARY KEY, state TEXT NOT NULL, version BIGINT NOT NULL, active BOOLEAN NOT NULL DEFAULT TRUE)`,
		`CREATE INDEX node_active ON node (state, id) WHERE active`,
		`CREATE TABLE tag (node TEXT NOT NULL, k TEXT NOT NULL, v TEXT NOT NULL, PRIMARY KEY (node, k))`,
		`ALTER TABLE node ADD COLUMN extra BIGINT NOT NULL DEFAULT 0`,
		`ALTER TABLE node RENAME COLUMN extra TO more`,
		`ALTER TABLE node DROP COLUMN more`,
	)
	for _, step := range []struct {
		sql  string
		args []any
		want []string // the first column of what it returns
	}{
		{`INSERT INTO node (id, state, version) VALUES ($1, $2, $3), ($4, $2, $3), ($5, $6, $3) RETURNING id`, []any{"a", "up", 1, "b", "c", "down"}, []string{"a", "b", "c"}},
		{`INSERT INTO node (id, state, version) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET state = excluded.state, version = node.version + 1
			WHERE node.version = $3 RETURNING id || ' ' || state || ' ' || CAST(version AS TEXT)`, []any{"a", "gone", 1}, []string{"a gone 2"}},
		{`INSERT INTO node (id, state, version) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET state = excluded.state
			WHERE node.version = $3 RETURNING id`, []any{"a", "stale", 1}, nil},
		{`INSERT INTO node (id, state, version) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id`, []any{"a", "x", 9}, nil},
		{`UPDATE node SET state = $1, version = version + 1 WHERE id = $2 AND version = $3 RETURNING id`, []any{"up", "b", 1}, []string{"b"}},
		{`INSERT INTO tag VALUES ($1, $2, $3), ($4, $2, $5)`, []any{"a", "role", "web", "b", "db"}, nil},
		{`UPDATE node SET state = tag.v FROM tag WHERE tag.node = node.id AND tag.k = $1 RETURNING id`, []any{"role"}, []string{"a", "b"}},
		{`SELECT id FROM node WHERE (state, id) > ($1, $2) ORDER BY state, id LIMIT 2`, []any{"db", "a"}, []string{"b", "c"}},
		{`SELECT id FROM node WHERE (state, id) > ($1, $2) ORDER BY state, id`, []any{"db", "b"}, []string{"c", "a"}},
		{`SELECT id FROM node WHERE id >= $1 AND id < $2 ORDER BY id DESC`, []any{"a", "c"}, []string{"b", "a"}},
		{`SELECT id FROM (SELECT id, ROW_NUMBER() OVER (PARTITION BY active ORDER BY id) AS n FROM node) AS numbered WHERE n = 2`, nil, []string{"b"}},
		{`SELECT CAST(COUNT(*) FILTER (WHERE state = $1) AS TEXT) FROM node`, []any{"down"}, []string{"1"}},
		{`SELECT id FROM node WHERE state IS DISTINCT FROM $1 ORDER BY id`, []any{"down"}, []string{"a", "b"}},
		{`SELECT n.id FROM node n LEFT JOIN tag t ON t.node = n.id AND t.k = $1 WHERE t.node IS NULL`, []any{"role"}, []string{"c"}},
		{`WITH wanted AS (SELECT node FROM tag WHERE v = $1) SELECT id FROM node WHERE id IN (SELECT node FROM wanted)`, []any{"web"}, []string{"a"}},
		{`SELECT CASE WHEN active THEN 'yes' ELSE 'no' END FROM node WHERE active AND NOT (id = $1 OR id = $2)`, []any{"a", "b"}, []string{"yes"}},
		{`DELETE FROM node WHERE id IN ($1, $2) RETURNING id`, []any{"b", "c"}, []string{"b", "c"}},
		{`SELECT COALESCE(MAX(id), '') FROM node`, nil, []string{"a"}},
	} {
		if complaints := complaints(pieces(step.sql)); complaints != nil {
			t.Errorf("%s: %v", step.sql, complaints)
		}
		var got []string
		update(t, db, func(tx *store.Tx) (err error) {
			if got, err = column[string](t.Context(), tx, step.sql, step.args...); err != nil {
				return fmt.Errorf("%s: %w", step.sql, err)
			}
			return nil
		})
		if strings.Contains(step.sql, "RETURNING") {
			slices.Sort(got) // Its order is nobody's promise.
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", step.sql, diff)
		}
	}
	update(t, db, func(tx *store.Tx) error {
		result, err := tx.ExecContext(t.Context(), `UPDATE tag SET v = v WHERE k = $1`, "role")
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n != 2 || err != nil {
			t.Errorf("RowsAffected is %d, %v, want 2", n, err)
		}
		if _, err := result.LastInsertId(); err == nil {
			t.Error("there is a LastInsertId")
		}
		return nil
	})
}

func byteOrder(t *testing.T, db *store.DB) {
	names := []string{"/a/b", "/A/d", "a b", "a-b", "ab", "Z", "_", "é", "e", "f", "\uffff", "😀", "", "/a", "/a/"}
	do(t, db, numbers)
	update(t, db, func(tx *store.Tx) error {
		for i, name := range names {
			if _, err := tx.ExecContext(t.Context(), `INSERT INTO numbers VALUES ($1, $2)`, name, i); err != nil {
				return err
			}
		}
		return nil
	})
	slices.Sort(names)
	if diff := cmp.Diff(names, strs(t, db, `SELECT name FROM numbers ORDER BY name`)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/a", "/a/", "/a/b"}, strs(t, db, `SELECT name FROM numbers WHERE name >= $1 AND name < $2 ORDER BY name`, "/a", "/b")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

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

func backupAndRestore(t *testing.T, db *store.DB) {
	do(t, db, values, numbers,
		`INSERT INTO vals VALUES (1, 9223372036854775807, 'a"b', TRUE, '', -0.1, NULL), (2, 0, '', FALSE, '', 1e300, 'o')`)
	update(t, db, func(tx *store.Tx) error {
		if _, err := tx.ExecContext(t.Context(), `UPDATE vals SET y = $1, s = $2 WHERE id = 2`, []byte{0, 255}, "a\nb <&> 🚇"); err != nil {
			return err
		}
		for i := range 300 {
			if _, err := tx.ExecContext(t.Context(), `INSERT INTO numbers VALUES ($1, $2)`, fmt.Sprint(i), i); err != nil {
				return err
			}
		}
		return nil
	})
	var first bytes.Buffer
	if err := db.Backup(t.Context(), &first); err != nil {
		t.Fatal(err)
	}
	do(t, db, `DELETE FROM vals WHERE id = 1`, `UPDATE numbers SET n = 0`, `INSERT INTO numbers VALUES ('new', 1)`)
	// A reader that can be read only once.
	if err := db.Restore(t.Context(), struct{ *bytes.Buffer }{bytes.NewBuffer(first.Bytes())}); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(t.Context(), func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrRestored) {
		t.Errorf("Update after Restore: %v", err)
	}
	if err := db.Run(t.Context()); !errors.Is(err, store.ErrRestored) {
		t.Errorf("Run after Restore: %v", err)
	}
	if n := count(t, db, `SELECT SUM(n) FROM numbers`); n != 299*300/2 {
		t.Errorf("the sum is %d", n)
	}
	var second bytes.Buffer
	if err := db.Backup(t.Context(), &second); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sortedLines(first.String()), sortedLines(second.String())); diff != "" {
		t.Errorf("a backup of what was restored differs: (-want +got)\n%s", diff)
	}
}

// sortedLines returns the lines of a backup without its end; the order of rows is nobody's promise.
func sortedLines(text string) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	lines = lines[:len(lines)-1]
	slices.Sort(lines)
	return lines
}

func restoreRefused(t *testing.T, db *store.DB) {
	do(t, db, numbers, `INSERT INTO numbers VALUES ('a', 1), ('b', 2)`)
	var backup bytes.Buffer
	if err := db.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	do(t, db, `UPDATE numbers SET n = 7`)
	good := backup.String()
	lines := strings.SplitAfter(good, "\n")
	for name, bad := range map[string]string{
		"empty":           "",
		"foreign":         "SQLite format 3\x00",
		"foreign JSON":    `{"a":1}` + "\n",
		"newer format":    strings.Replace(good, `"vennel_backup":1`, `"vennel_backup":2`, 1),
		"newer program":   strings.Replace(good, `"migration":`, `"migration":9`, 1),
		"cut":             good[:len(good)/2],
		"without end":     strings.Join(lines[:len(lines)-2], ""),
		"last byte lost":  good[:len(good)-1],
		"row lost":        strings.Replace(good, `["a",1]`+"\n", "", 1),
		"row altered":     strings.Replace(good, `["a",1]`, `["a",3]`, 1),
		"row malformed":   strings.Replace(good, `["a",1]`, `["a","1"]`, 1),
		"row too short":   strings.Replace(good, `["a",1]`, `["a"]`, 1),
		"table altered":   strings.Replace(good, `"numbers"`, `"letters"`, 1),
		"more after it":   good + "\n",
		"twice":           good + good,
		"carriage return": strings.ReplaceAll(good, "\n", "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			if bad == good {
				t.Fatal("nothing was altered")
			}
			if err := db.Restore(t.Context(), strings.NewReader(bad)); !errors.Is(err, store.ErrBackup) {
				t.Errorf("Restore: %v", err)
			}
		})
	}
	if n := count(t, db, `SELECT SUM(n) FROM numbers`); n != 14 {
		t.Errorf("the sum is %d, want 14", n)
	}
	do(t, db, `INSERT INTO numbers VALUES ('c', 1)`) // Nothing has been restored.
}

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
