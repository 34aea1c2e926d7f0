// Package storetest is the definition of a correct store. [Run] is the suite that every engine must pass; [New] gives the tests of capabilities a
// database to work on; [CheckQueries] and [CheckMigrations] hold their SQL to the subset that means the same on both engines.
//
// With VENNEL_TEST_DATABASE=postgres in the environment, New and URL give PostgreSQL databases instead of SQLite's.
package storetest

import (
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/vennel/vennel/store"
)

// URL returns the address of a fresh and empty database that lasts as long as the test.
func URL(t testing.TB) string {
	t.Helper()
	switch engine := os.Getenv("VENNEL_TEST_DATABASE"); engine {
	case "postgres":
		return Postgres(t)
	case "", "sqlite":
		return SQLite(t)
	default:
		t.Fatalf("VENNEL_TEST_DATABASE is %q, want sqlite or postgres", engine)
		return ""
	}
}

// SQLite returns the address of a SQLite database in a folder of the test.
func SQLite(t testing.TB) string {
	t.Helper()
	return (&url.URL{Scheme: "sqlite", Path: filepath.Join(t.TempDir(), "vennel.db")}).String()
}

// New returns a fresh database on which every closure of Update runs twice, as it may. It is closed at the end of the test.
func New(t testing.TB) *store.DB {
	t.Helper()
	return Open(t, URL(t), store.Options{RunTwice: true})
}

// Open opens the database at address until the end of the test.
func Open(t testing.TB, address string, options store.Options) *store.DB {
	t.Helper()
	db, err := options.Open(t.Context(), address, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	return db
}
