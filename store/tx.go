package store

import (
	"context"
	"database/sql"
	"fmt"
)

// Tx is a transaction, given to the closures of View and Update and of no use after they return. It has the methods of sqlc's DBTX.
// It belongs to one goroutine.
type Tx struct {
	conn  *sql.Conn
	guard *guard
	notes []note
	done  bool

	// The last result handed out. It is closed with the transaction in case the closure did not.
	rows *sql.Rows
	row  *sql.Row
}

// note is a wake-up that waits for its transaction's commit.
type note struct{ topic, key string }

// ExecContext runs a statement that returns no rows.
func (tx *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return tx.conn.ExecContext(tx.context(ctx), query, args...)
}

// QueryContext runs a statement that returns rows, which must be closed before the next statement.
func (tx *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := tx.conn.QueryContext(tx.context(ctx), query, args...)
	if err == nil {
		tx.rows, tx.row = rows, nil
	}
	return rows, err
}

// QueryRowContext runs a statement that returns at most one row, which must be scanned before the next statement.
func (tx *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	row := tx.conn.QueryRowContext(tx.context(ctx), query, args...)
	if row.Err() == nil {
		tx.rows, tx.row = nil, row
	}
	return row
}

// PrepareContext prepares a statement for use within the transaction. The store keeps prepared statements by their text anyhow, so there is nothing
// to gain from it but the check of the text.
func (tx *Tx) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return tx.conn.PrepareContext(tx.context(ctx), query)
}

// Notify wakes the subscribers of topic with key, after the commit and never after a rollback.
func (tx *Tx) Notify(topic, key string) {
	tx.notes = append(tx.notes, note{topic, key})
}

// run calls f and leaves no result open, whatever f does. It returns f's error, or the statement error that f passed over.
func (tx *Tx) run(f func(*Tx) error) error {
	tx.guard.failed = nil
	if err := tx.call(f); err != nil {
		return err
	}
	if err := tx.guard.failed; err != nil {
		return fmt.Errorf("store: a statement of the transaction failed: %w", err)
	}
	return nil
}

// call calls f and closes what it left open.
func (tx *Tx) call(f func(*Tx) error) error {
	defer func() {
		tx.done = true
		if tx.rows != nil {
			_ = tx.rows.Close() // Its error, if any, is the guard's too.
		}
		if tx.row != nil {
			_ = tx.row.Scan() // The only way to close a row that was not scanned; nobody wants its outcome.
		}
	}()
	return f(tx)
}

// context is the context for a statement. SQLite's driver starts a goroutine for each call that can be cancelled, and so does database/sql for each
// result; on SQLite a statement is bounded by the work it does, so only its beginning looks at the context.
func (tx *Tx) context(ctx context.Context) context.Context {
	switch {
	case tx.done:
		return spent{ctx}
	case tx.guard.local && ctx.Err() == nil:
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// spent is the context of statements on a transaction that is over.
type spent struct{ context.Context } //nolint:containedctx // it is a context itself

// Err makes the guard refuse the statement.
func (spent) Err() error { return sql.ErrTxDone }
