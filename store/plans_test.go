package store_test

import (
	"context"
	"database/sql"
	"regexp"
	"strings"
	"testing"

	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// TestPlans looks at SQLite's plan of every query of one table: it must find rows by as many columns as
// some index of the table has that are compared for equality. Without statistics SQLite counts each column after
// the first for little, and an index that covers the query for much; so it took an index by value for
// the tags of one node and read those of the whole fleet.
func TestPlans(t *testing.T) {
	db, err := store.Open(t.Context(), storetest.SQLite(t), nil)
	must(t, err)
	defer func() { must(t, db.Close()) }()
	table := regexp.MustCompile(`(?:FROM|UPDATE) (\w+)\s`)
	equal := regexp.MustCompile(`\b(\w+) = \$\d`)
	alternatives := regexp.MustCompile(`\([^()]*(?:\([^()]*\)[^()]*)* OR [^()]*(?:\([^()]*\)[^()]*)*\)`) // no index serves them
	constrained := regexp.MustCompile(`(\w+)[=<>]\?`)
	must(t, db.View(t.Context(), func(tx *store.Tx) error {
		for _, q := range storetest.ModuleQueries(t) {
			where := strings.LastIndex(q.SQL, "WHERE")
			tables := table.FindAllStringSubmatch(q.SQL, -1)
			if where < 0 || len(tables) != 1 {
				continue
			}
			columns := map[string]bool{}
			for _, m := range equal.FindAllStringSubmatch(alternatives.ReplaceAllString(q.SQL[where:], ""), -1) {
				columns[m[1]] = true
			}
			best, err := bestIndex(t.Context(), tx, tables[0][1], columns)
			if err != nil {
				return err
			}
			plan, err := plan(t.Context(), tx, q.SQL)
			if err != nil {
				return err
			}
			used := map[string]bool{}
			for _, m := range constrained.FindAllStringSubmatch(plan, -1) {
				used[m[1]] = true
			}
			if len(used) < best {
				t.Errorf("%s: SQLite finds rows by %d columns, an index has %d: %s", q.Name, len(used), best, plan)
			}
		}
		return nil
	}))
}

// bestIndex is how many of the columns, which are compared for equality, the best index begins with. One
// that finds a single row is as good as any.
func bestIndex(ctx context.Context, tx *store.Tx, table string, columns map[string]bool) (best int, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT l.name, i.name, l."unique", (SELECT count(*) FROM pragma_index_info(l.name))
		FROM pragma_index_list($1) l, pragma_index_info(l.name) i WHERE l.partial = 0 ORDER BY l.name, i.seqno`, table)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	last, n, going, enough := "", 0, false, 1<<30
	for rows.Next() {
		var index, column string
		var unique, length int
		if err := rows.Scan(&index, &column, &unique, &length); err != nil {
			return 0, err
		}
		if index != last {
			last, n, going = index, 0, true
		}
		if going = going && columns[column]; going {
			n++
			best = max(best, n)
			if unique == 1 && n == length {
				enough = min(enough, n)
			}
		}
	}
	return min(best, enough), rows.Err()
}

// plan is SQLite's plan of a query.
func plan(ctx context.Context, tx *store.Tx, query string) (string, error) {
	arguments := make([]any, strings.Count(query, "$"))
	for i := range arguments {
		arguments[i] = sql.Null[string]{}
	}
	rows, err := tx.QueryContext(ctx, `EXPLAIN QUERY PLAN `+query, arguments...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			return "", err
		}
		lines = append(lines, detail)
	}
	return strings.Join(lines, "; "), rows.Err()
}
