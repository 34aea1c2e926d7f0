package storetest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vennel/vennel/store"
)

// Query is a query text of a capability.
type Query struct {
	Name string // of the constant, with its file
	SQL  string
}

// CheckQueries fails for queries that are not of the portable subset, or that db cannot prepare. Two engines must be asked: see ModuleQueries.
func CheckQueries(t *testing.T, db *store.DB, queries ...Query) {
	t.Helper()
	for _, q := range queries {
		for _, complaint := range complaints(pieces(q.SQL)) {
			t.Errorf("%s: %s", q.Name, complaint)
		}
		// Each in its own transaction, for the first failure ends it.
		if err := db.View(t.Context(), func(tx *store.Tx) error {
			statement, err := tx.PrepareContext(t.Context(), q.SQL)
			if err != nil {
				return err
			}
			return statement.Close()
		}); err != nil {
			t.Errorf("%s: %v", q.Name, err)
		}
	}
}

// ModuleQueries returns the query texts of the module that the test belongs to: the constants of all files named *.sql.go, which is what sqlc writes.
func ModuleQueries(t *testing.T) []Query {
	t.Helper()
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		if root == filepath.Dir(root) {
			t.Fatal("no go.mod above the test")
		}
		root = filepath.Dir(root)
	}
	queries, err := queriesIn(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	return queries
}

// queriesIn returns the string constants of the files named *.sql.go in a tree.
func queriesIn(tree fs.FS) ([]Query, error) {
	var queries []Query
	err := fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".sql.go"):
			return nil
		}
		source, err := fs.ReadFile(tree, path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, value := range spec.Values {
				if text, ok := value.(*ast.BasicLit); ok && text.Kind == token.STRING {
					sql, unquoteErr := strconv.Unquote(text.Value)
					if unquoteErr != nil {
						err = unquoteErr
					}
					queries = append(queries, Query{path + " " + spec.Names[i].Name, sql})
				}
			}
			return true
		})
		return err
	})
	return queries, err
}

// forbidden are the words that mean different things on the two engines, or something on one of them only, with the way out.
var forbidden = map[string]string{
	"LIKE":              "it ignores case on SQLite: use a prefix range, >= $1 AND < $2",
	"ILIKE":             "only PostgreSQL has it",
	"SIMILAR":           "only PostgreSQL has it",
	"GLOB":              "only SQLite has it",
	"REGEXP":            "only SQLite has it",
	"SKIP":              "SKIP LOCKED is PostgreSQL's: compare and set a version",
	"IDENTITY":          "ids are made in Go",
	"SERIAL":            "ids are made in Go",
	"BIGSERIAL":         "ids are made in Go",
	"AUTOINCREMENT":     "ids are made in Go",
	"CURRENT_TIMESTAMP": "the clock is read in Go",
	"CURRENT_DATE":      "the clock is read in Go",
	"CURRENT_TIME":      "the clock is read in Go",
	"REFERENCES":        "SQLite does not enforce it, and a restore loads table by table",
}

// forbiddenCalls are the functions of that kind.
var forbiddenCalls = map[string]string{
	"ANY":               "PostgreSQL's arrays: one statement for each item, in one transaction",
	"NOW":               "the clock is read in Go",
	"RANDOM":            "random numbers are made in Go",
	"GEN_RANDOM_UUID":   "ids are made in Go",
	"DATETIME":          "the clock is read in Go",
	"STRFTIME":          "the clock is read in Go",
	"LAST_INSERT_ROWID": "ids are made in Go",
	"LOWER":             "SQLite's knows ASCII only: do it in Go",
	"UPPER":             "SQLite's knows ASCII only: do it in Go",
}

// forbiddenSymbols are the operators of that kind.
var forbiddenSymbols = map[string]string{
	"->":  "JSON is parsed in Go",
	"->>": "JSON is parsed in Go",
	"#>":  "JSON is parsed in Go",
	"#>>": "JSON is parsed in Go",
	"@>":  "JSON is parsed in Go",
	"<@":  "JSON is parsed in Go",
	"::":  "write CAST(x AS t)",
	"~":   "only PostgreSQL has it",
	"~*":  "only PostgreSQL has it",
	"!~":  "only PostgreSQL has it",
	"~~":  "it is LIKE",
	"!~~": "it is LIKE",
	"?":   "parameters are $1, $2, …",
}

// complaints tells what keeps a statement from meaning the same on both engines.
func complaints(sql []piece) []string {
	var out []string
	complain := func(at piece, why string) {
		out = append(out, fmt.Sprintf("line %d: %s: %s", at.line, at.text, why))
	}
	sql = withoutComments(sql)
	params := 0
	for i, t := range sql {
		var next piece
		if i+1 < len(sql) {
			next = sql[i+1]
		}
		switch t.kind {
		case word:
			if why, ok := forbidden[t.text]; ok {
				complain(t, why)
			}
			if why, ok := forbiddenCalls[t.text]; ok && next.text == "(" {
				complain(t, why)
			}
			if t.text == "FOR" && (next.text == "UPDATE" || next.text == "SHARE" || next.text == "NO" || next.text == "KEY") {
				complain(t, "only PostgreSQL locks rows: compare and set a version")
			}
		case symbol:
			if why, ok := forbiddenSymbols[t.text]; ok {
				complain(t, why)
			}
		case param:
			n, err := strconv.Atoi(t.text[1:])
			if err != nil || n < 1 || n > params+1 {
				complain(t, fmt.Sprintf("parameters are numbered as they first appear, this is number %d: some drivers bind by position", params+1))
			}
			params = max(params, n)
		}
	}
	return out
}

// withoutComments returns the pieces that are not comments.
func withoutComments(sql []piece) []piece {
	var out []piece
	for _, t := range sql {
		if t.kind != comment {
			out = append(out, t)
		}
	}
	return out
}
