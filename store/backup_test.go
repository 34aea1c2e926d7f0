package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// accounts are two tables whose numbers always add up to 1000, and which grow together.
var accounts = []string{
	`CREATE TABLE lefts (id BIGINT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)`,
	`CREATE TABLE rights (id BIGINT NOT NULL PRIMARY KEY, n BIGINT NOT NULL)`,
	`INSERT INTO lefts VALUES (0, 1000)`,
	`INSERT INTO rights VALUES (0, 0)`,
}

// transfer moves a little from one table to the other and adds a row to both.
func transfer(ctx context.Context, db *store.DB, id int) error {
	return db.Update(ctx, func(tx *store.Tx) error {
		for _, s := range []string{`UPDATE lefts SET n = n - $1 WHERE id = 0`, `UPDATE rights SET n = n + $1 WHERE id = 0`} {
			if _, err := tx.ExecContext(ctx, s, id%7-3); err != nil {
				return err
			}
		}
		for _, s := range []string{`INSERT INTO lefts VALUES ($1, 0)`, `INSERT INTO rights VALUES ($1, 0)`} {
			if _, err := tx.ExecContext(ctx, s, id); err != nil {
				return err
			}
		}
		tx.Notify("transfers", "")
		return nil
	})
}

// storm runs transfers until the returned function is called, which returns the errors but want.
func storm(t testing.TB, db *store.DB, want error) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 1; ctx.Err() == nil; i++ {
				if err := transfer(ctx, db, i*8+w); err != nil && ctx.Err() == nil {
					if !errors.Is(err, want) || want == nil {
						t.Errorf("transfer: %v", err)
					}
					return
				}
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// waitTransfers waits for n commits of transfers.
func waitTransfers(t testing.TB, db *store.DB, n uint64) {
	t.Helper()
	s := db.Subscribe("transfers")
	defer s.Close()
	for until := db.Seq("transfers") + n; db.Seq("transfers") < until; {
		_, err := s.Next(t.Context())
		must(t, err)
	}
}

// consistent fails the test unless the accounts add up. It returns the number of rows of each.
func consistent(t testing.TB, db *store.DB) int64 {
	t.Helper()
	if n := number(t, db, `SELECT (SELECT SUM(n) FROM lefts) + (SELECT SUM(n) FROM rights)`); n != 1000 {
		t.Errorf("the accounts add up to %d, want 1000", n)
	}
	lefts, rights := number(t, db, `SELECT COUNT(*) FROM lefts`), number(t, db, `SELECT COUNT(*) FROM rights`)
	if lefts != rights {
		t.Errorf("%d and %d rows", lefts, rights)
	}
	return lefts
}

// TestBackupWriteStorm takes backups while eight writers write, and restores them into the other engine and this one.
func TestBackupWriteStorm(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		db := storetest.Open(t, e.url(t), store.Options{})
		must(t, do(t.Context(), db, accounts...))
		stop := storm(t, db, nil)
		var backups []bytes.Buffer
		for range 3 {
			waitTransfers(t, db, 20)
			var b bytes.Buffer
			must(t, db.Backup(t.Context(), &b))
			backups = append(backups, b)
		}
		stop()
		var last int64
		for i, b := range backups {
			var counts []int64
			for _, other := range engines() {
				into := storetest.Open(t, other.url(t), store.Options{})
				must(t, do(t.Context(), into, accounts[:2]...))
				must(t, into.Restore(t.Context(), bytes.NewReader(b.Bytes())))
				counts = append(counts, consistent(t, into))
				must(t, into.Close())
			}
			if counts[0] != counts[1] || counts[0] <= last {
				t.Errorf("backup %d has %d rows on one engine, %d on the other, and the one before %d", i, counts[0], counts[1], last)
			}
			last = counts[0]
		}
	})
}

// restoreChild restores a file into a database beside its server.
func restoreChild(ctx context.Context, args []string) (err error) {
	db, err := store.Options{Beside: true}.Open(ctx, args[0], nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	file, err := os.Open(args[1])
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it is only read
	return db.Restore(ctx, file)
}

// backupChild writes a backup beside a server to a file.
func backupChild(ctx context.Context, args []string) (err error) {
	db, err := store.Options{Beside: true}.Open(ctx, args[0], nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	file, err := os.Create(args[1])
	if err != nil {
		return err
	}
	return errors.Join(db.Backup(ctx, file), file.Close())
}

// TestRestoreOtherProcess backs up and restores from another process while the server's writers write: they stop with ErrRestored, and what they had
// written after the backup is gone.
func TestRestoreOtherProcess(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		address := e.url(t)
		server := storetest.Open(t, address, store.Options{})
		must(t, do(t.Context(), server, accounts...))
		for i := range 100 {
			must(t, transfer(t.Context(), server, i+1))
		}
		idle := make(chan error, 1)
		go func() { idle <- server.Run(t.Context()) }()
		file := filepath.Join(t.TempDir(), "backup")
		must(t, child(t, "backup", address, file).Run())
		want := number(t, server, `SELECT n FROM lefts WHERE id = 0`)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := 101; ; i++ {
					if err := transfer(ctx, server, i*8+w); err != nil {
						wantError(t, "transfer", err, store.ErrRestored)
						return
					}
				}
			})
		}
		must(t, child(t, "restore", address, file).Run())
		began := time.Now()
		wantError(t, "Run", <-idle, store.ErrRestored)
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("Run returned after %v", d)
		}
		wg.Wait()
		if n := consistent(t, server); n != 101 {
			t.Errorf("%d rows, want the 101 of the backup", n)
		}
		if n := number(t, server, `SELECT n FROM lefts WHERE id = 0`); n != want {
			t.Errorf("read %d, want %d", n, want)
		}
		// The server rebuilds itself by opening the database again.
		must(t, server.Close())
		again := storetest.Open(t, address, store.Options{})
		must(t, transfer(t.Context(), again, 5000))
		consistent(t, again)
	})
}

// TestRestoreInProcess restores through the server's own DB while its writers write.
func TestRestoreInProcess(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		db := storetest.Open(t, e.url(t), store.Options{})
		must(t, do(t.Context(), db, accounts...))
		must(t, transfer(t.Context(), db, 1))
		var backup bytes.Buffer
		must(t, db.Backup(t.Context(), &backup))
		stop := storm(t, db, store.ErrRestored)
		defer stop()
		waitTransfers(t, db, 20)
		must(t, db.Restore(t.Context(), &backup))
		wantError(t, "Update", transfer(t.Context(), db, 99999), store.ErrRestored)
		stop()
		if n := consistent(t, db); n != 2 {
			t.Errorf("%d rows, want the 2 of the backup", n)
		}
	})
}

// TestRestoreFails is about a restore that cannot be finished: everything stays, and goes on.
func TestRestoreFails(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		db := storetest.Open(t, e.url(t), store.Options{})
		must(t, do(t.Context(), db, accounts...))
		must(t, do(t.Context(), db, `CREATE TABLE strict (n BIGINT NOT NULL, CHECK (n < 10))`, `INSERT INTO strict VALUES (5)`))
		other := storetest.Open(t, storetest.SQLite(t), store.Options{})
		must(t, do(t.Context(), other, accounts...))
		must(t, do(t.Context(), other, `CREATE TABLE strict (n BIGINT NOT NULL)`, `INSERT INTO strict VALUES (50)`, `UPDATE lefts SET n = 0`))
		var backup bytes.Buffer
		must(t, other.Backup(t.Context(), &backup))
		if err := db.Restore(t.Context(), bytes.NewReader(backup.Bytes())); err == nil {
			t.Error("restored rows that a CHECK refuses")
		}
		must(t, do(t.Context(), other, `ALTER TABLE strict ADD COLUMN more BIGINT NOT NULL DEFAULT 0`))
		backup.Reset()
		must(t, other.Backup(t.Context(), &backup))
		wantError(t, "Restore of a table with another column", db.Restore(t.Context(), bytes.NewReader(backup.Bytes())), store.ErrBackup)
		broken := errors.New("broken pipe")
		wantError(t, "Restore from a reader that fails", db.Restore(t.Context(), io.MultiReader(bytes.NewReader(backup.Bytes()[:100]), failing{broken})), broken)
		consistent(t, db)
		if n := number(t, db, `SELECT n FROM strict`); n != 5 {
			t.Errorf("read %d, want 5", n)
		}
		must(t, transfer(t.Context(), db, 1))
		wantError(t, "Backup to a writer that fails", db.Backup(t.Context(), failing{broken}), broken)
	})
}

// failing fails to read and to write.
type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Write implements io.Writer.
func (f failing) Write([]byte) (int, error) { return 0, f.err }

// TestRestoreOlder restores the backup of an older program, whose tables were different.
func TestRestoreOlder(t *testing.T) {
	first := map[string]string{"90001_a.sql": "-- +goose Up\nCREATE TABLE a (n BIGINT NOT NULL);\n"}
	second := map[string]string{
		"90001_a.sql": first["90001_a.sql"],
		"90002_b.sql": "-- +goose Up\nCREATE TABLE b (n BIGINT NOT NULL, s TEXT NOT NULL);\nINSERT INTO b SELECT n, 'moved' FROM a;\nDROP TABLE a;\n",
	}
	eachEngine(t, func(t *testing.T, e engine) {
		old := storetest.Open(t, e.url(t), store.Options{Migrations: migrations(t, first)})
		must(t, do(t.Context(), old, `INSERT INTO a VALUES (1), (2)`))
		var backup bytes.Buffer
		must(t, old.Backup(t.Context(), &backup))
		db := storetest.Open(t, e.url(t), store.Options{Migrations: migrations(t, second)})
		must(t, do(t.Context(), db, `INSERT INTO b VALUES (9, 'new')`))
		must(t, db.Restore(t.Context(), bytes.NewReader(backup.Bytes())))
		if n := number(t, db, `SELECT SUM(n) FROM b WHERE s = 'moved'`); n != 3 {
			t.Errorf("the sum is %d, want 3", n)
		}
		if n := number(t, db, `SELECT COUNT(*) FROM b`); n != 2 {
			t.Errorf("%d rows, want 2", n)
		}
		backup.Reset()
		must(t, db.Backup(t.Context(), &backup))
		wantError(t, "Restore of a newer backup", old.Restore(t.Context(), &backup), store.ErrBackup)
	})
}

// TestRestoreLarge is about memory: neither side holds a table.
func TestRestoreLarge(t *testing.T) {
	db := storetest.Open(t, storetest.SQLite(t), store.Options{})
	must(t, do(t.Context(), db, `CREATE TABLE big (id BIGINT NOT NULL PRIMARY KEY, y BYTEA NOT NULL)`))
	body := bytes.Repeat([]byte("vennel"), 5000)
	must(t, db.Update(t.Context(), func(tx *store.Tx) error {
		for i := range 500 {
			if _, err := tx.ExecContext(t.Context(), `INSERT INTO big VALUES ($1, $2)`, i, body); err != nil {
				return err
			}
		}
		return nil
	}))
	var most, size int
	must(t, db.Backup(t.Context(), writerFunc(func(p []byte) (int, error) {
		most = max(most, len(p))
		size += len(p)
		return len(p), nil
	})))
	if most > 1<<20 || size < 15e6 {
		t.Errorf("the largest write of %d bytes had %d", size, most)
	}
}

// writerFunc is an io.Writer.
type writerFunc func(p []byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// FuzzRestore gives Restore what it was not made for. Whatever it accepts, it must write again as it was.
func FuzzRestore(f *testing.F) {
	db, err := store.Open(f.Context(), storetest.SQLite(f), nil)
	must(f, err)
	f.Cleanup(func() { must(f, db.Close()) })
	must(f, do(f.Context(), db, `CREATE TABLE t (n BIGINT NOT NULL, s TEXT NOT NULL, b BOOLEAN NOT NULL, y BYTEA NOT NULL, d DOUBLE PRECISION)`,
		`INSERT INTO t VALUES (1, 'a', TRUE, '', 1.5), (-1, '🚇', FALSE, '', NULL)`))
	var good bytes.Buffer
	must(f, db.Backup(f.Context(), &good))
	f.Add(good.Bytes())
	for _, cut := range []int{1, good.Len() / 3, good.Len() / 2, good.Len() - 1} {
		f.Add(good.Bytes()[:cut])
	}
	f.Add([]byte(strings.Repeat(`[`, 1000)))
	f.Add([]byte("{\"vennel_backup\":1,\"migration\":1}\n[]\n"))
	f.Add([]byte("{\"vennel_backup\":1,\"migration\":0}\n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Its own hash would refuse every change, so the end is made to fit.
		data = store.SealBackup(data)
		err := db.Restore(t.Context(), bytes.NewReader(data))
		if err != nil {
			return
		}
		var out bytes.Buffer
		must(t, db.Backup(t.Context(), &out))
		if err := db.Restore(t.Context(), bytes.NewReader(out.Bytes())); err != nil {
			t.Fatalf("its own backup is refused: %v\n%s", err, out.Bytes())
		}
		var again bytes.Buffer
		must(t, db.Backup(t.Context(), &again))
		if diff := cmp.Diff(out.String(), again.String()); diff != "" {
			t.Errorf("(-first +second)\n%s", diff)
		}
	})
}
