package store_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vennel/vennel/store"
)

func open(b testing.TB) *store.DB {
	db, err := store.Open(context.Background(), "sqlite://"+b.TempDir()+"/vennel.db", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	err = db.Update(b.Context(), func(tx *store.Tx) error {
		_, err := tx.ExecContext(b.Context(), `CREATE TABLE p (account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (account, region, name))`)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < 10000; i += 100 {
		err = db.Update(b.Context(), func(tx *store.Tx) error {
			for j := i; j < i+100; j++ {
				if _, err := tx.ExecContext(b.Context(), `INSERT INTO p VALUES ($1,$2,$3,$4,$5)`, "000000000000", "us-east-1", fmt.Sprint("/p/", j), fmt.Sprintf("%0500d", j), 1); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return db
}

func BenchmarkView(b *testing.B) {
	db := open(b)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		var v string
		var n int64
		err := db.View(ctx, func(tx *store.Tx) error {
			return tx.QueryRowContext(ctx, `SELECT value, version FROM p WHERE account = $1 AND region = $2 AND name = $3`, "000000000000", "us-east-1", "/p/777").Scan(&v, &n)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEmptyView(b *testing.B) {
	db := open(b)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ReportAllocs()
	for b.Loop() {
		err := db.View(ctx, func(tx *store.Tx) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	for _, writers := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			db := open(b)
			b.ReportAllocs()
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range writers {
				wg.Go(func() {
					for {
						n := next.Add(1)
						if n > int64(b.N) {
							return
						}
						err := db.Update(b.Context(), func(tx *store.Tx) error {
							_, err := tx.ExecContext(b.Context(), `UPDATE p SET value = $1, version = version + 1 WHERE account = $2 AND region = $3 AND name = $4`, fmt.Sprintf("%0500d", n), "000000000000", "us-east-1", fmt.Sprint("/p/", n%10000))
							return err
						})
						if err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
