package storetest

import (
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/store"
)

// values is a table with a column of each type.
const values = `CREATE TABLE vals (id BIGINT NOT NULL PRIMARY KEY, n BIGINT NOT NULL, s TEXT NOT NULL, b BOOLEAN NOT NULL, y BYTEA NOT NULL,
	d DOUBLE PRECISION NOT NULL, o TEXT)`

// arguments: values that one engine would refuse, or keep differently, are refused by both.
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

// types: every type comes back as it was stored, with and without a typed destination.
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

// byteOrder: text is sorted and compared by its bytes.
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
