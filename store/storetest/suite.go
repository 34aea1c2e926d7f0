package storetest

import (
	"context"
	"fmt"
	"testing"

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
		{"LogLarge", logLarge},
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
