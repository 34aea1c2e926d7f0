package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// postgresLog is a table partitioned by day. It is in a schema of its own so that Backup does not meet it.
type postgresLog struct {
	table string
	pool  *sql.DB

	mu   sync.Mutex
	days map[day]bool // guarded by mu; the partitions known to exist
}

// openLog implements engine.
func (e *postgresEngine) openLog(ctx context.Context, name string) (logEngine, error) {
	l := &postgresLog{table: "vennel_log." + name, pool: sql.OpenDB(e.open), days: map[day]bool{}}
	l.pool.SetMaxOpenConns(4)
	statements := []string{
		`CREATE SCHEMA IF NOT EXISTS vennel_log`,
		`CREATE TABLE IF NOT EXISTS ` + l.table + ` (` + logColumns + `) PARTITION BY RANGE (time)`,
	}
	for _, column := range logIndexes {
		statements = append(statements, fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %[1]s_%[2]s ON vennel_log.%[1]s (%[2]s, time, id)`, name, column))
	}
	for _, statement := range statements {
		if _, err := l.pool.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(err, l.pool.Close())
		}
	}
	return l, nil
}

// partition returns the name of a day's partition, without the schema.
func (l *postgresLog) partition(d day) string {
	_, name, _ := strings.Cut(l.table, ".")
	return name + "_" + strings.ReplaceAll(d.String(), "-", "")
}

// write implements logEngine.
func (l *postgresLog) write(ctx context.Context, records []Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		d := dayOf(r.Time.UnixMicro())
		if l.days[d] {
			continue
		}
		if _, err := l.pool.ExecContext(ctx, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS vennel_log.%s PARTITION OF %s FOR VALUES FROM (%d) TO (%d)`,
			l.partition(d), l.table, d.start(), (d+1).start())); err != nil {
			return err
		}
		l.days[d] = true
	}
	err := insertRecords(ctx, l.pool, l.table, records)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23514" { // No partition for a row: somebody else removed one.
		clear(l.days)
	}
	return err
}

// insertRecords stores records in a table within one transaction.
func insertRecords(ctx context.Context, pool *sql.DB, table string, records []Record) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	insert, err := tx.PrepareContext(ctx, `INSERT INTO `+table+` (time, id, account, region, name, principal, resource, body)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`)
	if err != nil {
		return err
	}
	defer insert.Close()
	for _, r := range records {
		body := r.Body
		if body == nil {
			body = []byte{}
		}
		if _, err := insert.ExecContext(ctx, r.Time.UnixMicro(), r.ID, r.Account, r.Region, r.Name, r.Principal, r.Resource, body); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// query implements logEngine.
func (l *postgresLog) query(ctx context.Context, s span, look func(Record) bool) error {
	_, err := queryRecords(ctx, l.pool, l.table, s, look)
	return err
}

// expire implements logEngine.
func (l *postgresLog) expire(ctx context.Context, before int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	partitions, err := l.partitions(ctx)
	if err != nil {
		return err
	}
	for d, name := range partitions {
		if (d + 1).start() > before {
			continue
		}
		delete(l.days, d)
		if _, err := l.pool.ExecContext(ctx, `DROP TABLE IF EXISTS vennel_log.`+name); err != nil {
			return err
		}
	}
	return nil
}

// partitions returns the partitions that exist by their days.
func (l *postgresLog) partitions(ctx context.Context) (map[day]string, error) {
	rows, err := l.pool.QueryContext(ctx, `SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = $1::text::regclass`, l.table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[day]string{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if date := name[max(0, len(name)-8):]; len(date) == 8 {
			if d, ok := parseDay(date[:4] + "-" + date[4:6] + "-" + date[6:]); ok && l.partition(d) == name {
				found[d] = name
			}
		}
	}
	return found, rows.Err()
}

// close implements logEngine.
func (l *postgresLog) close() error { return l.pool.Close() }
