package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/store"
)

// openLog opens a log until the end of the test.
func openLog(t *testing.T, db *store.DB, name string) *store.Log {
	t.Helper()
	l, err := store.OpenLog(t.Context(), db, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Errorf("close the log: %v", err)
		}
	})
	return l
}

// add appends records and waits until they are written.
func add(t *testing.T, l *store.Log, records ...store.Record) {
	t.Helper()
	for _, r := range records {
		if err := l.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// ids queries a log.
func ids(t *testing.T, l *store.Log, from, to time.Time, filter store.Filter) []string {
	t.Helper()
	var out []string
	if err := l.Query(t.Context(), from, to, filter, func(r store.Record) bool {
		out = append(out, r.ID)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// midnight is the end of a day, around which the tests of logs play.
var midnight = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)

// log: records are kept, found by their fields and in both orders, across days.
func log(t *testing.T, db *store.DB) {
	l := openLog(t, db, "audit")
	never := time.Time{}
	if got := ids(t, l, never, never, store.Filter{}); got != nil {
		t.Errorf("an empty log has %q", got)
	}
	first := store.Record{
		Time: midnight.Add(-time.Second + 1999), ID: "1", Account: "000000000000", Region: "us-east-1", Name: "PutParameter",
		Principal: "arn:aws:iam::000000000000:user/ann", Resource: "/a", Body: []byte(`{"a":1}`),
	}
	second := store.Record{Time: midnight, ID: "2", Account: "111111111111", Name: "GetParameter", Resource: "/a"}
	third := store.Record{Time: midnight.Add(48 * time.Hour), ID: "3", Account: "000000000000", Region: "eu-west-1", Name: "PutParameter", Body: []byte(`{}`)}
	add(t, l, third, first, second, first)
	var got []store.Record
	if err := l.Query(t.Context(), never, never, store.Filter{}, func(r store.Record) bool {
		got = append(got, r)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	first.Time = midnight.Add(-time.Second + 1000) // Microseconds are kept.
	second.Body = []byte{}
	if diff := cmp.Diff([]store.Record{first, second, third}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for name, test := range map[string]struct {
		from, to time.Time
		filter   store.Filter
		want     []string
	}{
		"newest first":  {filter: store.Filter{NewestFirst: true}, want: []string{"3", "2", "1"}},
		"from":          {from: midnight, want: []string{"2", "3"}},
		"to":            {to: midnight, want: []string{"1"}},
		"between":       {from: first.Time, to: third.Time, want: []string{"1", "2"}},
		"nothing there": {from: midnight.Add(time.Hour), to: midnight.Add(2 * time.Hour)},
		"id":            {filter: store.Filter{ID: "2"}, want: []string{"2"}},
		"account":       {filter: store.Filter{Account: "000000000000"}, want: []string{"1", "3"}},
		"region":        {filter: store.Filter{Region: "eu-west-1"}, want: []string{"3"}},
		"name":          {filter: store.Filter{Name: "PutParameter", NewestFirst: true}, want: []string{"3", "1"}},
		"principal":     {filter: store.Filter{Principal: first.Principal}, want: []string{"1"}},
		"resource":      {filter: store.Filter{Resource: "/a"}, want: []string{"1", "2"}},
		"all of them":   {filter: store.Filter{Resource: "/a", Name: "GetParameter"}, want: []string{"2"}},
		"after":         {filter: store.Filter{After: store.Cursor{Time: first.Time, ID: "1"}}, want: []string{"2", "3"}},
		"before":        {filter: store.Filter{NewestFirst: true, After: store.Cursor{Time: midnight, ID: "2"}}, want: []string{"1"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, ids(t, l, test.from, test.to, test.filter)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	// Another log is another log, and the same name is the same log.
	if got := ids(t, openLog(t, db, "events"), never, never, store.Filter{}); got != nil {
		t.Errorf("another log has %q", got)
	}
	if got := ids(t, openLog(t, db, "audit"), never, never, store.Filter{}); len(got) != 3 {
		t.Errorf("the log opened again has %q", got)
	}
}

// logPages has more records than a page, many of one microsecond, on two days.
func logPages(t *testing.T, db *store.DB) {
	l := openLog(t, db, "audit")
	var want []string
	var wg sync.WaitGroup
	for i := range 1700 {
		r := store.Record{Time: midnight.Add(time.Duration(i/400-2) * time.Microsecond), ID: fmt.Sprintf("%05d", i), Name: fmt.Sprint("n", i%2)}
		want = append(want, r.ID)
		wg.Go(func() {
			if err := l.Append(t.Context(), r); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	never := time.Time{}
	if diff := cmp.Diff(want, ids(t, l, never, never, store.Filter{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// In pieces of 300, from the newest.
	var got []string
	filter := store.Filter{NewestFirst: true}
	for range 10 {
		n := 0
		if err := l.Query(t.Context(), never, never, filter, func(r store.Record) bool {
			got = append(got, r.ID)
			filter.After = store.Cursor{Time: r.Time, ID: r.ID}
			n++
			return n < 300
		}); err != nil {
			t.Fatal(err)
		}
	}
	slices.Reverse(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if n := len(ids(t, l, never, never, store.Filter{Name: "n1", NewestFirst: true})); n != 850 {
		t.Errorf("%d records of a name, want 850", n)
	}
}

// logLarge: large records are read in both orders, and not many at once.
func logLarge(t *testing.T, db *store.DB) {
	l := openLog(t, db, "audit")
	var want []string
	for i := range 50 {
		r := store.Record{Time: midnight.Add(time.Duration(i/20-1) * time.Microsecond), ID: fmt.Sprintf("%05d", i), Body: make([]byte, store.MostBody-i%3)}
		want = append(want, r.ID)
		add(t, l, r)
	}
	never := time.Time{}
	if diff := cmp.Diff(want, ids(t, l, never, never, store.Filter{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	slices.Reverse(want)
	if diff := cmp.Diff(want, ids(t, l, never, never, store.Filter{NewestFirst: true})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := l.Query(t.Context(), never, never, store.Filter{}, func(store.Record) bool { return false }); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 25<<20 {
		t.Errorf("to look at one record %d bytes were taken", n)
	}
}

// logExpires: whole days go, and only they.
func logExpires(t *testing.T, db *store.DB) {
	l := openLog(t, db, "audit")
	day := 24 * time.Hour
	at := func(id string, d time.Duration) store.Record { return store.Record{Time: midnight.Add(d), ID: id} }
	add(t, l, at("a", -2*day), at("b", -1), at("c", 0), at("d", day-1), at("e", day))
	never := time.Time{}
	for _, step := range []struct {
		before time.Time
		want   []string
	}{
		{midnight.Add(-time.Microsecond), []string{"b", "c", "d", "e"}},
		{midnight, []string{"c", "d", "e"}},
		{midnight.Add(day - 1), []string{"c", "d", "e"}},
		{midnight.Add(day), []string{"e"}},
	} {
		if err := l.Expire(t.Context(), step.before); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, ids(t, l, never, never, store.Filter{})); diff != "" {
			t.Errorf("before %v: (-want +got)\n%s", step.before, diff)
		}
	}
	// A day that was expired can begin again.
	add(t, l, at("f", 1))
	if diff := cmp.Diff([]string{"f", "e"}, ids(t, l, never, never, store.Filter{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// logRefuses: names and records that could not be kept are refused at once.
func logRefuses(t *testing.T, db *store.DB) {
	for _, name := range []string{"", "..", "a/b", "Audit", "1a", "a-b", "a\x00"} {
		if l, err := store.OpenLog(t.Context(), db, name, nil); err == nil {
			t.Errorf("a log called %q", name)
			_ = l.Close()
		}
	}
	l := openLog(t, db, "audit")
	for name, bad := range map[string]store.Record{
		"no ID":         {Time: midnight},
		"no time":       {ID: "a"},
		"NUL":           {Time: midnight, ID: "a", Resource: "\x00"},
		"invalid UTF-8": {Time: midnight, ID: "a\xff"},
		"too large":     {Time: midnight, ID: "a", Body: make([]byte, store.MostBody+1)},
		"far future":    {Time: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), ID: "a"},
	} {
		if err := l.Append(t.Context(), bad); err == nil {
			t.Errorf("%s: appended", name)
		}
	}
	add(t, l, store.Record{Time: midnight, ID: "a", Body: make([]byte, store.MostBody)})
}

// logCloses: Close writes what was appended.
func logCloses(t *testing.T, db *store.DB) {
	l, err := store.OpenLog(t.Context(), db, "audit", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := l.Append(t.Context(), store.Record{Time: midnight, ID: fmt.Sprintf("%02d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"Append": l.Append(t.Context(), store.Record{Time: midnight, ID: "late"}),
		"Flush":  l.Flush(t.Context()),
		"Close":  l.Close(),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s on a closed log: %v", name, err)
		}
	}
	if n := len(ids(t, openLog(t, db, "audit"), time.Time{}, time.Time{}, store.Filter{})); n != 50 {
		t.Errorf("%d records were written, want 50", n)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if err := openLog(t, db, "audit").Flush(done); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Flush with a context that is done: %v", err)
	}
}
