package store_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// TestStore runs the suite on each engine, and again with every closure run twice.
func TestStore(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		for name, options := range map[string]store.Options{"once": {}, "twice": {RunTwice: true}} {
			t.Run(name, func(t *testing.T) {
				storetest.Run(t, func(t *testing.T) *store.DB { return storetest.Open(t, e.url(t), options) })
			})
		}
	})
}

// TestUpdateRunsTwice is about the option that tests of capabilities rely on.
func TestUpdateRunsTwice(t *testing.T) {
	db := storetest.New(t)
	must(t, do(t.Context(), db, `CREATE TABLE numbers (n BIGINT NOT NULL PRIMARY KEY)`))
	runs := 0
	must(t, db.Update(t.Context(), func(tx *store.Tx) error {
		runs++
		_, err := tx.ExecContext(t.Context(), `INSERT INTO numbers VALUES ($1)`, runs)
		return err
	}))
	if n := number(t, db, `SELECT SUM(n) FROM numbers`); runs != 2 || n != 2 {
		t.Errorf("%d runs left %d, want 2 and 2", runs, n)
	}
}

// TestOpenRefuses lists addresses that are none.
func TestOpenRefuses(t *testing.T) {
	for _, address := range []string{
		"", "vennel.db", "sqlite:vennel.db", "sqlite://vennel.db", "sqlite://host/vennel.db", "mysql://localhost/vennel", "sqlite:///",
		"sqlite://" + t.TempDir() + "/no/such/folder/vennel.db", "postgres://secret:password@localhost:1/x?connect_timeout=1", "://secret:password@",
	} {
		db, err := store.Open(t.Context(), address, nil)
		if err == nil {
			must(t, db.Close())
			t.Errorf("%q was opened", address)
			continue
		}
		if strings.Contains(err.Error(), "password@") || strings.Contains(err.Error(), "secret:") {
			t.Errorf("%q: the error tells the password: %v", address, err)
		}
	}
}

// TestOpenFiles is about the files of SQLite: they are for their owner only, and their name may be anything.
func TestOpenFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "odd name?#%41&x=y")
	must(t, os.Mkdir(dir, 0o755))
	db := storetest.Open(t, (&url.URL{Scheme: "sqlite", Path: filepath.Join(dir, "vennel.db")}).String(), store.Options{})
	log, err := store.OpenLog(t.Context(), db, "audit", nil)
	must(t, err)
	must(t, log.Append(t.Context(), store.Record{Time: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), ID: "1"}))
	must(t, log.Flush(t.Context()))
	must(t, do(t.Context(), db, `CREATE TABLE t (a BIGINT NOT NULL)`))
	got := map[string]fs.FileMode{}
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		got[rel] = info.Mode().Perm()
		return err
	}))
	must(t, log.Close())
	want := map[string]fs.FileMode{
		"vennel.db": 0o600, "vennel.db-wal": 0o600, "vennel.db-shm": 0o600, "vennel.db.lock": 0o600,
		"audit": 0o700, "audit/2026-11-21.db": 0o600, "audit/2026-11-21.db-wal": 0o600, "audit/2026-11-21.db-shm": 0o600,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestOpenLocked is about a second server on the same database.
func TestOpenLocked(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		address := e.url(t)
		first := storetest.Open(t, address, store.Options{})
		_, err := store.Open(t.Context(), address, nil)
		wantError(t, "a second server", err, store.ErrLocked)
		must(t, do(t.Context(), first, `CREATE TABLE t (a BIGINT NOT NULL)`))
		must(t, first.Close())
		second := storetest.Open(t, address, store.Options{})
		if n := number(t, second, `SELECT COUNT(*) FROM t`); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestOpenBeside is about a process that comes to a database while a server has it.
func TestOpenBeside(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		address := e.url(t)
		beside := store.Options{Beside: true}
		if db, err := beside.Open(t.Context(), address, nil); err == nil {
			must(t, db.Close())
			t.Error("opened a database that does not exist")
		}
		server := storetest.Open(t, address, store.Options{})
		must(t, do(t.Context(), server, `CREATE TABLE t (a BIGINT NOT NULL)`, `INSERT INTO t VALUES (7)`))
		guest := storetest.Open(t, address, beside)
		if n := number(t, guest, `SELECT a FROM t`); n != 7 {
			t.Errorf("read %d", n)
		}
		if err := do(t.Context(), guest, `DELETE FROM t`); err == nil {
			t.Error("Update beside a server")
		}
		if _, err := store.OpenLog(t.Context(), guest, "audit", nil); err == nil {
			t.Error("OpenLog beside a server")
		}
		must(t, do(t.Context(), server, `INSERT INTO t VALUES (8)`))
		newer := migrations(t, map[string]string{"99999_more.sql": "-- +goose Up\nCREATE TABLE more (a BIGINT NOT NULL);\n"})
		if db, err := (store.Options{Beside: true, Migrations: newer}).Open(t.Context(), address, nil); err == nil {
			must(t, db.Close())
			t.Error("opened a database at another migration beside its server")
		}
	})
}

// migrations returns the program's migrations and some more.
func migrations(t testing.TB, more map[string]string) fs.FS {
	t.Helper()
	all := fstest.MapFS{}
	names, err := fs.Glob(store.Migrations(), "*.sql")
	must(t, err)
	for _, name := range names {
		text, err := fs.ReadFile(store.Migrations(), name)
		must(t, err)
		all[name] = &fstest.MapFile{Data: text}
	}
	for name, text := range more {
		all[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return all
}

// TestMigrations is about coming from an older program, failing on the way, and going back.
func TestMigrations(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		address := e.url(t)
		run := func(files fs.FS, statements ...string) error {
			db, err := store.Options{Migrations: files}.Open(t.Context(), address, nil)
			if err != nil {
				return err
			}
			return errors.Join(do(t.Context(), db, statements...), db.Close())
		}
		first := map[string]string{"90001_a.sql": "-- +goose Up\nCREATE TABLE a (n BIGINT NOT NULL);\nINSERT INTO a VALUES (1);\n"}
		must(t, run(migrations(t, first), `INSERT INTO a VALUES (2)`))
		bad := map[string]string{"90001_a.sql": first["90001_a.sql"], "90002_b.sql": "-- +goose Up\nCREATE TABLE b (n BIGINT NOT NULL);\nINSERT INTO nowhere VALUES (1);\n"}
		if err := run(migrations(t, bad)); err == nil {
			t.Error("a migration that fails")
		}
		good := map[string]string{"90001_a.sql": first["90001_a.sql"], "90002_b.sql": "-- +goose Up\nCREATE TABLE b (n BIGINT NOT NULL);\nINSERT INTO b SELECT n FROM a;\n"}
		must(t, run(migrations(t, good), `INSERT INTO b VALUES (3)`))
		must(t, run(migrations(t, good), `INSERT INTO b VALUES (4)`))
		if err := run(migrations(t, first)); err == nil || !strings.Contains(err.Error(), "newer") {
			t.Errorf("an older program: %v", err)
		}
		db := storetest.Open(t, address, store.Options{Migrations: migrations(t, good)})
		if n := number(t, db, `SELECT SUM(n) FROM b`); n != 10 {
			t.Errorf("the sum is %d, want 10", n)
		}
	})
}

// TestOpenPostgresCollation is about a database that would page in another order than SQLite.
func TestOpenPostgresCollation(t *testing.T) {
	conn, address := pgConnect(t)
	for name, create := range map[string]string{
		"icu":    `TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'`,
		"latin1": `TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'`,
	} {
		t.Run(name, func(t *testing.T) {
			database := "bad_" + name + "_" + strings.TrimPrefix(address.Path, "/")
			_, err := conn.Exec(t.Context(), `CREATE DATABASE `+database+` `+create)
			must(t, err)
			t.Cleanup(func() {
				if _, err := conn.Exec(context.Background(), `DROP DATABASE `+database); err != nil {
					t.Error(err)
				}
			})
			bad := *address
			bad.Path = "/" + database
			if _, err := store.Open(t.Context(), bad.String(), nil); err == nil || !strings.Contains(err.Error(), "CREATE DATABASE "+database) {
				t.Errorf("Open: %v, want advice how to create the database", err)
			}
		})
	}
}

// pgConnect returns a connection to a fresh PostgreSQL database, and its address.
func pgConnect(t *testing.T) (*pgx.Conn, *url.URL) {
	t.Helper()
	address, err := url.Parse(storetest.Postgres(t))
	must(t, err)
	conn, err := pgx.Connect(t.Context(), address.String())
	must(t, err)
	t.Cleanup(func() { must(t, conn.Close(context.Background())) })
	return conn, address
}

// TestRunPostgresLockLost is about a server whose lock connection was cut, while another one starts.
func TestRunPostgresLockLost(t *testing.T) {
	conn, address := pgConnect(t)
	var logged strings.Builder
	old, err := store.Open(t.Context(), address.String(), slog.New(slog.NewTextHandler(&logged, nil)))
	must(t, err)
	defer func() { _ = old.Close() }() // its lock is lost
	if !strings.Contains(logged.String(), "fsync off") {
		t.Errorf("no warning of a server without fsync: %s", logged.String())
	}
	must(t, do(t.Context(), old, `CREATE TABLE t (a BIGINT NOT NULL)`))
	var cut bool
	must(t, conn.QueryRow(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database =
		(SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&cut))
	var second *store.DB
	for deadline := time.Now().Add(10 * time.Second); ; { // The server notices the cut when it gets to it.
		if second, err = store.Open(t.Context(), address.String(), nil); err == nil || !errors.Is(err, store.ErrLocked) || time.Now().After(deadline) {
			break
		}
	}
	must(t, err)
	defer func() { must(t, second.Close()) }()
	// The old one cannot write any more, though nobody has told it.
	wantError(t, "Update of the old server", do(t.Context(), old, `INSERT INTO t VALUES (1)`), store.ErrTaken)
	wantError(t, "Run of the old server", old.Run(t.Context()), store.ErrTaken)
	must(t, do(t.Context(), second, `INSERT INTO t VALUES (2)`))
	if n := number(t, second, `SELECT SUM(a) FROM t`); n != 2 {
		t.Errorf("the sum is %d, want 2", n)
	}
	// Without another server, Run finds the cut itself.
	must(t, conn.QueryRow(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database =
		(SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&cut))
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "keeps other servers off") {
		t.Errorf("Run: %v", err)
	}
	if err := do(t.Context(), second, `INSERT INTO t VALUES (3)`); err == nil {
		t.Error("Update after the lock was lost")
	}
}

// TestUpdatePostgresConnectionCut is about connections that the server ends, as it does when it restarts.
func TestUpdatePostgresConnectionCut(t *testing.T) {
	conn, address := pgConnect(t)
	db := storetest.Open(t, address.String(), store.Options{})
	must(t, do(t.Context(), db, `CREATE TABLE t (a BIGINT NOT NULL)`, `INSERT INTO t VALUES (0)`))
	if n := number(t, db, `SELECT a FROM t`); n != 0 {
		t.Fatal(n)
	}
	err := db.Update(t.Context(), func(tx *store.Tx) error {
		if _, err := tx.ExecContext(t.Context(), `UPDATE t SET a = 1`); err != nil {
			return err
		}
		_, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
			AND pid <> pg_backend_pid() AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')`)
		must(t, err)
		_, _ = tx.ExecContext(t.Context(), `UPDATE t SET a = 2`)
		return nil
	})
	if err == nil {
		t.Error("Update succeeded on a connection that was cut")
	}
	// The pool replaces what was cut; nothing but the transaction was lost.
	for range 3 {
		_ = db.View(t.Context(), func(tx *store.Tx) error { return tx.QueryRowContext(t.Context(), `SELECT a FROM t`).Scan(new(int64)) })
	}
	must(t, do(t.Context(), db, `UPDATE t SET a = a + 5`))
	if n := number(t, db, `SELECT a FROM t`); n != 5 {
		t.Errorf("read %d, want 5", n)
	}
}

// TestUpdatePostgresMuchConflict has more writers of one row than attempts: in the end each runs alone.
func TestUpdatePostgresMuchConflict(t *testing.T) {
	db := storetest.Open(t, storetest.Postgres(t), store.Options{})
	must(t, do(t.Context(), db, `CREATE TABLE t (a BIGINT NOT NULL)`, `INSERT INTO t VALUES (0)`))
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 5 {
				if err := do(t.Context(), db, `UPDATE t SET a = a + 1`); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := number(t, db, `SELECT a FROM t`); n != 320 {
		t.Errorf("counted %d, want 320", n)
	}
}
