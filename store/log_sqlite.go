package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// mostOpenDays is how many days a log keeps open for writing: today, and yesterday around midnight.
const mostOpenDays = 2

// logPageSize is the size in bytes of a page of a log's files. Records are large and come one after the other: half of the time that pages of the
// usual size take to write is saved.
const logPageSize = "16384"

// sqliteLog is a folder with one database file for each day. Its files are written with synchronous NORMAL: a power cut may take the last seconds of
// a log, never its consistency, and a killed process nothing that was written.
type sqliteLog struct {
	dir string

	mu   sync.Mutex
	open map[day]*logFile // guarded by mu; the days open for writing
}

// logFile is a day's file, open for writing.
type logFile struct {
	*sql.DB
	one, many *sql.Stmt // insert a record, and rowsAtOnce
}

// rowsAtOnce is how many records one statement inserts. They share what a statement costs, and beside each other find their places in the indexes sooner;
// of still more, the driver would take longer to find the arguments.
const rowsAtOnce = 16

// recordColumns is how many columns a record has.
const recordColumns = 8

// insertText is the statement that inserts so many records. The driver finds an argument faster if it has no number. IGNORE instead of ON CONFLICT spares the
// journal that undoes a statement of many rows: nothing but a record that is there already can be refused.
func insertText(records int) string {
	row := "(?" + strings.Repeat(",?", recordColumns-1) + ")"
	return `INSERT OR IGNORE INTO record (time, id, account, region, name, principal, resource, body) VALUES ` + row + strings.Repeat(","+row, records-1)
}

// insert stores records in one transaction.
func (f *logFile) insert(ctx context.Context, records []Record) error {
	tx, err := f.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	one, many := tx.StmtContext(ctx, f.one), tx.StmtContext(ctx, f.many)
	args := make([]any, 0, rowsAtOnce*recordColumns)
	for len(records) > 0 {
		insert, n := one, 1
		if len(records) >= rowsAtOnce {
			insert, n = many, rowsAtOnce
		}
		args = args[:0]
		for _, r := range records[:n] {
			if r.Body == nil {
				r.Body = []byte{}
			}
			args = append(args, r.Time.UnixMicro(), r.ID, r.Account, r.Region, r.Name, r.Principal, r.Resource, r.Body)
		}
		if _, err := insert.ExecContext(ctx, args...); err != nil {
			return err
		}
		records = records[n:]
	}
	return tx.Commit()
}

// openLog implements engine.
func (e *sqliteEngine) openLog(_ context.Context, name string) (logEngine, error) {
	dir := filepath.Join(filepath.Dir(e.path), name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &sqliteLog{dir: dir, open: map[day]*logFile{}}, nil
}

// file returns the name of a day's file.
func (l *sqliteLog) file(d day) string { return filepath.Join(l.dir, d.String()+".db") }

// days returns the days that have a file, in order.
func (l *sqliteLog) days() ([]day, error) {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, err
	}
	var days []day
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), ".db"); ok {
			if d, ok := parseDay(name); ok {
				days = append(days, d)
			}
		}
	}
	return days, nil // ReadDir sorts, and so do dates.
}

// writer returns the database of a day, opened for writing. It is called with mu held.
func (l *sqliteLog) writer(ctx context.Context, d day) (*logFile, error) {
	if file, ok := l.open[d]; ok {
		return file, nil
	}
	for other, pool := range l.open {
		if len(l.open) < mostOpenDays {
			break
		}
		delete(l.open, other)
		if err := pool.Close(); err != nil {
			return nil, err
		}
	}
	if err := createFile(l.file(d)); err != nil {
		return nil, err
	}
	pool := sql.OpenDB(sqliteOpener(l.file(d), "_pragma=page_size("+logPageSize+")", "_journal_mode=WAL", "_synchronous=NORMAL"))
	pool.SetMaxOpenConns(1)
	statements := []string{`CREATE TABLE IF NOT EXISTS record (` + logColumns + `)`}
	for _, column := range logIndexes {
		statements = append(statements, fmt.Sprintf(`CREATE INDEX IF NOT EXISTS record_%[1]s ON record (%[1]s, time, id)`, column))
	}
	for _, statement := range statements {
		if _, err := pool.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(err, pool.Close())
		}
	}
	file := &logFile{DB: pool}
	var err error
	if file.one, err = pool.PrepareContext(ctx, insertText(1)); err == nil {
		file.many, err = pool.PrepareContext(ctx, insertText(rowsAtOnce))
	}
	if err != nil {
		return nil, errors.Join(err, pool.Close()) // which closes the statements
	}
	l.open[d] = file
	return file, nil
}

// write implements logEngine.
func (l *sqliteLog) write(ctx context.Context, records []Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	byDay := map[day][]Record{}
	for _, r := range records {
		d := dayOf(r.Time.UnixMicro())
		byDay[d] = append(byDay[d], r)
	}
	for d, some := range byDay {
		file, err := l.writer(ctx, d)
		if err != nil {
			return err
		}
		if err := file.insert(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// query implements logEngine.
func (l *sqliteLog) query(ctx context.Context, s span, look func(Record) bool) error {
	days, err := l.days()
	if err != nil {
		return err
	}
	if s.filter.NewestFirst {
		slices.Reverse(days)
	}
	for _, d := range days {
		if d.start() >= s.to || (d+1).start() <= s.from {
			continue
		}
		if more, err := l.queryDay(ctx, d, s, look); err != nil || !more {
			return err
		}
	}
	return nil
}

// queryDay queries one day's file, which may have been expired meanwhile.
func (l *sqliteLog) queryDay(ctx context.Context, d day, s span, look func(Record) bool) (more bool, err error) {
	if _, err := os.Stat(l.file(d)); errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	pool := sql.OpenDB(sqliteOpener(l.file(d), "_query_only=1"))
	defer func() { _ = pool.Close() }() // it is only read
	pool.SetMaxOpenConns(1)
	var made bool // A process that was killed may have left a file without its table.
	err = pool.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'record')`).Scan(&made)
	if err == nil && !made {
		return true, nil
	}
	if err == nil {
		more, err = queryRecords(ctx, pool, "record", s, look)
	}
	if err != nil {
		if _, gone := os.Stat(l.file(d)); errors.Is(gone, fs.ErrNotExist) {
			return true, nil
		}
	}
	return more, err
}

// expire implements logEngine.
func (l *sqliteLog) expire(_ context.Context, before int64) error {
	days, err := l.days()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range days {
		if (d + 1).start() > before {
			break
		}
		if pool, ok := l.open[d]; ok {
			delete(l.open, d)
			if err := pool.Close(); err != nil {
				return err
			}
		}
		// The file last: without it nobody looks at its companions.
		for _, suffix := range []string{"-wal", "-shm", ""} {
			if err := os.Remove(l.file(d) + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// close implements logEngine.
func (l *sqliteLog) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for d, pool := range l.open {
		delete(l.open, d)
		errs = append(errs, pool.Close())
	}
	return errors.Join(errs...)
}
