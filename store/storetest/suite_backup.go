package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/store"
)

// backupAndRestore: what is restored is what was backed up, and ends the DB.
func backupAndRestore(t *testing.T, db *store.DB) {
	do(t, db, values, numbers,
		`INSERT INTO vals VALUES (1, 9223372036854775807, 'a"b', TRUE, '', -0.1, NULL), (2, 0, '', FALSE, '', 1e300, 'o')`)
	update(t, db, func(tx *store.Tx) error {
		if _, err := tx.ExecContext(t.Context(), `UPDATE vals SET y = $1, s = $2 WHERE id = 2`, []byte{0, 255}, "a\nb <&> 🚇"); err != nil {
			return err
		}
		for i := range 300 {
			if _, err := tx.ExecContext(t.Context(), `INSERT INTO numbers VALUES ($1, $2)`, fmt.Sprint(i), i); err != nil {
				return err
			}
		}
		return nil
	})
	var first bytes.Buffer
	if err := db.Backup(t.Context(), &first); err != nil {
		t.Fatal(err)
	}
	do(t, db, `DELETE FROM vals WHERE id = 1`, `UPDATE numbers SET n = 0`, `INSERT INTO numbers VALUES ('new', 1)`)
	// A reader that can be read only once.
	if err := db.Restore(t.Context(), struct{ *bytes.Buffer }{bytes.NewBuffer(first.Bytes())}); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(t.Context(), func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrRestored) {
		t.Errorf("Update after Restore: %v", err)
	}
	if err := db.Run(t.Context()); !errors.Is(err, store.ErrRestored) {
		t.Errorf("Run after Restore: %v", err)
	}
	if n := count(t, db, `SELECT SUM(n) FROM numbers`); n != 299*300/2 {
		t.Errorf("the sum is %d", n)
	}
	var second bytes.Buffer
	if err := db.Backup(t.Context(), &second); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sortedLines(first.String()), sortedLines(second.String())); diff != "" {
		t.Errorf("a backup of what was restored differs: (-want +got)\n%s", diff)
	}
}

// sortedLines returns the lines of a backup without its end; the order of rows is nobody's promise.
func sortedLines(text string) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	lines = lines[:len(lines)-1]
	slices.Sort(lines)
	return lines
}

// restoreRefused: what is no whole backup of this program changes nothing.
func restoreRefused(t *testing.T, db *store.DB) {
	do(t, db, numbers, `INSERT INTO numbers VALUES ('a', 1), ('b', 2)`)
	var backup bytes.Buffer
	if err := db.Backup(t.Context(), &backup); err != nil {
		t.Fatal(err)
	}
	do(t, db, `UPDATE numbers SET n = 7`)
	good := backup.String()
	lines := strings.SplitAfter(good, "\n")
	for name, bad := range map[string]string{
		"empty":           "",
		"foreign":         "SQLite format 3\x00",
		"foreign JSON":    `{"a":1}` + "\n",
		"newer format":    strings.Replace(good, `"vennel_backup":1`, `"vennel_backup":2`, 1),
		"newer program":   strings.Replace(good, `"migration":`, `"migration":9`, 1),
		"no program":      strings.Replace(good, `"migration":`, `"migration":-`, 1),
		"cut":             good[:len(good)/2],
		"without end":     strings.Join(lines[:len(lines)-2], ""),
		"last byte lost":  good[:len(good)-1],
		"row lost":        strings.Replace(good, `["a",1]`+"\n", "", 1),
		"row altered":     strings.Replace(good, `["a",1]`, `["a",3]`, 1),
		"row malformed":   strings.Replace(good, `["a",1]`, `["a","1"]`, 1),
		"row too short":   strings.Replace(good, `["a",1]`, `["a"]`, 1),
		"table altered":   strings.Replace(good, `"numbers"`, `"letters"`, 1),
		"more after it":   good + "\n",
		"twice":           good + good,
		"carriage return": strings.ReplaceAll(good, "\n", "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			if bad == good {
				t.Fatal("nothing was altered")
			}
			if err := db.Restore(t.Context(), strings.NewReader(bad)); !errors.Is(err, store.ErrBackup) {
				t.Errorf("Restore: %v", err)
			}
		})
	}
	if n := count(t, db, `SELECT SUM(n) FROM numbers`); n != 14 {
		t.Errorf("the sum is %d, want 14", n)
	}
	do(t, db, `INSERT INTO numbers VALUES ('c', 1)`) // Nothing has been restored.
}
