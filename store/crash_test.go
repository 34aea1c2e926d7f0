package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// crashWriters is how many goroutines write at once in the tests of crashes.
const crashWriters = 64

// crashTables are what they write: where each has come, and every step of the way.
var crashTables = []string{
	`CREATE TABLE IF NOT EXISTS last (writer BIGINT NOT NULL PRIMARY KEY, step BIGINT NOT NULL)`,
	`CREATE TABLE IF NOT EXISTS steps (writer BIGINT NOT NULL, step BIGINT NOT NULL, filler TEXT NOT NULL, PRIMARY KEY (writer, step))`,
}

// crashChild writes with 64 goroutines until it is killed or the disk is gone, and says on descriptor 3 what was acknowledged. Its arguments are the
// address, SQLite's synchronous setting, and the step to begin with.
func crashChild(ctx context.Context, args []string) error {
	first, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	db, err := store.WithSynchronous(store.Options{}, args[1]).Open(ctx, args[0], nil)
	if err != nil {
		return err
	}
	if err := do(ctx, db, crashTables...); err != nil {
		return err
	}
	acks := os.NewFile(3, "acknowledgements")
	filler := fmt.Sprintf("%0400d", 0)
	var wg sync.WaitGroup
	for w := range crashWriters {
		wg.Go(func() {
			for step := first; ; step++ {
				if err := db.Update(ctx, func(tx *store.Tx) error {
					if _, err := tx.ExecContext(ctx, `INSERT INTO last VALUES ($1, $2) ON CONFLICT (writer) DO UPDATE SET step = $2`, w, step); err != nil {
						return err
					}
					_, err := tx.ExecContext(ctx, `INSERT INTO steps VALUES ($1, $2, $3)`, w, step, filler)
					return err
				}); err != nil {
					return
				}
				if _, err := fmt.Fprintf(acks, "%d %d\n", w, step); err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// burst runs crashChild until some time after its first acknowledgement, then calls end, which makes an end of it, and returns the last step that was
// acknowledged to each writer, and how many were in all. Of these it leaves out what arrives once over is set.
func burst(t *testing.T, address, synchronous string, first int, over *atomic.Bool, end func(cmd *exec.Cmd)) (acked [crashWriters]int, total int) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	defer func() { _ = r.Close() }() // it is only read
	cmd := child(t, "crash", address, synchronous, strconv.Itoa(first))
	cmd.ExtraFiles = []*os.File{w}
	must(t, cmd.Start())
	must(t, w.Close())
	lines := bufio.NewScanner(r)
	var ending sync.WaitGroup
	for begun := false; lines.Scan(); begun = true {
		if !begun {
			wait := time.Duration(5+rand.IntN(60)) * time.Millisecond
			ending.Add(1)
			time.AfterFunc(wait, func() {
				defer ending.Done()
				end(cmd)
			})
		}
		var writer, step int
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &writer, &step); err != nil {
			t.Fatalf("acknowledgement %q: %v", lines.Text(), err)
		}
		if over.Load() {
			continue
		}
		acked[writer] = step
		total++
	}
	must(t, lines.Err())
	ending.Wait()
	_ = cmd.Wait() // It was killed.
	if total == 0 {
		t.Log("nothing was acknowledged")
	}
	return acked, total
}

// lost counts the acknowledged steps since first that are not in the database, and fails the test if the two tables differ.
func lost(t *testing.T, db *store.DB, acked [crashWriters]int, first int) (missing int) {
	t.Helper()
	var check string
	must(t, db.View(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&check)
	}))
	if check != "ok" {
		t.Fatalf("the file is damaged: %s", check)
	}
	for w, step := range acked {
		last := number(t, db, `SELECT COALESCE(MAX(step), 0) FROM last WHERE writer = $1`, w)
		if most := number(t, db, `SELECT COALESCE(MAX(step), 0) FROM steps WHERE writer = $1`, w); most != last {
			t.Errorf("writer %d: the tables say %d and %d", w, last, most)
		}
		if step == 0 {
			continue
		}
		missing += step - first + 1 - int(number(t, db, `SELECT COUNT(*) FROM steps WHERE writer = $1 AND step >= $2 AND step <= $3`, w, first, step))
	}
	return missing
}

// TestKill kills a process in a burst of writes, 20 times on the same file.
func TestKill(t *testing.T) {
	address := storetest.SQLite(t)
	first, all := 1, 0
	for range 20 {
		acked, total := burst(t, address, "FULL", first, new(atomic.Bool), func(cmd *exec.Cmd) {
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Error(err)
			}
		})
		all += total
		db, err := store.Open(t.Context(), address, nil)
		must(t, err)
		if n := lost(t, db, acked, first); n > 0 {
			t.Errorf("%d of %d acknowledged steps are lost", n, total)
		}
		first = int(number(t, db, `SELECT MAX(step) FROM last`)) + 1
		must(t, db.Close())
	}
	if all < 20*crashWriters {
		t.Errorf("only %d steps were acknowledged in 20 rounds: the test tested little", all)
	}
}
