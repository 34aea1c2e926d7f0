package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"golang.org/x/sync/semaphore"
)

// serverLock is the key of the advisory lock that a server holds on its database: "vennel" in ASCII.
const serverLock = 0x76656e6e656c

// The attempts of one Update at a serializable transaction: after a few it runs alone among this process's, which ends all conflicts but those with
// strangers.
const (
	attemptsTogether = 3
	attempts         = 8
)

// allTurns is more than there are Updates at one time.
const allTurns = 1 << 30

// afterwards is how long the end of a transaction may take, whatever became of its context.
const afterwards = 10 * time.Second

// postgresEngine is a database of a PostgreSQL server and its connections.
type postgresEngine struct {
	db      *DB
	open    opener
	readers *sql.DB
	writers *sql.DB
	turns   *semaphore.Weighted // each Update takes one, and all of them if it did not get through together with others

	lockMu sync.Mutex
	lock   *pgx.Conn // guarded by lockMu; holds serverLock; nil beside a server
}

// openPostgres checks the server and the database and connects.
func openPostgres(ctx context.Context, db *DB, address string) (_ engine, err error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "vennel"
	}
	e := &postgresEngine{db: db, turns: semaphore.NewWeighted(allTurns)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	first, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	e.lock = first
	if err := checkServer(ctx, db, first); err != nil {
		return nil, err
	}
	if db.opts.Beside {
		e.lock = nil
		if err := first.Close(ctx); err != nil {
			return nil, err
		}
	} else {
		var locked bool
		if err := first.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(serverLock)).Scan(&locked); err != nil {
			return nil, err
		}
		if !locked {
			return nil, fmt.Errorf("%w (database %q)", ErrLocked, config.Database)
		}
	}
	e.open = stdlib.GetConnector(*config).Connect
	if db.version, err = migrate(ctx, db, goose.DialectPostgres, e.open); err != nil {
		return nil, err
	}
	pool := func(size int) *sql.DB {
		if size == 0 {
			size = 16
		}
		p := sql.OpenDB(guarded{e.open, false})
		p.SetMaxOpenConns(size)
		p.SetMaxIdleConns(size)
		p.SetConnMaxIdleTime(5 * time.Minute)
		return p
	}
	e.readers, e.writers = pool(db.opts.Readers), pool(db.opts.Writers)
	return e, nil
}

// checkServer refuses a server or database on which the store would not keep its promises.
func checkServer(ctx context.Context, db *DB, conn *pgx.Conn) error {
	var version int
	if err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&version); err != nil {
		return err
	}
	if version < 150000 {
		return fmt.Errorf("PostgreSQL 15 or later is needed, the server is %d", version/10000)
	}
	var name, encoding, provider, collation, commit, fsync string
	if err := conn.QueryRow(ctx, `SELECT datname, pg_encoding_to_char(encoding), datlocprovider::text, coalesce(datcollate, ''),
		current_setting('synchronous_commit'), current_setting('fsync') FROM pg_database WHERE datname = current_database()`).
		Scan(&name, &encoding, &provider, &collation, &commit, &fsync); err != nil {
		return err
	}
	if encoding != "UTF8" || !sortsByBytes(provider, collation) {
		return fmt.Errorf("database %[1]q has encoding %[2]s and sorts by %[3]q of provider %[4]q; it must be UTF8 and sort by bytes, as one made by: "+
			`CREATE DATABASE %[1]s TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'`, name, encoding, collation, provider)
	}
	if commit == "off" {
		return errors.New("synchronous_commit is off: what is acknowledged would be lost with the server's power")
	}
	if fsync == "off" {
		db.log.Warn("the PostgreSQL server runs with fsync off: what is acknowledged will be lost with its power")
	}
	return nil
}

// sortsByBytes says whether a database's default collation is byte order. Provider b is PostgreSQL's own, whose collations all are; c is the C
// library; i is ICU, which has none.
func sortsByBytes(provider, collation string) bool {
	switch provider {
	case "b":
		return true
	case "c":
		switch collation {
		case "C", "POSIX", "C.UTF-8", "C.UTF8", "C.utf8":
			return true
		}
	}
	return false
}

// stale says whether err is PostgreSQL's complaint about a prepared statement that no longer fits the tables.
func stale(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "0A000" || pg.Code == "26000")
}

// conflict says whether err is PostgreSQL's way of asking for the transaction to be run again.
func conflict(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// connection takes a connection from pool.
func connection(ctx context.Context, pool *sql.DB) (*Tx, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, closedError(err)
	}
	tx := &Tx{conn: conn}
	if err := conn.Raw(func(c any) error {
		tx.guard = c.(*guard)
		return nil
	}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return tx, nil
}

// server returns the connection beneath the guard.
func (g *guard) server() *pgconn.PgConn {
	return g.Conn.(*stdlib.Conn).Conn().PgConn()
}

// send sends statements in one message and returns the last one's rows, as text.
func (g *guard) send(ctx context.Context, text string) ([][][]byte, error) {
	results, err := g.server().Exec(ctx, text).ReadAll()
	if err != nil {
		return nil, err
	}
	return results[len(results)-1].Rows, nil
}

// rollback ends a transaction whatever state it is in. If it cannot, the connection is closed, which ends it too.
func (tx *Tx) rollback(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	if server := tx.guard.server(); !server.IsClosed() && server.TxStatus() != 'I' {
		if _, err := tx.guard.send(ctx, `ROLLBACK`); err != nil {
			_ = server.Close(ctx) // The pool finds the connection closed.
		}
	}
}

// commit ends a transaction. PostgreSQL answers COMMIT with a rollback, and without an error, when a statement had failed.
func (tx *Tx) commit(ctx context.Context) error {
	if status := tx.guard.server().TxStatus(); status != 'T' {
		return fmt.Errorf("store: the transaction is not open (status %q)", status)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterwards)
	defer cancel()
	_, err := tx.guard.send(ctx, `COMMIT`)
	return err
}

// view implements engine.
func (e *postgresEngine) view(ctx context.Context, f func(*Tx) error) error {
	tx, err := connection(ctx, e.readers)
	if err != nil {
		return err
	}
	defer tx.conn.Close()
	defer tx.rollback(ctx)
	if _, err := tx.guard.send(ctx, `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`); err != nil {
		return err
	}
	if err := tx.run(f); err != nil {
		return err
	}
	if tx.notes != nil {
		return errNotifyInView
	}
	return nil
}

// update implements engine.
func (e *postgresEngine) update(ctx context.Context, f func(*Tx) error) error {
	if e.db.opts.RunTwice {
		if _, err := e.attempt(ctx, f, false, false); err != nil && (ctx.Err() != nil || e.db.ended() != nil) {
			return err
		}
	}
	for n := 1; ; n++ {
		again, err := e.attempt(ctx, f, n > attemptsTogether, true)
		if err == nil || !again || n == attempts {
			return err
		}
		timer := time.NewTimer(time.Duration(rand.Int64N(int64(time.Millisecond) << n)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// attempt runs f once and says whether it is worth another attempt.
func (e *postgresEngine) attempt(ctx context.Context, f func(*Tx) error, alone, keep bool) (again bool, err error) {
	turns := int64(1)
	if alone {
		turns = allTurns
	}
	if err := e.turns.Acquire(ctx, turns); err != nil {
		return false, err
	}
	defer e.turns.Release(turns)
	tx, err := connection(ctx, e.writers)
	if err != nil {
		return false, err
	}
	defer tx.conn.Close()
	defer tx.rollback(ctx)
	// Locking the table before the first query keeps the snapshot from being older than a restore that we waited for, and a restore from beginning
	// before we end.
	row, err := tx.guard.send(ctx, `BEGIN ISOLATION LEVEL SERIALIZABLE; LOCK TABLE vennel_store IN ROW EXCLUSIVE MODE; `+readMark)
	if err != nil {
		return conflict(err) || pgconn.SafeToRetry(err), err
	}
	if len(row) != 1 {
		return false, errors.New("store: read generation: no row")
	}
	if err := e.db.check(mark{string(row[0][0]), string(row[0][1])}); err != nil {
		return false, err
	}
	if err := tx.run(f); err != nil {
		return conflict(tx.guard.failed), err
	}
	if !keep {
		return false, nil
	}
	if err := tx.commit(ctx); err != nil {
		return conflict(err), fmt.Errorf("store: commit: %w", err)
	}
	e.db.committed(1)
	e.db.topics.deliver(tx.notes)
	return false, nil
}

// exclusive implements engine.
func (e *postgresEngine) exclusive(ctx context.Context, f func(*Tx) error) error {
	tx, err := connection(ctx, e.writers)
	if err != nil {
		return err
	}
	defer tx.conn.Close()
	defer tx.rollback(ctx)
	if _, err := tx.guard.send(ctx, `BEGIN; LOCK TABLE vennel_store IN EXCLUSIVE MODE`); err != nil {
		return err
	}
	if err := tx.run(f); err != nil {
		return err
	}
	return tx.commit(ctx)
}

// tables implements engine.
func (e *postgresEngine) tables(ctx context.Context, tx *Tx) ([]table, error) {
	return scanTables(ctx, tx, `SELECT t.relname::text, c.attname::text, upper(format_type(c.atttypid, c.atttypmod)) FROM pg_class t
		JOIN pg_attribute c ON c.attrelid = t.oid AND c.attnum > 0 AND NOT c.attisdropped
		WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind = 'r' ORDER BY t.relname, c.attnum`)
}

// watch implements engine.
func (e *postgresEngine) watch(ctx context.Context) error {
	e.lockMu.Lock()
	defer e.lockMu.Unlock()
	if e.lock == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, afterwards)
	defer cancel()
	if err := e.lock.Ping(ctx); err != nil && ctx.Err() != context.Canceled {
		return e.db.end(fmt.Errorf("store: lost the connection that keeps other servers off the database: %w", err))
	}
	return nil
}

// close implements engine.
func (e *postgresEngine) close() error {
	var errs []error
	for _, pool := range []*sql.DB{e.readers, e.writers} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	e.lockMu.Lock()
	defer e.lockMu.Unlock()
	if e.lock != nil {
		ctx, cancel := context.WithTimeout(context.Background(), afterwards) //nolint:forbidigo // closing has no context
		defer cancel()
		// The server gives the lock up with the connection, however that ends, but some time after it is closed here: who opens the database next would
		// find it locked.
		_, _ = e.lock.Exec(ctx, `SELECT pg_advisory_unlock($1)`, int64(serverLock))
		_ = e.lock.Close(ctx)
		e.lock = nil
	}
	return errors.Join(errs...)
}
