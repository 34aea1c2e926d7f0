// Package store is where everything is kept: tables in SQLite (in the process, the default) or PostgreSQL, with one SQL text for both.
// It knows nothing of the business: capabilities own their tables, their queries and their migrations.
//
// There are two ways in. [DB.View] shows one snapshot and refuses writes; [DB.Update] changes things, and they are durable when it returns nil.
// A closure of Update may run twice, so it assigns its results and never appends to them, and it uses no clock, network or random number.
//
// The engines are made to behave alike, and in each case like the stricter of the two:
//
//   - After a statement failed, the transaction accepts no other and Update fails, even if the closure returns nil. A duplicate key is not
//     found by provoking an error but by INSERT … ON CONFLICT DO NOTHING and the count of rows.
//   - One result is read at a time: no statement runs while the rows of another are open.
//   - Text is valid UTF-8 without NUL, numbers are finite, a nil []byte is an empty one (NULL is spelled with sql.Null). Times are BIGINT.
//   - Booleans come back as bool, empty BYTEA as an empty slice that is not nil. LastInsertId does not exist.
//
// Rows are the truth. [Tx.Notify] tells whoever acts on them, after the commit, that it is worth looking again: see [Subscription] and [DB.Seq].
package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"
)

// ErrRestored says that a backup was restored into the database since it was opened. Nothing was written. It is final for this DB: close it, open it
// again and rebuild whatever was derived from the rows.
var ErrRestored = errors.New("store: a backup was restored into the database since it was opened")

// ErrTaken says that another server opened the database since we did, after our lock was lost. It is final for this DB.
var ErrTaken = errors.New("store: another server has taken over the database")

// ErrLocked says that another server has the database open.
var ErrLocked = errors.New("store: another server has the database open")

// ErrClosed is returned by calls on a DB, Log or Batcher after its end.
var ErrClosed = errors.New("store: closed")

// errBeside refuses an Update by a process that opened the database beside its server.
var errBeside = errors.New("store: opened beside a server, only reading, backup and restore are possible")

// errNotifyInView reports a wake-up in a transaction that cannot have changed anything.
var errNotifyInView = errors.New("store: Notify inside View")

// Options are the knobs of Open. The zero value is what a server uses.
type Options struct {
	// Beside opens a database that a server may have open at the same time, for Backup, Restore and View. It takes no lock and runs no migration;
	// the database must exist and be at this program's migration version.
	Beside bool
	// Migrations replaces the embedded migrations, for tests. It must contain the first of [Migrations].
	Migrations fs.FS
	// RunTwice runs every closure of Update twice and rolls back the first run, for tests.
	RunTwice bool
	// Readers is the number of connections for View; 0 means two a core, 4 to 8, on SQLite, and 16 on PostgreSQL.
	Readers int
	// Writers is the number of connections for Update on PostgreSQL; 0 means 16. SQLite has one.
	Writers int

	synchronous string // SQLite's setting of that name, for the test that shows what FULL is for

	// Watch is how often Run looks whether the database is still ours; 0 means every second.
	Watch time.Duration

	upTo int64 // the migration at which to stop, for a backup of an older program; 0 means the last
}

// engine is what SQLite and PostgreSQL do each in their own way.
type engine interface {
	// view runs f in a snapshot that cannot write.
	view(ctx context.Context, f func(*Tx) error) error
	// update runs f in a transaction that is checked against db.mark and delivers its notes after the commit.
	update(ctx context.Context, f func(*Tx) error) error
	// exclusive runs f as the only writer, whoever opened the database; it is how Restore writes.
	exclusive(ctx context.Context, f func(*Tx) error) error
	// tables lists the tables of the capabilities in order of their names.
	tables(ctx context.Context, tx *Tx) ([]table, error)
	// openLog opens the engine's side of a Log.
	openLog(ctx context.Context, name string) (logEngine, error)
	// watch is called every second by Run; an error ends Run.
	watch(ctx context.Context) error
	// close ends all connections and gives up the lock.
	close() error
}

// mark is the row of vennel_store as it was when the database was opened.
type mark struct{ generation, owner string }

// DB is an open database. It is safe for concurrent use.
type DB struct {
	engine  engine
	opts    Options
	log     *slog.Logger
	version int64                 // the migration version of this program
	scratch string                // the folder for temporary files; empty means the system's
	mark    mark                  // what every writing transaction must find
	final   atomic.Pointer[error] // why nothing can be written any more
	topics  topics
	commits atomic.Uint64
	updates atomic.Uint64
}

// Stats are what a DB has done since it was opened.
type Stats struct {
	Commits uint64 // that waited for the disk
	Updates uint64 // that ended in them: on SQLite those that come together share a commit
}

// Stats returns the counts until now.
func (db *DB) Stats() Stats { return Stats{Commits: db.commits.Load(), Updates: db.updates.Load()} }

// committed counts a commit that so many Updates shared.
func (db *DB) committed(updates int) {
	db.commits.Add(1)
	db.updates.Add(uint64(updates))
}

// Open opens or creates the database at url and brings it to this program's migration version. A url is sqlite:///absolute/path/vennel.db or
// postgres://… (PostgreSQL 15 or later, a UTF-8 database that sorts by bytes). It fails with ErrLocked if another server has it open.
// Nothing runs in the background but what [DB.Run] does; Close ends it.
func Open(ctx context.Context, url string, log *slog.Logger) (*DB, error) {
	return Options{}.Open(ctx, url, log)
}

// Open is the function Open with these options.
func (o Options) Open(ctx context.Context, address string, log *slog.Logger) (*DB, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	u, err := url.Parse(address)
	if err != nil {
		// The parser's own message would repeat the address, which may hold a password.
		return nil, errors.New("store: the database's address is not a URL")
	}
	db := &DB{opts: o, log: log}
	switch u.Scheme {
	case "sqlite":
		if u.Host != "" || u.Path == "" || u.Path[0] != '/' {
			return nil, errors.New("store: a SQLite database is named sqlite:///absolute/path")
		}
		db.engine, err = openSQLite(ctx, db, u.Path)
	case "postgres", "postgresql":
		db.engine, err = openPostgres(ctx, db, address)
	default:
		return nil, fmt.Errorf("store: unknown database scheme %q, want sqlite or postgres", u.Scheme)
	}
	if err != nil {
		return nil, fmt.Errorf("store: open: %w", err)
	}
	if err := db.sign(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("store: open: %w", err), db.engine.close())
	}
	return db, nil
}

// sign reads the mark, and makes us the owner unless we are beside one.
func (db *DB) sign(ctx context.Context) error {
	if !db.opts.Beside {
		owner := rand.Text()
		if err := db.engine.exclusive(ctx, func(tx *Tx) error {
			_, err := tx.ExecContext(ctx, `UPDATE vennel_store SET owner = $1 WHERE id = 1`, owner)
			return err
		}); err != nil {
			return err
		}
	}
	return db.engine.view(ctx, func(tx *Tx) error {
		return tx.QueryRowContext(ctx, readMark).Scan(&db.mark.generation, &db.mark.owner)
	})
}

// readMark is the query that every writing transaction begins with.
const readMark = `SELECT generation, owner FROM vennel_store WHERE id = 1`

// Run watches the database until ctx is done, which returns nil. It returns ErrRestored within about a second after a backup was restored, be it by
// another process, and ErrTaken or another error when the database is no longer ours. Without Run the same is found by the next Update.
func (db *DB) Run(ctx context.Context) error {
	tick := time.NewTicker(cmp.Or(db.opts.Watch, time.Second))
	defer tick.Stop()
	for {
		if err := db.poll(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// poll is one look of Run.
func (db *DB) poll(ctx context.Context) error {
	if err := db.ended(); err != nil {
		return err
	}
	var found mark
	if err := db.engine.view(ctx, func(tx *Tx) error {
		return tx.QueryRowContext(ctx, readMark).Scan(&found.generation, &found.owner)
	}); err != nil {
		return fmt.Errorf("store: watch: %w", err)
	}
	if err := db.check(found); err != nil {
		return err
	}
	return db.engine.watch(ctx)
}

// check compares a mark read from the database with ours, and remembers a difference for good.
func (db *DB) check(found mark) error {
	switch {
	case found.generation != db.mark.generation:
		return db.end(ErrRestored)
	case found.owner != db.mark.owner && !db.opts.Beside:
		return db.end(ErrTaken)
	}
	return nil
}

// end makes err the answer to every later Update; the first one stays.
func (db *DB) end(err error) error {
	db.final.CompareAndSwap(nil, &err)
	return db.ended()
}

// ended returns why nothing can be written any more, or nil.
func (db *DB) ended() error {
	if err := db.final.Load(); err != nil {
		return *err
	}
	return nil
}

// Close waits for running transactions, ends all connections and gives up the lock. Later calls fail with ErrClosed.
func (db *DB) Close() error {
	closed := ErrClosed
	db.final.Store(&closed)
	db.topics.close()
	return db.engine.close()
}

// View runs f in one consistent snapshot, in which a write is an error. It is not retried, so f runs once.
// A View inside an Update sees the state before it.
func (db *DB) View(ctx context.Context, f func(tx *Tx) error) error {
	return db.engine.view(ctx, f)
}

// Update runs f in a transaction; what f wrote is durable when Update returns nil. An error or panic of f rolls back what f wrote and nothing else.
// f may run twice, the first run having been rolled back, so it must assign its results. All closures together behave as if they ran one after
// the other. An Update must not be called inside another.
func (db *DB) Update(ctx context.Context, f func(tx *Tx) error) error {
	if db.opts.Beside {
		return errBeside
	}
	if err := db.ended(); err != nil {
		return err
	}
	return db.engine.update(ctx, f)
}
