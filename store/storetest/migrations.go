package storetest

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

// CheckMigrations fails for migrations outside the portable subset: the rules of CheckQueries; columns of BIGINT, TEXT, BOOLEAN, BYTEA or DOUBLE
// PRECISION; and NOT NULL everywhere, with the empty text or 0 for nothing, unless a comment on the column's last line says "nullable:" and why.
func CheckMigrations(t *testing.T, files fs.FS) {
	t.Helper()
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Fatal("no migrations")
	}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, complaint := range migrationComplaints(string(text)) {
			t.Errorf("%s: %s", name, complaint)
		}
	}
}

// migrationComplaints tells what is wrong with a migration.
func migrationComplaints(text string) []string {
	all := pieces(text)
	out := complaints(all)
	reasons := map[int]bool{} // the lines with a reason for NULL
	for _, t := range all {
		if t.kind == comment && strings.HasPrefix(t.text, "nullable: ") {
			reasons[t.line] = true
		}
	}
	sql := withoutComments(all)
	for i := 0; i < len(sql); i++ {
		var columns [][]piece
		switch {
		case words(sql[i:], "CREATE", "TABLE"):
			i += 2
			if words(sql[i:], "IF", "NOT", "EXISTS") {
				i += 3
			}
			var body []piece
			body, i = parenthesis(sql, i+1)
			columns = definitions(body)
		case words(sql[i:], "ADD", "COLUMN"):
			end := i + 2
			for end < len(sql) && sql[end].text != ";" {
				end++
			}
			columns = [][]piece{sql[i+2 : end]}
			i = end
		case words(sql[i:], "CREATE") && i+1 < len(sql):
			switch sql[i+1].text {
			case "INDEX", "UNIQUE":
			default:
				out = append(out, fmt.Sprintf("line %d: CREATE %s: there are tables and indexes, nothing else", sql[i].line, sql[i+1].text))
			}
		case words(sql[i:], "ALTER", "COLUMN"):
			out = append(out, fmt.Sprintf("line %d: ALTER COLUMN: SQLite has none, make a new table", sql[i].line))
		}
		for _, c := range columns {
			out = append(out, columnComplaints(c, reasons)...)
		}
	}
	return out
}

// words says whether sql begins with these words.
func words(sql []piece, texts ...string) bool {
	if len(sql) < len(texts) {
		return false
	}
	for i, text := range texts {
		if sql[i].kind != word || sql[i].text != text {
			return false
		}
	}
	return true
}

// parenthesis returns what is in the parentheses that begin at or after i, and where they end.
func parenthesis(sql []piece, i int) ([]piece, int) {
	for i < len(sql) && sql[i].text != "(" {
		i++
	}
	begin, depth := i+1, 0
	for ; i < len(sql); i++ {
		switch sql[i].text {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				return sql[begin:i], i
			}
		}
	}
	return nil, len(sql)
}

// definitions splits the body of a CREATE TABLE and returns the columns.
func definitions(body []piece) [][]piece {
	var out [][]piece
	depth, begin := 0, 0
	add := func(end int) {
		if d := body[begin:end]; len(d) > 0 {
			switch d[0].text {
			case "PRIMARY", "UNIQUE", "CHECK", "CONSTRAINT", "FOREIGN":
			default:
				out = append(out, d)
			}
		}
		begin = end + 1
	}
	for i, t := range body {
		switch {
		case t.text == "(":
			depth++
		case t.text == ")":
			depth--
		case t.text == "," && depth == 0:
			add(i)
		}
	}
	add(len(body))
	return out
}

// columnComplaints tells what is wrong with a column's definition.
func columnComplaints(c []piece, reasons map[int]bool) []string {
	var out []string
	if len(c) < 2 {
		return []string{fmt.Sprintf("line %d: column %s has no type", c[0].line, c[0].text)}
	}
	switch c[1].text {
	case "BIGINT", "TEXT", "BOOLEAN", "BYTEA":
	default:
		if !words(c[1:], "DOUBLE", "PRECISION") {
			out = append(out, fmt.Sprintf("line %d: column %s is %s, want BIGINT, TEXT, BOOLEAN, BYTEA or DOUBLE PRECISION", c[0].line, c[0].text, c[1].text))
		}
	}
	for i := range c {
		if words(c[i:], "NOT", "NULL") {
			return out
		}
	}
	if !reasons[c[len(c)-1].line] {
		out = append(out, fmt.Sprintf("line %d: column %s may be NULL: say NOT NULL, or why not in a comment \"nullable: …\"", c[0].line, c[0].text))
	}
	return out
}
