package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// TestSynctest uses everything in a bubble of fake time, as tests of capabilities do. A goroutine that outlives Close would fail it.
func TestSynctest(t *testing.T) {
	eachEngine(t, func(t *testing.T, e engine) {
		address := e.url(t)
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			db := storetest.Open(t, address, store.Options{RunTwice: true})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var running sync.WaitGroup
			running.Go(func() {
				if err := db.Run(ctx); err != nil {
					t.Errorf("Run: %v", err)
				}
			})
			must(t, do(ctx, db, `CREATE TABLE t (a BIGINT NOT NULL)`))
			insert := func(tx *store.Tx, items []int) error {
				for _, i := range items {
					if _, err := tx.ExecContext(ctx, `INSERT INTO t VALUES ($1)`, i); err != nil {
						return err
					}
					tx.Notify("t", fmt.Sprint(i))
				}
				return nil
			}
			b := store.NewBatcher(db, 100, insert)
			running.Go(func() { must(t, b.Run(ctx)) })
			s := db.Subscribe("t")
			var got []string
			running.Go(func() {
				for {
					keys, err := s.Next(ctx)
					if err != nil {
						return
					}
					got = append(got, keys...)
				}
			})
			for hour := range 3 {
				var wg sync.WaitGroup
				for i := range 5 {
					wg.Go(func() { must(t, db.Update(ctx, func(tx *store.Tx) error { return insert(tx, []int{hour*100 + i}) })) })
				}
				wg.Go(func() { must(t, b.Add(ctx, hour*100+50)) })
				wg.Wait()
				time.Sleep(time.Hour)
			}
			synctest.Wait()
			if d := time.Since(began); d != 3*time.Hour {
				t.Errorf("%v passed, want 3h", d)
			}
			if len(got) != 18 || number(t, db, `SELECT COUNT(*) FROM t`) != 18 {
				t.Errorf("%d keys, want 18", len(got))
			}
			log, err := store.OpenLog(ctx, db, "audit", nil)
			must(t, err)
			must(t, log.Append(ctx, store.Record{Time: time.Now(), ID: "1"}))
			seen := func() (ids []string) {
				must(t, log.Query(ctx, time.Time{}, time.Time{}, store.Filter{}, func(r store.Record) bool {
					ids = append(ids, r.ID)
					return true
				}))
				return ids
			}
			if ids := seen(); ids != nil {
				t.Errorf("%q was written at once", ids)
			}
			time.Sleep(200 * time.Millisecond)
			synctest.Wait()
			if diff := cmp.Diff([]string{"1"}, seen()); diff != "" {
				t.Errorf("after 200 ms: (-want +got)\n%s", diff)
			}
			must(t, log.Close())
			cancel()
			running.Wait()
			if err := b.Add(t.Context(), 1); !errors.Is(err, store.ErrClosed) {
				t.Errorf("Add: %v", err)
			}
		})
	})
}
