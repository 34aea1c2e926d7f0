package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// SealBackup replaces the last line of a backup by an end that fits the lines before it, so that a fuzzer gets past the hash.
func SealBackup(data []byte) []byte {
	lines := bytes.SplitAfter(data, []byte("\n"))
	if last := lines[len(lines)-1]; len(last) == 0 && len(lines) > 1 {
		lines = lines[:len(lines)-1]
	}
	body := bytes.Join(lines[:len(lines)-1], nil)
	end := backupTrailer{}
	for _, line := range lines[:len(lines)-1] {
		switch {
		case bytes.HasPrefix(line, []byte(`{"table":`)):
			end.Tables++
		case line[0] == '[':
			end.Rows++
		}
	}
	sum := sha256.Sum256(body)
	end.SHA256 = hex.EncodeToString(sum[:])
	text, err := json.Marshal(end)
	if err != nil {
		panic(err)
	}
	return append(append(bytes.Clone(body), text...), '\n')
}

// WithSynchronous returns options with another setting of SQLite's synchronous.
func WithSynchronous(o Options, setting string) Options {
	o.synchronous = setting
	return o
}

// LimitPages makes a SQLite database behave as if the disk were full from a number of pages on.
func LimitPages(db *DB, pages int) error {
	e := db.engine.(*sqliteEngine)
	if err := e.takeAlone(context.Background()); err != nil {
		return err
	}
	defer e.turn.give()
	return e.guard.control(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages))
}

// KeptStatements is how many statements a connection keeps.
const KeptStatements = keptStatements

// Exclusive runs f as Restore does.
func Exclusive(ctx context.Context, db *DB, f func(*Tx) error) error {
	return db.engine.exclusive(ctx, f)
}
