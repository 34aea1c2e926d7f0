package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// keptStatements is how many prepared statements a connection keeps. A program has a few hundred query texts; more means that somebody builds them.
const keptStatements = 1000

// errRowsOpen refuses a statement while a result is being read, which PostgreSQL's protocol cannot do.
var errRowsOpen = errors.New("store: the rows of an earlier query are still open")

// opener opens connections of an engine's driver. It implements driver.Connector.
type opener func(ctx context.Context) (driver.Conn, error)

// Connect implements driver.Connector.
func (o opener) Connect(ctx context.Context) (driver.Conn, error) { return o(ctx) }

// Driver implements driver.Connector; nobody asks.
func (opener) Driver() driver.Driver { return nil }

// guarded puts a guard before each connection.
type guarded struct {
	opener
	local bool
}

// Connect implements driver.Connector.
func (o guarded) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := o.opener(ctx)
	if err != nil {
		return nil, err
	}
	return &guard{Conn: conn, local: o.local, statements: map[string]driver.Stmt{}}, nil
}

// guard is a driver connection on which both engines behave alike, as the package comment promises, and which keeps its prepared statements.
type guard struct {
	driver.Conn
	local      bool // SQLite, in this process
	statements map[string]driver.Stmt
	reading    bool  // rows are open
	failed     error // what the transaction failed with, if it did
}

// CheckNamedValue implements driver.NamedValueChecker: it reduces an argument to what both engines store alike.
func (g *guard) CheckNamedValue(arg *driver.NamedValue) error {
	value, err := argument(arg)
	if err != nil {
		return g.fail(err)
	}
	arg.Value = value
	return nil
}

// argument returns arg as an int64, float64, bool, []byte, string or nil.
func argument(arg *driver.NamedValue) (any, error) {
	if arg.Name != "" {
		return nil, errors.New("store: arguments are numbered, not named")
	}
	value, err := driver.DefaultParameterConverter.ConvertValue(arg.Value)
	if err != nil {
		return nil, err
	}
	switch v := value.(type) {
	case string:
		if err := validText(v); err != nil {
			return nil, err
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, errors.New("store: number is not finite")
		}
	case []byte:
		if v == nil {
			return []byte{}, nil
		}
	case time.Time:
		return nil, errors.New("store: a time is stored as BIGINT")
	}
	return value, nil
}

// validText refuses a text that PostgreSQL would.
func validText(text string) error {
	if strings.IndexByte(text, 0) >= 0 {
		return errors.New("store: text contains a NUL character")
	}
	if !utf8.ValidString(text) {
		return errors.New("store: text is not valid UTF-8")
	}
	return nil
}

// fail remembers the first error of a transaction.
func (g *guard) fail(err error) error {
	if g.failed == nil {
		g.failed = err
	}
	return err
}

// ready reports why no statement can run now.
func (g *guard) ready(ctx context.Context) error {
	switch {
	case errors.Is(ctx.Err(), sql.ErrTxDone):
		return ctx.Err() // It has nothing to do with the transaction that is running now.
	case ctx.Err() != nil:
		return g.fail(ctx.Err())
	case g.reading:
		return g.fail(errRowsOpen)
	case g.failed != nil:
		return fmt.Errorf("store: the transaction failed at an earlier statement: %w", g.failed)
	}
	return nil
}

// prepared returns the statement for query, from the kept ones if it is there.
func (g *guard) prepared(ctx context.Context, query string) (driver.Stmt, error) {
	if s, ok := g.statements[query]; ok {
		return s, nil
	}
	if len(g.statements) >= keptStatements {
		for text := range g.statements {
			g.forget(text)
		}
	}
	s, err := g.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	g.statements[query] = s
	return s, nil
}

// forget drops a kept statement.
func (g *guard) forget(query string) {
	if s, ok := g.statements[query]; ok {
		delete(g.statements, query)
		_ = s.Close() // The connection outlives it and reports what is wrong with it.
	}
}

// exec runs a statement without the checks of a transaction.
func (g *guard) exec(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := g.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := s.(driver.StmtExecContext).ExecContext(ctx, args)
	if stale(err) {
		g.forget(query)
	}
	return result, err
}

// ExecContext implements driver.ExecerContext.
func (g *guard) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := g.ready(ctx); err != nil {
		return nil, err
	}
	result, err := g.exec(ctx, query, args)
	if err != nil {
		return nil, g.fail(err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return nil, g.fail(err)
	}
	return driver.RowsAffected(n), nil
}

// QueryContext implements driver.QueryerContext.
func (g *guard) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := g.ready(ctx); err != nil {
		return nil, err
	}
	s, err := g.prepared(ctx, query)
	if err != nil {
		return nil, g.fail(err)
	}
	inner, err := s.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		if stale(err) {
			g.forget(query)
		}
		return nil, g.fail(err)
	}
	g.reading = true
	return &rows{Rows: inner, guard: g}, nil
}

// PrepareContext implements driver.ConnPrepareContext.
func (g *guard) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := g.ready(ctx); err != nil {
		return nil, err
	}
	if _, err := g.prepared(ctx, query); err != nil {
		return nil, g.fail(err)
	}
	return statement{g, query}, nil
}

// ResetSession implements driver.SessionResetter, by which the pool learns that a connection is broken.
func (g *guard) ResetSession(ctx context.Context) error {
	if g.reading {
		return driver.ErrBadConn
	}
	if r, ok := g.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

// Close implements driver.Conn.
func (g *guard) Close() error {
	if g.local { // A server forgets the statements with the connection; SQLite does not close before they are.
		for text := range g.statements {
			g.forget(text)
		}
	}
	return g.Conn.Close()
}

// rows are the rows of one query; it is the only one that is open on its connection.
type rows struct {
	driver.Rows
	guard *guard
}

// Next implements driver.Rows.
func (r *rows) Next(dest []driver.Value) error {
	if err := r.Rows.Next(dest); err != nil {
		if !errors.Is(err, io.EOF) {
			return r.guard.fail(err)
		}
		return err
	}
	if r.guard.local {
		r.typed(dest)
	}
	return nil
}

// typed gives the values of a row from SQLite the types of their columns: it knows no booleans, returns no empty slices, and an empty default of
// a BYTEA column is text.
func (r *rows) typed(row []driver.Value) {
	for i, value := range row {
		switch v := value.(type) {
		case int64:
			if r.declared(i) == string(typeBoolean) {
				row[i] = v != 0
			}
		case string:
			if r.declared(i) == string(typeBytes) {
				row[i] = []byte(v)
			}
		case []byte:
			if v == nil {
				row[i] = []byte{}
			}
		}
	}
}

// declared returns the declared type of a column of the result, or nothing for an expression.
func (r *rows) declared(i int) string {
	return r.Rows.(driver.RowsColumnTypeDatabaseTypeName).ColumnTypeDatabaseTypeName(i)
}

// Close implements driver.Rows.
func (r *rows) Close() error {
	r.guard.reading = false
	err := r.Rows.Close()
	if err != nil {
		return r.guard.fail(err)
	}
	return nil
}

// statement is a prepared statement as Tx.PrepareContext hands it out: the text, whose preparation the guard keeps.
type statement struct {
	guard *guard
	query string
}

// Close implements driver.Stmt.
func (statement) Close() error { return nil }

// NumInput implements driver.Stmt; the engines count for themselves.
func (statement) NumInput() int { return -1 }

// Exec implements driver.Stmt; database/sql prefers ExecContext.
func (statement) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }

// Query implements driver.Stmt; database/sql prefers QueryContext.
func (statement) Query([]driver.Value) (driver.Rows, error) { return nil, driver.ErrSkip }

// ExecContext implements driver.StmtExecContext.
func (s statement) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.guard.ExecContext(ctx, s.query, args)
}

// QueryContext implements driver.StmtQueryContext.
func (s statement) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.guard.QueryContext(ctx, s.query, args)
}
