package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// mostInGroup is how many closures share one commit.
const mostInGroup = 1024

// largeLog is the size of the write-ahead log in bytes from which Run warns. It stays at a few megabytes unless a reader holds it up.
const largeLog = 256 << 20

// keptLog is the size in bytes that the write-ahead log is cut to when it begins anew, after a restore or another large transaction.
const keptLog = 64 << 20

// readerCache is the size in KiB of the cache of each connection that only reads. It is emptied whenever something was written, so a larger one would
// mostly be memory that is never given back.
const readerCache = 512

// sqliteEngine is a database file and its connections.
type sqliteEngine struct {
	db      *DB
	path    string
	lock    *os.File // nil beside a server
	readers *sql.DB
	writers *sql.DB // holds the one connection below

	// The writing connection belongs to whoever has the turn. Update's callers take turns on it, each running its own closure; the last of those
	// who wait commits for all of them. See update.
	turn   turn
	conn   *sql.Conn // of who has the turn
	guard  *guard    // of conn
	group  *group    // of who has the turn; nil outside a transaction
	closed bool      // of who has the turn

	warned bool // of Run: the log was large at the last look
}

// group is the closures that share a commit.
type group struct {
	size  int
	notes []note
	done  chan struct{} // closed after the commit
	err   error         // why the commit failed, or whatever else undid the whole group; read after done
}

// openSQLite opens or creates the file.
func openSQLite(ctx context.Context, db *DB, path string) (_ engine, err error) {
	e := &sqliteEngine{db: db, path: path}
	db.scratch = filepath.Dir(path)
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if db.opts.Beside {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
	} else {
		if e.lock, err = lockFile(path + ".lock"); err != nil {
			return nil, err
		}
		if err := createFile(path); err != nil {
			return nil, err
		}
	}
	open := sqliteOpener(path, "_journal_mode=WAL", "_synchronous="+cmp.Or(db.opts.synchronous, "FULL"),
		fmt.Sprintf("_pragma=journal_size_limit(%d)", keptLog))
	if db.version, err = migrate(ctx, db, goose.DialectSQLite3, open); err != nil {
		return nil, err
	}
	e.writers = sql.OpenDB(guarded{open, true})
	e.writers.SetMaxOpenConns(1)
	if e.conn, err = e.writers.Conn(ctx); err != nil {
		return nil, err
	}
	if err := e.conn.Raw(func(c any) error {
		e.guard = c.(*guard)
		// From here on, begin waits for other processes in its own way.
		return e.guard.control(`PRAGMA busy_timeout = 0`)
	}); err != nil {
		return nil, err
	}
	readers := db.opts.Readers
	if readers == 0 {
		readers = min(8, max(4, 2*runtime.GOMAXPROCS(0))) // they mostly wait for a core, and each has a megabyte of statements and pages
	}
	e.readers = sql.OpenDB(guarded{sqliteOpener(path, "_query_only=1", fmt.Sprintf("_pragma=cache_size(-%d)", readerCache)), true})
	e.readers.SetMaxOpenConns(readers)
	e.readers.SetMaxIdleConns(readers)
	return e, nil
}

// createFile creates an empty database if there is none. SQLite itself would let everybody read it; its companions take the mode of the file. A file
// that exists is not even opened: closing it would take away the locks that SQLite has on it in this process.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// sqliteOpener opens connections to the file at path, which must exist.
func sqliteOpener(path string, params ...string) opener {
	params = append([]string{"mode=rw", "_dqs=0", "_error_rc=1", "_busy_timeout=10000"}, params...)
	dsn := (&url.URL{Scheme: "file", Path: path, RawQuery: strings.Join(params, "&")}).String()
	return func(context.Context) (driver.Conn, error) { return new(sqlite.Driver).Open(dsn) }
}

// view implements engine.
func (e *sqliteEngine) view(ctx context.Context, f func(*Tx) error) error {
	conn, err := e.readers.Conn(ctx)
	if err != nil {
		return closedError(err)
	}
	defer conn.Close()
	tx := Tx{conn: conn}
	if err := conn.Raw(func(c any) error {
		tx.guard = c.(*guard)
		return tx.guard.control(`BEGIN`)
	}); err != nil {
		return err
	}
	// Nothing was written, so there is nothing to lose in an error of the end.
	defer func() { _ = tx.guard.control(`ROLLBACK`) }()
	if err := tx.run(f); err != nil {
		return err
	}
	if tx.notes != nil {
		return errNotifyInView
	}
	return nil
}

// control runs BEGIN, COMMIT and their like, which no context ends.
func (g *guard) control(text string) error {
	_, err := g.exec(context.Background(), text, nil) //nolint:forbidigo // so it says above
	return err
}

// closedError turns database/sql's word for a closed pool into ours.
func closedError(err error) error {
	if err != nil && err.Error() == "sql: database is closed" {
		return ErrClosed
	}
	return err
}

// update implements engine. Callers take turns on the writing connection. The first of a group begins the transaction; each runs its closure under a
// savepoint; whoever finds nobody waiting for the next turn, or fills the group, commits for all. So the callers that arrive during one
// commit share the next, and a lone caller waits for nobody. A closure runs on its caller's goroutine: its panic, its runtime.Goexit
// and its stack are the caller's.
func (e *sqliteEngine) update(ctx context.Context, f func(*Tx) error) (err error) {
	if err := e.turn.take(ctx); err != nil {
		return err
	}
	if e.group == nil {
		if err := e.begin(ctx); err != nil {
			e.turn.give()
			return err
		}
	}
	g := e.group
	// Even if f does not return, the turn is passed on, and nobody leaves before the fate of what f saw is known.
	defer func() {
		g.size++
		if g.err != nil || g.size >= mostInGroup || !e.turn.pass() {
			e.commit(g)
			e.turn.give()
		}
		<-g.done
		if g.err != nil {
			err = g.err
		}
	}()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e.db.opts.RunTwice {
		_, _ = e.member(g, f, false)
		if g.err != nil {
			return g.err
		}
	}
	notes, err := e.member(g, f, true)
	if err == nil {
		g.notes = append(g.notes, notes...)
	}
	return err
}

// takeAlone waits for the turn and ends the group that is open.
func (e *sqliteEngine) takeAlone(ctx context.Context) error {
	if err := e.turn.take(ctx); err != nil {
		return err
	}
	if e.group != nil {
		e.commit(e.group)
	}
	return nil
}

// begin waits until no other process writes and begins a group, unless a backup was restored.
func (e *sqliteEngine) begin(ctx context.Context) error {
	if err := e.lockDatabase(ctx); err != nil {
		return err
	}
	var found mark
	err := e.guard.scanMark(ctx, &found)
	if err == nil {
		err = e.db.check(found)
	}
	if err != nil {
		return errors.Join(err, e.guard.control(`ROLLBACK`))
	}
	e.group = &group{done: make(chan struct{})}
	return nil
}

// lockDatabase begins a writing transaction. Only another process can be in the way, and only a restore takes long.
func (e *sqliteEngine) lockDatabase(ctx context.Context) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		switch {
		case e.closed:
			return ErrClosed
		case ctx.Err() != nil:
			return ctx.Err()
		}
		err := e.guard.control(`BEGIN IMMEDIATE`)
		if code := (*sqlite.Error)(nil); !errors.As(err, &code) || code.Code()&0xff != sqlite3.SQLITE_BUSY {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// scanMark reads the mark without the cost of database/sql.
func (g *guard) scanMark(ctx context.Context, found *mark) error {
	s, err := g.prepared(ctx, readMark)
	if err != nil {
		return err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.WithoutCancel(ctx), nil)
	if err != nil {
		return err
	}
	defer rows.Close()
	row := make([]driver.Value, 2)
	if err := rows.Next(row); err != nil {
		return fmt.Errorf("store: read generation: %w", err)
	}
	var ok1, ok2 bool
	found.generation, ok1 = row[0].(string)
	found.owner, ok2 = row[1].(string)
	if !ok1 || !ok2 {
		return errors.New("store: read generation: not text")
	}
	return nil
}

// member runs f once under a savepoint of g and keeps what it wrote if f succeeded and keep is set. SQLite undoes the whole transaction on some
// errors, as when the disk is full; then the savepoint is gone, and the group fails as one.
func (e *sqliteEngine) member(g *group, f func(*Tx) error, keep bool) (_ []note, err error) {
	if g.err = e.guard.control(`SAVEPOINT f`); g.err != nil {
		return nil, g.err
	}
	tx := Tx{conn: e.conn, guard: e.guard}
	finished := false
	defer func() {
		undo := error(nil)
		if !finished || err != nil || !keep {
			undo = e.guard.control(`ROLLBACK TO f`)
		}
		if undo == nil {
			undo = e.guard.control(`RELEASE f`)
		}
		if undo != nil {
			g.err = errors.Join(err, undo)
		}
	}()
	err = tx.run(f)
	finished = true
	return tx.notes, err
}

// commit ends the open group and tells its members.
func (e *sqliteEngine) commit(g *group) {
	e.group = nil
	if g.err == nil {
		g.err = e.guard.control(`COMMIT`)
	}
	if g.err != nil {
		g.err = fmt.Errorf("store: commit: %w", g.err)
		_ = e.guard.control(`ROLLBACK`) // It fails if SQLite has done it already, which is the usual case.
	} else {
		e.db.committed(g.size)
		e.db.topics.deliver(g.notes)
	}
	close(g.done)
}

// exclusive implements engine.
func (e *sqliteEngine) exclusive(ctx context.Context, f func(*Tx) error) error {
	if err := e.takeAlone(ctx); err != nil {
		return err
	}
	defer e.turn.give()
	if err := e.lockDatabase(ctx); err != nil {
		return err
	}
	committed := false
	defer func() {
		if !committed {
			_ = e.guard.control(`ROLLBACK`) // As in commit.
		}
	}()
	tx := Tx{conn: e.conn, guard: e.guard}
	if err := tx.run(f); err != nil {
		return err
	}
	if err := e.guard.control(`COMMIT`); err != nil {
		return err
	}
	committed = true
	return nil
}

// tables implements engine.
func (e *sqliteEngine) tables(ctx context.Context, tx *Tx) ([]table, error) {
	return scanTables(ctx, tx, `SELECT t.name, c.name, c.type FROM sqlite_schema t, pragma_table_info(t.name) c
		WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' ORDER BY t.name, c.cid`)
}

// watch implements engine.
func (e *sqliteEngine) watch(context.Context) error {
	info, err := os.Stat(e.path + "-wal")
	if err != nil {
		return nil // There is none before the first write.
	}
	if large := info.Size() >= largeLog; large != e.warned {
		e.warned = large
		if large {
			e.db.log.Warn("the write-ahead log is large: a long read holds it up", "file", filepath.Base(e.path)+"-wal", "bytes", info.Size())
		} else {
			e.db.log.Info("the write-ahead log is small again", "file", filepath.Base(e.path)+"-wal")
		}
	}
	return nil
}

// close implements engine. A View that is running ends on its own.
func (e *sqliteEngine) close() error {
	if err := e.takeAlone(context.Background()); err != nil { //nolint:forbidigo // closing has no context
		return err
	}
	defer e.turn.give()
	if e.closed {
		return nil
	}
	e.closed = true
	var errs []error
	if e.readers != nil {
		errs = append(errs, e.readers.Close())
	}
	if e.conn != nil {
		errs = append(errs, e.conn.Close())
	}
	if e.writers != nil {
		errs = append(errs, e.writers.Close())
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Close())
	}
	return errors.Join(errs...)
}
