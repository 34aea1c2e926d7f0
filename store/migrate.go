package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var embedded embed.FS

// Migrations returns the embedded migrations of the store and all capabilities, files NNNNN_name.sql in goose's form.
func Migrations() fs.FS {
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic(err) // The name is a constant and the folder is embedded.
	}
	return sub
}

// migrate brings the database to the program's version and returns that. Beside a server it only compares.
func migrate(ctx context.Context, db *DB, dialect goose.Dialect, open opener) (int64, error) {
	pool := sql.OpenDB(open)            // goose is no closure of Update, so its connections have no guard.
	defer func() { _ = pool.Close() }() // each migration was committed
	files := db.opts.Migrations
	if files == nil {
		files = Migrations()
	}
	provider, err := goose.NewProvider(dialect, pool, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return 0, fmt.Errorf("migrations: %w", err)
	}
	var program int64
	for _, source := range provider.ListSources() {
		program = max(program, source.Version)
	}
	if db.opts.Beside {
		var found int64
		if err := pool.QueryRowContext(ctx, `SELECT MAX(version_id) FROM goose_db_version`).Scan(&found); err != nil {
			return 0, fmt.Errorf("not a database of this program: %w", err)
		}
		if found != program {
			return 0, fmt.Errorf("the database is at migration %d, this program at %d: use the server's version of the program", found, program)
		}
		return program, nil
	}
	found, err := provider.GetDBVersion(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrations: %w", err)
	}
	if found > program {
		return 0, fmt.Errorf("the database is at migration %d, this program at %d: a newer program has used it", found, program)
	}
	if db.opts.upTo > 0 {
		_, err := provider.UpTo(ctx, db.opts.upTo)
		return db.opts.upTo, err
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrations: %w", err)
	}
	for _, r := range done {
		db.log.Info("migrated the database", "migration", r.Source.Path, "duration", r.Duration)
	}
	return program, nil
}
