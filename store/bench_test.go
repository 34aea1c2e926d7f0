package store_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// benchRows is how many rows the table of the benchmarks has.
const benchRows = 10000

// benchTable opens a database with a table like Parameter Store's.
func benchTable(t testing.TB, address string) *store.DB {
	t.Helper()
	db := storetest.Open(t, address, store.Options{})
	ctx := t.Context()
	must(t, do(ctx, db, `CREATE TABLE p (account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, version BIGINT NOT NULL,
		PRIMARY KEY (account, region, name))`))
	must(t, db.Update(ctx, func(tx *store.Tx) error {
		for i := range benchRows {
			if _, err := tx.ExecContext(ctx, `INSERT INTO p VALUES ($1, $2, $3, $4, 1)`, "000000000000", "us-east-1", fmt.Sprint("/p/", i), fmt.Sprintf("%0500d", i)); err != nil {
				return err
			}
		}
		return nil
	}))
	return db
}

// eachBench runs a benchmark on both engines.
func eachBench(b *testing.B, run func(b *testing.B, db *store.DB)) {
	for _, e := range engines() {
		b.Run(e.name, func(b *testing.B) {
			b.ReportAllocs()
			run(b, benchTable(b, e.url(b)))
		})
	}
}

// readOne is a View that reads one row by its key.
func readOne(ctx context.Context, db *store.DB, i int) error {
	return db.View(ctx, func(tx *store.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT value, version FROM p WHERE account = $1 AND region = $2 AND name = $3`,
			"000000000000", "us-east-1", fmt.Sprint("/p/", i%benchRows)).Scan(new(string), new(int64))
	})
}

// BenchmarkView reads one row, from one goroutine.
func BenchmarkView(b *testing.B) {
	eachBench(b, func(b *testing.B, db *store.DB) {
		i := 0
		for b.Loop() {
			if err := readOne(b.Context(), db, i); err != nil {
				b.Fatal(err)
			}
			i += 7
		}
	})
}

// BenchmarkViewParallel reads one row, from 16 goroutines.
func BenchmarkViewParallel(b *testing.B) {
	eachBench(b, func(b *testing.B, db *store.DB) {
		b.SetParallelism(16 / runtime.GOMAXPROCS(0))
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i += 7 {
				if err := readOne(b.Context(), db, i); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// BenchmarkUpdate compares and sets one row's version, from 1, 16 and 256 goroutines.
func BenchmarkUpdate(b *testing.B) {
	for _, writers := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			eachBench(b, func(b *testing.B, db *store.DB) {
				var next atomic.Int64
				b.SetParallelism(max(1, writers/runtime.GOMAXPROCS(0)))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						i := next.Add(1)
						if err := db.Update(b.Context(), func(tx *store.Tx) error {
							_, err := tx.ExecContext(b.Context(), `UPDATE p SET value = $1, version = version + 1 WHERE account = $2 AND region = $3 AND name = $4`,
								fmt.Sprintf("%0500d", i), "000000000000", "us-east-1", fmt.Sprint("/p/", i%benchRows))
							return err
						}); err != nil {
							b.Error(err)
						}
					}
				})
			})
		})
	}
}

// BenchmarkBatcher inserts rows from 256 goroutines through one Batcher.
func BenchmarkBatcher(b *testing.B) {
	eachBench(b, func(b *testing.B, db *store.DB) {
		must(b, do(b.Context(), db, `CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, s TEXT NOT NULL)`))
		batcher := store.NewBatcher(db, 256, func(tx *store.Tx, items []int64) error {
			for _, i := range items {
				if _, err := tx.ExecContext(b.Context(), `INSERT INTO t VALUES ($1, $2)`, i, "some text"); err != nil {
					return err
				}
			}
			return nil
		})
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error)
		go func() { ended <- batcher.Run(ctx) }()
		var next atomic.Int64
		b.SetParallelism(256 / runtime.GOMAXPROCS(0))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := batcher.Add(ctx, next.Add(1)); err != nil {
					b.Error(err)
				}
			}
		})
		cancel()
		must(b, <-ended)
	})
}

// BenchmarkLog appends audit records as fast as they are written.
func BenchmarkLog(b *testing.B) {
	eachBench(b, func(b *testing.B, db *store.DB) {
		l, err := store.OpenLog(b.Context(), db, "bench", nil)
		must(b, err)
		body := []byte(fmt.Sprintf(`{"request":"%0800d"}`, 1))
		for b.Loop() {
			must(b, l.Append(b.Context(), store.Record{
				Time: time.Now(), ID: uuid.Must(uuid.NewV7()).String(), Account: "000000000000", Region: "us-east-1", Name: "GetParameter",
				Principal: "administrator", Resource: "arn:aws:ssm:us-east-1:000000000000:parameter/p", Body: body,
			}))
		}
		must(b, l.Close())
	})
}

// TestViewAllocations guards the cost of the commonest thing there is.
func TestViewAllocations(t *testing.T) {
	db := benchTable(t, storetest.SQLite(t))
	if n := testing.AllocsPerRun(100, func() {
		if err := readOne(t.Context(), db, 7); err != nil {
			t.Fatal(err)
		}
	}); n > 45 {
		t.Errorf("a View of one row has %v allocations, want at most 45", n)
	}
}
