package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of what a Log holds in memory, and how long a record waits there.
const (
	mostQueued     = 1024
	mostBatch      = 256
	mostBatchBytes = 8 << 20
	flushAfter     = 200 * time.Millisecond
	retryAfter     = time.Second
)

// MostBody is the length of the longest Record.Body in bytes.
const MostBody = 1 << 20

// How many records one query of a Log reads, so that no snapshot is held while they are looked at: few at first, for many look at few. It is no more
// than some bytes of bodies, and what is larger than that by itself.
const (
	firstPage     = 64
	logPage       = 500
	mostPageBytes = 4 << 20
)

// Record is one entry of a Log. Time and ID identify it: a second record with both the same is not kept. Of Time, microseconds are kept.
// Body is JSON, at most MostBody long; the other fields are for lookups.
type Record struct {
	Time                                       time.Time
	ID                                         string
	Account, Region, Name, Principal, Resource string
	Body                                       []byte
}

// Cursor is a place in a Log: just behind the record with this time and ID.
type Cursor struct {
	Time time.Time
	ID   string
}

// Filter selects records: those that equal all its fields that are not empty.
type Filter struct {
	ID, Account, Region, Name, Principal, Resource string
	NewestFirst                                    bool   // the order is by time and ID, reversed if set
	After                                          Cursor // begins behind this place in that order, if it is not zero
}

// logEngine is what the engines do for a Log each in their own way.
type logEngine interface {
	// write stores records that are not there yet.
	write(ctx context.Context, records []Record) error
	// query calls f with the records of s until it returns false.
	query(ctx context.Context, s span, f func(Record) bool) error
	// expire removes the days that ended at or before a time in microseconds.
	expire(ctx context.Context, before int64) error
	// close ends the connections.
	close() error
}

// Log is an append-only list of records, kept by day and expired by whole days. It is not part of a backup. It is safe for concurrent use.
type Log struct {
	engine  logEngine
	log     *slog.Logger
	queue   chan entry
	queued  atomic.Int64  // bytes of the bodies in the queue
	due     chan struct{} // holds one: there is a batch to write
	closing chan struct{} // closed when Close begins
	ended   chan struct{} // closed when run has returned
	lost    error         // why the last records could not be written; read after ended

	mu     sync.RWMutex // held for reading while an entry is put in the queue
	closed bool         // guarded by mu; the queue is closed
}

// entry is a record, or somebody who waits for all records before it to be written.
type entry struct {
	record  Record
	written chan struct{}
}

// logName is what a Log can be called: it is a folder's and a table's name.
var logName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}$`)

// OpenLog opens or creates the log of that name. On SQLite it is a folder beside the database's file, with one file for each day (UTC); on PostgreSQL a
// table partitioned by day in the schema vennel_log. Close ends it, after writing what was appended.
func OpenLog(ctx context.Context, db *DB, name string, log *slog.Logger) (*Log, error) {
	if !logName.MatchString(name) {
		return nil, fmt.Errorf("store: a log cannot be called %q", name)
	}
	if db.opts.Beside {
		return nil, errBeside
	}
	if err := db.ended(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	engine, err := db.engine.openLog(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("store: open log %s: %w", name, err)
	}
	l := &Log{
		engine: engine, log: log.With("log", name),
		queue: make(chan entry, mostQueued), due: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{}),
	}
	go l.run(context.WithoutCancel(ctx)) // Close waits for it.
	return l, nil
}

// valid checks what would otherwise keep the queue from being written.
func (r Record) valid() error {
	for _, text := range []string{r.ID, r.Account, r.Region, r.Name, r.Principal, r.Resource} {
		if err := validText(text); err != nil {
			return err
		}
	}
	switch year := r.Time.UTC().Year(); {
	case r.ID == "":
		return errors.New("store: record without ID")
	case year < 1970 || year > 9999:
		return fmt.Errorf("store: record of the year %d", year)
	case len(r.Body) > MostBody:
		return fmt.Errorf("store: record of %d bytes", len(r.Body))
	}
	return nil
}

// Append queues a record, which is written within 200 ms, and keeps rec.Body. It waits while the queue is full, and fails only if rec is malformed, ctx
// is done or the log is closed. What is queued is lost with the process, and only then.
func (l *Log) Append(ctx context.Context, rec Record) error {
	if err := rec.valid(); err != nil {
		return err
	}
	return l.put(ctx, entry{record: rec})
}

// Flush waits until everything appended before is written.
func (l *Log) Flush(ctx context.Context) error {
	written := make(chan struct{})
	if err := l.put(ctx, entry{written: written}); err != nil {
		return err
	}
	select {
	case <-written:
		return nil
	case <-l.ended:
		return l.lost // Close has written everything, or could not.
	case <-ctx.Done():
		return ctx.Err()
	}
}

// put puts an entry in the queue. It wakes run only when there is a batch to write: one wake-up for each record would cost more than the record.
func (l *Log) put(ctx context.Context, e entry) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return ErrClosed
	}
	select {
	case l.queue <- e:
	case <-l.closing:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	bytes := l.queued.Add(int64(len(e.record.Body)))
	if e.written != nil || bytes >= mostBatchBytes || len(l.queue) >= mostBatch {
		select {
		case l.due <- struct{}{}:
		default:
		}
	}
	return nil
}

// Close writes what was appended and ends the log. It fails if that cannot be written.
func (l *Log) Close() error {
	if !l.close() {
		return ErrClosed
	}
	<-l.ended
	return errors.Join(l.lost, l.engine.close())
}

// close ends the queue and says whether it was open.
func (l *Log) close() bool {
	l.mu.RLock()
	closed := l.closed
	l.mu.RUnlock()
	if closed {
		return false
	}
	close(l.closing) // Whoever waits for room in the queue gives up, and gives up mu.
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	close(l.queue)
	return true
}

// run writes the queue until it is closed. It waits for the first record of a batch, and then until the batch is full or old enough.
func (l *Log) run(ctx context.Context) {
	defer close(l.ended)
	batch := make([]Record, 0, mostBatch)
	timer := time.NewTimer(0)
	<-timer.C
	for open := true; open; {
		var e entry
		if e, open = <-l.queue; !open {
			return
		}
		if e.written == nil && len(l.queue) < mostBatch && l.queued.Load() < mostBatchBytes {
			timer.Reset(flushAfter)
			select {
			case <-l.due:
			case <-timer.C:
			case <-l.closing:
			}
			timer.Stop()
		}
		for bytes, more := 0, true; more; {
			if e.written != nil {
				batch = l.flush(ctx, batch)
				if l.lost == nil {
					close(e.written)
				}
			} else {
				batch = append(batch, e.record)
				bytes += len(e.record.Body)
				l.queued.Add(-int64(len(e.record.Body)))
			}
			if len(batch) >= mostBatch || bytes >= mostBatchBytes {
				break
			}
			select {
			case e, open = <-l.queue:
				more = open
			default:
				more = false
			}
		}
		batch = l.flush(ctx, batch)
	}
}

// flush writes a batch and gives its place for the next. Once records are lost, no more are written.
func (l *Log) flush(ctx context.Context, batch []Record) []Record {
	if len(batch) > 0 && l.lost == nil {
		l.lost = l.write(ctx, batch)
	}
	clear(batch)
	return batch[:0]
}

// write writes a batch, however often it takes; when the log is being closed, it gives up with an error.
func (l *Log) write(ctx context.Context, batch []Record) error {
	for failed := false; ; failed = true {
		err := l.engine.write(ctx, batch)
		if err == nil {
			if failed {
				l.log.Info("the log can be written again")
			}
			return nil
		}
		if !failed {
			l.log.Error("the log cannot be written, its callers wait", "err", err)
		}
		select {
		case <-time.After(retryAfter):
		case <-l.closing:
			if err := l.engine.write(ctx, batch); err != nil {
				return fmt.Errorf("store: %d records of the log are lost: %w", len(batch), err)
			}
			return nil
		}
	}
}

// Query calls look with the records from one time until before another that filter selects, in its order, until look returns false. A zero time is no
// bound. What was appended in the last 200 ms may be missing; Flush before, if that matters. Records appended meanwhile may or may not be seen.
func (l *Log) Query(ctx context.Context, from, to time.Time, filter Filter, look func(Record) bool) error {
	s := span{from: 0, to: 1<<63 - 1, filter: filter}
	if !from.IsZero() {
		s.from = from.UnixMicro()
	}
	if !to.IsZero() {
		s.to = to.UnixMicro()
	}
	if filter.After != (Cursor{}) {
		s.after, s.afterID = filter.After.Time.UnixMicro(), filter.After.ID
		if filter.NewestFirst {
			s.to = min(s.to, s.after+1)
		} else {
			s.from = max(s.from, s.after)
		}
	}
	return l.engine.query(ctx, s, look)
}

// Expire removes all days (UTC) that had ended by before.
func (l *Log) Expire(ctx context.Context, before time.Time) error {
	return l.engine.expire(ctx, before.UnixMicro())
}

// span is what a query asks for, in microseconds since 1970: from is included, to is not, and neither is anything up to after.
type span struct {
	from, to int64
	after    int64
	afterID  string // empty means that nothing was seen yet
	filter   Filter
}

// logColumns are the columns of a log's tables, the same on both engines.
const logColumns = `time BIGINT NOT NULL, id TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, principal TEXT NOT NULL,
	resource TEXT NOT NULL, body BYTEA NOT NULL, PRIMARY KEY (time, id)`

// logIndexes are the columns that have an index, each followed by time and id.
var logIndexes = []string{"id", "name", "principal", "resource"}

// day is one day in UTC, in days since 1970.
type day int64

// perDay is the length of a day in microseconds.
const perDay = int64(24 * time.Hour / time.Microsecond)

// dayOf returns the day of a time in microseconds.
func dayOf(micros int64) day { return day(micros / perDay) }

// start returns when the day begins, in microseconds.
func (d day) start() int64 { return int64(d) * perDay }

// String returns the day as 2006-01-02.
func (d day) String() string { return time.UnixMicro(d.start()).UTC().Format(time.DateOnly) }

// parseDay is the reverse of String.
func parseDay(text string) (day, bool) {
	t, err := time.Parse(time.DateOnly, text)
	return dayOf(t.UnixMicro()), err == nil
}

// queryRecords calls look with the records of s in a table, a page at a time. It reports whether look wants more.
func queryRecords(ctx context.Context, pool *sql.DB, table string, s span, look func(Record) bool) (more bool, err error) {
	for most := firstPage; ; most = logPage {
		page, ended, err := recordPage(ctx, pool, table, s, most)
		if err != nil {
			return false, err
		}
		for _, r := range page {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			if !look(r) {
				return false, nil
			}
		}
		if ended {
			return true, nil
		}
		last := page[len(page)-1]
		s.after, s.afterID = last.Time.UnixMicro(), last.ID
		if s.filter.NewestFirst {
			s.to = s.after + 1
		} else {
			s.from = s.after
		}
	}
}

// recordPage reads the first records of s in a table, at most so many. It reports whether they are all.
func recordPage(ctx context.Context, pool *sql.DB, table string, s span, most int) (page []Record, ended bool, err error) {
	var args []any
	arg := func(v any) string {
		args = append(args, v)
		return `$` + strconv.Itoa(len(args))
	}
	var text strings.Builder
	text.WriteString(`SELECT time, id, account, region, name, principal, resource, body FROM ` + table +
		` WHERE time >= ` + arg(s.from) + ` AND time < ` + arg(s.to))
	for _, f := range []struct{ column, value string }{
		{"id", s.filter.ID}, {"account", s.filter.Account}, {"region", s.filter.Region},
		{"name", s.filter.Name}, {"principal", s.filter.Principal}, {"resource", s.filter.Resource},
	} {
		if f.value != "" {
			text.WriteString(` AND ` + f.column + ` = ` + arg(f.value))
		}
	}
	than, order := ` > `, ` ORDER BY time, id`
	if s.filter.NewestFirst {
		than, order = ` < `, ` ORDER BY time DESC, id DESC`
	}
	if s.afterID != "" {
		text.WriteString(` AND (time, id)` + than + `(` + arg(s.after) + `, ` + arg(s.afterID) + `)`)
	}
	text.WriteString(order + ` LIMIT ` + strconv.Itoa(most))
	rows, err := pool.QueryContext(ctx, text.String(), args...)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	for bytes := 0; bytes < mostPageBytes; bytes += len(page[len(page)-1].Body) {
		if !rows.Next() {
			return page, len(page) < most, rows.Err()
		}
		var r Record
		var micros int64
		if err := rows.Scan(&micros, &r.ID, &r.Account, &r.Region, &r.Name, &r.Principal, &r.Resource, &r.Body); err != nil {
			return nil, false, err
		}
		r.Time = time.UnixMicro(micros).UTC()
		if r.Body == nil {
			r.Body = []byte{}
		}
		page = append(page, r)
	}
	return page, false, rows.Err()
}
