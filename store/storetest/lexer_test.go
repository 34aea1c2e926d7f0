package storetest

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/store"
)

// TestComplaints checks the rules for queries on good and bad ones.
func TestComplaints(t *testing.T) {
	for _, test := range []struct {
		sql  string
		want []string // the beginnings of the complaints, to the second colon
	}{
		{`SELECT a FROM t WHERE b >= $1 AND b < $2 AND c = $1 -- like`, nil},
		{`SELECT 'x LIKE ?', "now" FROM t /* ILIKE */ WHERE a = $1`, nil},
		{`SELECT now FROM t WHERE random = lower`, nil},
		{`INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT (a) DO UPDATE SET b = $2 RETURNING a`, nil},
		{`SELECT a FROM t WHERE b = $2 AND c = $1`, []string{"line 1: $2"}},
		{"SELECT a FROM t\nWHERE b = $1 AND c = $3", []string{"line 2: $3"}},
		{`SELECT a FROM t WHERE b = ?`, []string{"line 1: ?"}},
		{`SELECT a FROM t WHERE b like $1`, []string{"line 1: LIKE"}},
		{`SELECT a FROM t WHERE b ILIKE $1`, []string{"line 1: ILIKE"}},
		{`SELECT a FROM t WHERE b = ANY($1)`, []string{"line 1: ANY"}},
		{`SELECT a FROM t WHERE b = any ($1)`, []string{"line 1: ANY"}},
		{`SELECT a FROM t FOR UPDATE`, []string{"line 1: FOR"}},
		{`SELECT a FROM t FOR UPDATE SKIP LOCKED`, []string{"line 1: FOR", "line 1: SKIP"}},
		{`SELECT a->>'b' FROM t`, []string{"line 1: ->>"}},
		{`SELECT a -> 'b' FROM t`, []string{"line 1: ->"}},
		{`SELECT $1::text`, []string{"line 1: ::"}},
		{`INSERT INTO t VALUES (now(), RANDOM())`, []string{"line 1: NOW", "line 1: RANDOM"}},
		{`SELECT lower(a) FROM t`, []string{"line 1: LOWER"}},
		{`SELECT a FROM t WHERE a ~ 'x'`, []string{"line 1: ~"}},
	} {
		var got []string
		for _, c := range complaints(pieces(test.sql)) {
			got = append(got, beginning(c))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", test.sql, diff)
		}
	}
}

// beginning returns a complaint up to its second colon.
func beginning(complaint string) string {
	colons := 0
	for i := range complaint {
		if complaint[i] == ':' && i+1 < len(complaint) && complaint[i+1] == ' ' {
			if colons++; colons == 2 {
				return complaint[:i]
			}
		}
	}
	return complaint
}

// TestMigrationComplaints checks the rules for migrations.
func TestMigrationComplaints(t *testing.T) {
	for _, test := range []struct {
		sql  string
		want []string
	}{
		{`CREATE TABLE t (a BIGINT NOT NULL PRIMARY KEY, b TEXT NOT NULL DEFAULT '', c DOUBLE PRECISION NOT NULL, PRIMARY KEY (a, b), CHECK (a IN (1, 2)));
		CREATE INDEX i ON t (a) WHERE b <> ''; CREATE UNIQUE INDEX j ON t (b); ALTER TABLE t ADD COLUMN d BYTEA NOT NULL DEFAULT '';`, nil},
		{"CREATE TABLE IF NOT EXISTS t (\n a BIGINT NOT NULL,\n b TEXT, -- nullable: it is not known before the first run\n c TEXT -- nullable: as b\n)", nil},
		{"CREATE TABLE t (\n a BIGINT, -- the a\n b TEXT NOT NULL\n)", []string{`line 2: column A may be NULL: say NOT NULL, or why not in a comment "nullable: …"`}},
		{`CREATE TABLE t (a INTEGER NOT NULL)`, []string{"line 1: column A is INTEGER, want BIGINT, TEXT, BOOLEAN, BYTEA or DOUBLE PRECISION"}},
		{`CREATE TABLE t (a VARCHAR(20) NOT NULL)`, []string{"line 1: column A is VARCHAR, want BIGINT, TEXT, BOOLEAN, BYTEA or DOUBLE PRECISION"}},
		{`CREATE TABLE t (a DOUBLE NOT NULL)`, []string{"line 1: column A is DOUBLE, want BIGINT, TEXT, BOOLEAN, BYTEA or DOUBLE PRECISION"}},
		{`CREATE TABLE t (a BIGINT PRIMARY KEY)`, []string{`line 1: column A may be NULL: say NOT NULL, or why not in a comment "nullable: …"`}},
		{`ALTER TABLE t ADD COLUMN a TIMESTAMP NOT NULL`, []string{"line 1: column A is TIMESTAMP, want BIGINT, TEXT, BOOLEAN, BYTEA or DOUBLE PRECISION"}},
		{`ALTER TABLE t ALTER COLUMN a TYPE TEXT`, []string{"line 1: ALTER COLUMN: SQLite has none, make a new table"}},
		{`CREATE VIEW v AS SELECT 1`, []string{"line 1: CREATE VIEW: there are tables and indexes, nothing else"}},
		{`CREATE TABLE t (a BIGINT NOT NULL REFERENCES u (a))`, []string{"line 1: REFERENCES: SQLite does not enforce it, and a restore loads table by table"}},
		{`CREATE TABLE t (a BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY)`, []string{"line 1: IDENTITY: ids are made in Go"}},
	} {
		if diff := cmp.Diff(test.want, migrationComplaints(test.sql)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", test.sql, diff)
		}
	}
}

// TestQueriesIn checks which constants are taken for queries.
func TestQueriesIn(t *testing.T) {
	tree := fstest.MapFS{
		"service/a/queries.sql.go":          {Data: []byte("package a\nconst getA = `-- name: GetA :one\nSELECT 1`\nconst x = 5\nconst b, c = `B`, \"C\"\n")},
		"service/a/a.go":                    {Data: []byte("package a\nconst no = `SELECT 2`\n")},
		"service/a/testdata/queries.sql.go": {Data: []byte("package a\nconst no = `SELECT 3`\n")},
		".git/queries.sql.go":               {Data: []byte("package a\nconst no = `SELECT 4`\n")},
	}
	got, err := queriesIn(tree)
	if err != nil {
		t.Fatal(err)
	}
	want := []Query{
		{"service/a/queries.sql.go getA", "-- name: GetA :one\nSELECT 1"},
		{"service/a/queries.sql.go b", "B"},
		{"service/a/queries.sql.go c", "C"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestQueriesOfModule holds all capabilities' queries and migrations to what both engines understand.
func TestQueriesOfModule(t *testing.T) {
	queries := ModuleQueries(t)
	t.Run("sqlite", func(t *testing.T) { CheckQueries(t, Open(t, SQLite(t), store.Options{}), queries...) })
	t.Run("postgres", func(t *testing.T) { CheckQueries(t, Open(t, Postgres(t), store.Options{}), queries...) })
}

// TestMigrationsOfModule holds all migrations to the portable subset.
func TestMigrationsOfModule(t *testing.T) {
	CheckMigrations(t, store.Migrations())
}
