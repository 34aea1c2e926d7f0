package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// engine is a kind of database to test on.
type engine struct {
	name string
	url  func(t testing.TB) string // the address of a fresh one
}

// engines returns both.
func engines() []engine {
	return []engine{{"sqlite", storetest.SQLite}, {"postgres", storetest.Postgres}}
}

// eachEngine runs a test on both engines.
func eachEngine(t *testing.T, run func(t *testing.T, e engine)) {
	for _, e := range engines() {
		t.Run(e.name, func(t *testing.T) { run(t, e) })
	}
}

// must fails the test for an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// do runs statements in one Update.
func do(ctx context.Context, db *store.DB, statements ...string) error {
	return db.Update(ctx, func(tx *store.Tx) error {
		for _, s := range statements {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		return nil
	})
}

// number reads one number.
func number(t testing.TB, db *store.DB, query string, args ...any) (n int64) {
	t.Helper()
	must(t, db.View(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRowContext(t.Context(), query, args...).Scan(&n)
	}))
	return n
}

// children are what the test binary does when a test starts it as another process. The answer is the exit status.
var children = map[string]func(ctx context.Context, args []string) error{
	"restore": restoreChild,
	"backup":  backupChild,
	"crash":   crashChild,
}

// TestMain runs a child, if we are one, and the tests otherwise.
func TestMain(m *testing.M) {
	if run, ok := children[os.Getenv("VENNEL_TEST_CHILD")]; ok {
		if err := run(context.Background(), strings.Fields(os.Getenv("VENNEL_TEST_ARGS"))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child returns a command that runs one of children.
func child(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "VENNEL_TEST_CHILD="+name, "VENNEL_TEST_ARGS="+strings.Join(args, " "))
	cmd.Stderr = os.Stderr
	return cmd
}

// errNotWanted reports success where an error was wanted.
var errNotWanted = errors.New("no error")

// wantError fails the test unless err is want.
func wantError(t testing.TB, what string, err, want error) {
	t.Helper()
	if err == nil {
		err = errNotWanted
	}
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}
