package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// valuesPerInsert is about how many values one INSERT of a restore carries.
const valuesPerInsert = 120

// Restore replaces all tables by those of the backup in r, or changes nothing and returns an error, which is ErrBackup if r is damaged, foreign or from a
// newer program. A backup of an older program is migrated on the way. It may run while a server has the database open, in this or another process:
// that server's Update, and this DB's too, return ErrRestored from then on.
func (db *DB) Restore(ctx context.Context, r io.Reader) error {
	if err := db.ended(); err != nil && !errors.Is(err, ErrRestored) {
		return err
	}
	file, done, err := db.rewindable(r)
	if err != nil {
		return err
	}
	defer done()
	// Reading it once for nothing finds damage before the database is locked.
	version, err := readBackup(ctx, file, backupHandler{
		table: func(table) error { return nil },
		row:   func([]any) error { return nil },
	})
	if err != nil {
		return err
	}
	if err := file.rewind(); err != nil {
		return err
	}
	switch {
	case version < 1 || version > db.version:
		return fmt.Errorf("%w: it is of migration %d, this program is at %d", ErrBackup, version, db.version)
	case version < db.version:
		return db.restoreOlder(ctx, file, version)
	}
	if err := db.engine.exclusive(ctx, func(tx *Tx) error { return db.replace(ctx, tx, file) }); err != nil {
		return err
	}
	_ = db.end(ErrRestored) // The restore itself went well.
	return nil
}

// replace does the work of Restore in one transaction.
func (db *DB) replace(ctx context.Context, tx *Tx, r io.Reader) error {
	tables, err := db.engine.tables(ctx, tx)
	if err != nil {
		return err
	}
	ours := map[string]table{}
	for _, t := range tables {
		ours[t.Name] = t
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+quoted(t.Name)); err != nil {
			return err
		}
	}
	var into inserter
	if _, err := readBackup(ctx, r, backupHandler{
		table: func(t table) error {
			if err := into.flush(ctx, tx); err != nil {
				return err
			}
			own, ok := ours[t.Name]
			if !ok || !own.fits(t) {
				return fmt.Errorf("%w: table %s is unknown here or has other columns", ErrBackup, t.Name)
			}
			into = inserter{table: t}
			return nil
		},
		row: func(values []any) error { return into.add(ctx, tx, values) },
	}); err != nil {
		return err
	}
	if err := into.flush(ctx, tx); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE vennel_store SET generation = $1 WHERE id = 1`, rand.Text())
	return err
}

// fits says whether two tables have the same columns, in whatever order.
func (t table) fits(other table) bool {
	types := map[string]columnType{}
	for _, c := range t.Columns {
		types[c.Name] = c.Type
	}
	for _, c := range other.Columns {
		if types[c.Name] != c.Type {
			return false
		}
	}
	return len(t.Columns) == len(other.Columns)
}

// inserter gathers rows of one table into statements of many rows.
type inserter struct {
	table  table
	values []any
}

// add inserts a row, now or later.
func (i *inserter) add(ctx context.Context, tx *Tx, values []any) error {
	i.values = append(i.values, values...)
	if len(i.values)+len(values) > valuesPerInsert {
		return i.flush(ctx, tx)
	}
	return nil
}

// flush inserts what was gathered.
func (i *inserter) flush(ctx context.Context, tx *Tx) error {
	if len(i.values) == 0 {
		return nil
	}
	var text strings.Builder
	text.WriteString(`INSERT INTO ` + quoted(i.table.Name) + ` (` + i.table.names() + `) VALUES `)
	for n := range i.values {
		switch {
		case n == 0:
			text.WriteString(`($`)
		case n%len(i.table.Columns) == 0:
			text.WriteString(`), ($`)
		default:
			text.WriteString(`, $`)
		}
		text.WriteString(strconv.Itoa(n + 1))
	}
	text.WriteString(`)`)
	_, err := tx.ExecContext(ctx, text.String(), i.values...)
	i.values = i.values[:0]
	if err != nil {
		return fmt.Errorf("store: restore table %s: %w", i.table.Name, err)
	}
	return nil
}

// restoreOlder brings a backup up to date in a database of its own and restores what comes out.
func (db *DB) restoreOlder(ctx context.Context, r io.Reader, version int64) (err error) {
	dir, err := os.MkdirTemp(db.scratch, "restore-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it has served
	address := (&url.URL{Scheme: "sqlite", Path: filepath.Join(dir, "older.db")}).String()
	options := Options{Migrations: db.opts.Migrations, upTo: version}
	log := slog.New(slog.DiscardHandler)
	older, err := options.Open(ctx, address, log)
	if err != nil {
		return err
	}
	err = older.Restore(ctx, r)
	if closed := older.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	options.upTo = 0
	newer, err := options.Open(ctx, address, log)
	if err != nil {
		return err
	}
	defer func() { _ = newer.Close() }() // it goes with dir
	file, err := os.OpenFile(filepath.Join(dir, "newer.backup"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it goes with dir
	if err := newer.Backup(ctx, file); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return db.Restore(ctx, file)
}

// rewindable is a stream that can be read again from where it was first read.
type rewindable struct {
	io.ReadSeeker
	start int64
}

// rewind goes back to the start.
func (r rewindable) rewind() error {
	_, err := r.Seek(r.start, io.SeekStart)
	return err
}

// rewindable returns r, or a copy of it in a temporary file if it cannot be read twice, and a function that removes the copy.
func (db *DB) rewindable(r io.Reader) (rewindable, func(), error) {
	if s, ok := r.(io.ReadSeeker); ok {
		if start, err := s.Seek(0, io.SeekCurrent); err == nil {
			return rewindable{s, start}, func() {}, nil
		}
	}
	file, err := os.CreateTemp(db.scratch, "restore-*")
	if err != nil {
		return rewindable{}, nil, err
	}
	_ = os.Remove(file.Name()) // at once, so that a killed process leaves no copy; where that cannot be, at the end
	done := func() {
		_ = file.Close() // It is about to be removed.
		_ = os.Remove(file.Name())
	}
	if _, err := io.Copy(file, r); err != nil {
		done()
		return rewindable{}, nil, err
	}
	out := rewindable{file, 0}
	if err := out.rewind(); err != nil {
		done()
		return rewindable{}, nil, err
	}
	return out, done, nil
}
