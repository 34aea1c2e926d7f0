package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"strconv"
	"strings"
)

// A backup is a stream of JSON lines, the same for both engines:
//
//	{"vennel_backup":1,"migration":12}                                 the format's and the database's version
//	{"table":"parameter","columns":[{"name":"n","type":"TEXT"}, …]}    a table, followed by its rows
//	["text",1,1.5,true,"Ynl0ZXM=",null]                                a row: TEXT, BIGINT, DOUBLE PRECISION, BOOLEAN, BYTEA in base64, NULL
//	{"tables":1,"rows":1,"sha256":"…"}                                 the end, with the hash of all lines before it
//
// The hash finds damage, not forgery: whoever can write a backup can write what it restores.

// backupFormat is the version of the format.
const backupFormat = 1

// mostLine is the length of the longest line in bytes.
const mostLine = 64 << 20

// ErrBackup says that what was to be restored is not a whole and unaltered backup, or none for this program. Nothing was changed.
var ErrBackup = errors.New("store: not a usable backup")

// backupHeader is the first line.
type backupHeader struct {
	Format    int   `json:"vennel_backup"`
	Migration int64 `json:"migration"`
}

// backupTrailer is the last line.
type backupTrailer struct {
	Tables int64  `json:"tables"`
	Rows   int64  `json:"rows"`
	SHA256 string `json:"sha256"`
}

// table is a table's name and columns.
type table struct {
	Name    string   `json:"table"`
	Columns []column `json:"columns"`
}

// column is one column of a table.
type column struct {
	Name string     `json:"name"`
	Type columnType `json:"type"`
}

// columnType is one of the five types that both engines have.
type columnType string

// The column types.
const (
	typeBigint  columnType = "BIGINT"
	typeText    columnType = "TEXT"
	typeBoolean columnType = "BOOLEAN"
	typeBytes   columnType = "BYTEA"
	typeDouble  columnType = "DOUBLE PRECISION"
)

// known says whether t is one of the five.
func (t columnType) known() bool {
	switch t {
	case typeBigint, typeText, typeBoolean, typeBytes, typeDouble:
		return true
	}
	return false
}

// quoted returns an identifier as both engines write it.
func quoted(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// names returns the quoted names of the columns.
func (t table) names() string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = quoted(c.Name)
	}
	return strings.Join(names, ", ")
}

// scanTables reads rows of table, column and type, ordered by table, leaving out the two that are not the capabilities'.
func scanTables(ctx context.Context, tx *Tx, query string) ([]table, error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var tables []table
	for rows.Next() {
		var name string
		var c column
		if err := rows.Scan(&name, &c.Name, &c.Type); err != nil {
			return nil, err
		}
		if name == "vennel_store" || name == "goose_db_version" {
			continue
		}
		if !c.Type.known() {
			return nil, fmt.Errorf("store: column %s.%s has type %q, which only one engine has", name, c.Name, c.Type)
		}
		if len(tables) == 0 || tables[len(tables)-1].Name != name {
			tables = append(tables, table{Name: name})
		}
		last := &tables[len(tables)-1]
		last.Columns = append(last.Columns, c)
	}
	return tables, rows.Err()
}

// Backup writes all tables, as they are at one moment, to w. It may run beside everything else and in another process. The snapshot is held until w
// has taken it all, and while it is held SQLite's log grows and PostgreSQL cannot vacuum: w should be a file, not a slow connection.
// Logs are not part of it.
func (db *DB) Backup(ctx context.Context, w io.Writer) error {
	return db.View(ctx, func(tx *Tx) error {
		tables, err := db.engine.tables(ctx, tx)
		if err != nil {
			return err
		}
		out := backupWriter{w: bufio.NewWriterSize(w, 1<<16), sum: sha256.New()}
		if err := out.object(backupHeader{backupFormat, db.version}); err != nil {
			return err
		}
		var end backupTrailer
		for _, t := range tables {
			if err := out.object(t); err != nil {
				return err
			}
			n, err := out.rows(ctx, tx, t)
			if err != nil {
				return fmt.Errorf("store: back up table %s: %w", t.Name, err)
			}
			end.Tables++
			end.Rows += n
		}
		end.SHA256 = hex.EncodeToString(out.sum.Sum(nil))
		if err := out.object(end); err != nil {
			return err
		}
		return out.w.Flush()
	})
}

// backupWriter writes lines and hashes them.
type backupWriter struct {
	w   *bufio.Writer
	sum hash.Hash
	buf []byte
}

// object writes v as a line.
func (b *backupWriter) object(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.line(append(text, '\n'))
}

// line writes a line.
func (b *backupWriter) line(line []byte) error {
	if len(line) > mostLine {
		return fmt.Errorf("a row of %d bytes is too large for a backup", len(line))
	}
	b.sum.Write(line)
	_, err := b.w.Write(line)
	return err
}

// rows writes the rows of t and returns their number.
func (b *backupWriter) rows(ctx context.Context, tx *Tx, t table) (n int64, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+t.names()+` FROM `+quoted(t.Name))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	values := make([]any, len(t.Columns))
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := rows.Scan(into...); err != nil {
			return 0, err
		}
		b.buf = append(b.buf[:0], '[')
		for i, c := range t.Columns {
			if i > 0 {
				b.buf = append(b.buf, ',')
			}
			if b.buf, err = appendValue(b.buf, c.Type, values[i]); err != nil {
				return 0, fmt.Errorf("column %s: %w", c.Name, err)
			}
		}
		b.buf = append(b.buf, ']', '\n')
		if err := b.line(b.buf); err != nil {
			return 0, err
		}
		n++
	}
	return n, rows.Err()
}

// appendValue appends a value of a column of type t. SQLite stores any value in any column, so the type is checked here.
func appendValue(buf []byte, t columnType, value any) ([]byte, error) {
	if value == nil {
		return append(buf, "null"...), nil
	}
	switch v := value.(type) {
	case int64:
		if t == typeBigint {
			return strconv.AppendInt(buf, v, 10), nil
		}
	case float64:
		if t == typeDouble {
			return strconv.AppendFloat(buf, v, 'g', -1, 64), nil
		}
	case bool:
		if t == typeBoolean {
			return strconv.AppendBool(buf, v), nil
		}
	case string:
		if t == typeText {
			text, err := json.Marshal(v)
			return append(buf, text...), err
		}
	case []byte:
		if t == typeBytes {
			buf = append(buf, '"')
			buf = base64.StdEncoding.AppendEncode(buf, v)
			return append(buf, '"'), nil
		}
	}
	return nil, fmt.Errorf("a value of type %T in a column of type %s", value, t)
}

// parseValue is the reverse of appendValue.
func parseValue(t columnType, text []byte) (value any, err error) {
	if string(text) == "null" {
		return nil, nil
	}
	switch t {
	case typeBigint:
		value, err = strconv.ParseInt(string(text), 10, 64)
	case typeDouble:
		var number float64
		number, err = strconv.ParseFloat(string(text), 64)
		if err == nil && (math.IsInf(number, 0) || math.IsNaN(number)) {
			err = errors.New("not finite")
		}
		value = number
	case typeBoolean:
		value, err = strconv.ParseBool(string(text))
	case typeText:
		var s string
		err = json.Unmarshal(text, &s)
		value = s
	case typeBytes:
		var b []byte
		err = json.Unmarshal(text, &b)
		value = b
	}
	if err != nil {
		return nil, fmt.Errorf("a value that is no %s: %w", t, err)
	}
	return value, nil
}

// backupHandler is told what a backup contains.
type backupHandler struct {
	table func(t table) error
	row   func(values []any) error
}

// readBackup reads a backup to its end and returns its migration version. Errors of the backup itself are ErrBackup; what it told the handler before
// the error is to be forgotten.
func readBackup(ctx context.Context, r io.Reader, h backupHandler) (version int64, err error) {
	in := backupReader{lines: bufio.NewScanner(r), sum: sha256.New()}
	in.lines.Buffer(make([]byte, 1<<16), mostLine)
	in.lines.Split(wholeLines)
	var header backupHeader
	line, err := in.next()
	if err != nil {
		return 0, err
	}
	in.sum.Write(line)
	if err := parseObject(line, &header); err != nil {
		return 0, err
	}
	if header.Format != backupFormat {
		return 0, fmt.Errorf("%w: format %d, this program reads %d", ErrBackup, header.Format, backupFormat)
	}
	var tables, rows int64
	var current table
	seen := map[string]bool{}
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		line, err := in.next()
		if err != nil {
			return 0, err
		}
		switch {
		case line[0] == '[':
			in.sum.Write(line)
			values, err := parseRow(current, line)
			if err != nil {
				return 0, fmt.Errorf("%w: row %d: %w", ErrBackup, rows+1, err)
			}
			if err := h.row(values); err != nil {
				return 0, err
			}
			rows++
		case bytes.HasPrefix(line, []byte(`{"table":`)):
			in.sum.Write(line)
			current = table{}
			if err := parseObject(line, &current); err != nil {
				return 0, err
			}
			if err := current.valid(); err != nil || seen[current.Name] {
				return 0, fmt.Errorf("%w: table %q is malformed or repeated", ErrBackup, current.Name)
			}
			seen[current.Name] = true
			if err := h.table(current); err != nil {
				return 0, err
			}
			tables++
		default:
			var end backupTrailer
			if err := parseObject(line, &end); err != nil {
				return 0, err
			}
			if end != (backupTrailer{tables, rows, hex.EncodeToString(in.sum.Sum(nil))}) {
				return 0, fmt.Errorf("%w: it has %d tables, %d rows and another hash than its end says", ErrBackup, tables, rows)
			}
			if _, err := in.next(); !errors.Is(err, errNoMore) {
				return 0, fmt.Errorf("%w: there is more after its end", ErrBackup)
			}
			return header.Migration, nil
		}
	}
}

// valid checks a table that was read from outside.
func (t table) valid() error {
	seen := map[string]bool{}
	for _, c := range t.Columns {
		if c.Name == "" || !c.Type.known() || seen[c.Name] {
			return fmt.Errorf("column %q", c.Name)
		}
		seen[c.Name] = true
	}
	if t.Name == "" || len(t.Columns) == 0 {
		return errors.New("no name or no columns")
	}
	return nil
}

// parseRow parses a row of t.
func parseRow(t table, line []byte) ([]any, error) {
	var texts []json.RawMessage
	if err := json.Unmarshal(line, &texts); err != nil {
		return nil, err
	}
	if len(texts) != len(t.Columns) || len(texts) == 0 {
		return nil, fmt.Errorf("%d values for %d columns", len(texts), len(t.Columns))
	}
	values := make([]any, len(texts))
	for i, c := range t.Columns {
		var err error
		if values[i], err = parseValue(c.Type, texts[i]); err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
	}
	return values, nil
}

// errNoMore reports the end of the stream.
var errNoMore = fmt.Errorf("%w: it ends too early", ErrBackup)

// backupReader reads lines; the caller hashes those that the hash covers.
type backupReader struct {
	lines *bufio.Scanner
	sum   hash.Hash
}

// next returns the next line, which is not empty.
func (b *backupReader) next() ([]byte, error) {
	if !b.lines.Scan() {
		switch err := b.lines.Err(); {
		case err == nil:
			return nil, errNoMore
		case errors.Is(err, bufio.ErrTooLong):
			return nil, fmt.Errorf("%w: a line is too long", ErrBackup)
		default:
			return nil, err
		}
	}
	return b.lines.Bytes(), nil
}

// parseObject parses a line into v.
func parseObject(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", ErrBackup, err)
	}
	return nil
}

// wholeLines splits after each newline and keeps it. A last line without one is cut off, so it is an error.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, errNoMore
	}
	return 0, nil, nil
}
