package cmd

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/vennel/vennel/internal/durable"
	"github.com/vennel/vennel/store"
)

// A backup is a tar archive: the keys of the data folder, without which the rest is sealed, and
// then the database in the store's own engine-neutral form.
const backupDatabase = "database"

// backupKeys are the files of the data folder that belong to a backup.
var backupKeys = []string{keyFile, "ca.key", caFile}

// keyMode is the mode of such a file; a certificate is for everybody.
func keyMode(name string) fs.FileMode {
	if name == caFile {
		return 0o644
	}
	return 0o600
}

// mostKeyFile bounds what is read of a key file in an archive.
const mostKeyFile = 64 << 10

// Backup writes a backup, also while the server runs.
type Backup struct {
	DataFlag
	Database string `placeholder:"URL" env:"VENNEL_DATABASE" help:"The server's --database, if it has one."`
	File     string `arg:"" help:"File to write; it will hold the server's keys."`
}

// Run writes the backup beside its name first, so that a file of that name is always whole.
func (b *Backup) Run(ctx context.Context, s Streams) (err error) {
	folder, err := b.folder()
	if err != nil {
		return err
	}
	db, err := openBeside(ctx, folder, b.Database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	f, err := os.CreateTemp(filepath.Dir(b.File), ".vennel-backup-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // nothing is there when all went well
	if err = writeBackup(ctx, f, folder, db); err == nil {
		err = f.Sync()
	}
	var size int64
	if info, failed := f.Stat(); failed == nil {
		size = info.Size()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), b.File); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "Wrote %s (%d bytes). It holds the server's keys: keep it as you keep those.\n", b.File, size)
	return err
}

// writeBackup writes the archive. The database's size is not known before it is written, so it goes
// through a file of its own.
func writeBackup(ctx context.Context, out io.Writer, folder string, db *store.DB) error {
	dump, err := os.CreateTemp("", "vennel-dump-*")
	if err != nil {
		return err
	}
	defer func() { _, _ = dump.Close(), os.Remove(dump.Name()) }() // its content is in the archive
	if err := db.Backup(ctx, dump); err != nil {
		return err
	}
	size, err := dump.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := dump.Seek(0, io.SeekStart); err != nil {
		return err
	}
	archive := tar.NewWriter(out)
	for _, name := range backupKeys {
		content, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return err
		}
		if err := addEntry(archive, name, int64(len(content)), bytes.NewReader(content)); err != nil {
			return err
		}
	}
	if err := addEntry(archive, backupDatabase, size, dump); err != nil {
		return err
	}
	return archive.Close()
}

// addEntry adds one file to an archive.
func addEntry(archive *tar.Writer, name string, size int64, content io.Reader) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: time.Now()}); err != nil {
		return err
	}
	_, err := io.Copy(archive, content)
	return err
}

// Restore puts a backup in the place of everything that a server has, also while it runs.
type Restore struct {
	DataFlag
	Database    string `placeholder:"URL" env:"VENNEL_DATABASE" help:"The server's --database, if it has one."`
	File        string `arg:"" help:"Backup to restore."`
	ReplaceKeys bool   `help:"Take the backup's keys although the folder has others; the server must not run."`
}

// Run restores. All is checked before anything changes, and the database changes at once or not at
// all; a server that runs notices and starts again by itself.
func (r *Restore) Run(ctx context.Context, s Streams) (err error) {
	folder, err := r.folder()
	if err != nil {
		return err
	}
	f, err := os.Open(r.File)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it is only read
	archive := tar.NewReader(f)
	keys := map[string][]byte{}
	for range backupKeys {
		header, err := archive.Next()
		if err != nil {
			return fmt.Errorf("%s is not a backup: %w", r.File, err)
		}
		if keys[header.Name], err = io.ReadAll(io.LimitReader(archive, mostKeyFile)); err != nil {
			return err
		}
	}
	for _, name := range backupKeys {
		if keys[name] == nil {
			return fmt.Errorf("%s is not a backup: it has no %s", r.File, name)
		}
	}
	if header, err := archive.Next(); err != nil {
		return fmt.Errorf("%s is not a backup: it has no database: %w", r.File, err)
	} else if header.Name != backupDatabase {
		return fmt.Errorf("%s is not a backup: it has no database", r.File)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	same, err := sameKeys(folder, keys)
	if err != nil {
		return err
	}
	if !same && !r.ReplaceKeys {
		return fmt.Errorf("%s has other keys than the backup; stop its server and give --replace-keys to take the backup's", folder)
	}
	var db *store.DB
	if same {
		db, err = openBeside(ctx, folder, r.Database)
	} else {
		db, err = openAlone(ctx, folder, r.Database)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Restore(ctx, archive); err != nil {
		return fmt.Errorf("%s is not restored: %w", r.File, err)
	}
	if !same {
		for _, name := range backupKeys {
			if err := durable.WriteFile(filepath.Join(folder, name), keys[name], keyMode(name)); err != nil {
				return err
			}
		}
	}
	_, err = fmt.Fprintf(s.Out, "Restored %s into %s. A running server starts again by itself.\n", r.File, folder)
	return err
}

// sameKeys says whether a folder has a backup's keys. A folder without keys takes them.
func sameKeys(folder string, keys map[string][]byte) (bool, error) {
	for _, name := range backupKeys {
		have, err := os.ReadFile(filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			if err := durable.WriteFile(filepath.Join(folder, name), keys[name], keyMode(name)); err != nil {
				return false, err
			}
			continue
		} else if err != nil {
			return false, err
		}
		if !bytes.Equal(have, keys[name]) {
			return false, nil
		}
	}
	return true, nil
}

// databaseURL is a server's database.
func databaseURL(folder, given string) string {
	if given != "" {
		return given
	}
	return (&url.URL{Scheme: "sqlite", Path: filepath.ToSlash(filepath.Join(folder, databaseFile))}).String()
}

// openAlone opens a database that no server may have open.
func openAlone(ctx context.Context, folder, given string) (*store.DB, error) {
	return store.Open(ctx, databaseURL(folder, given), slog.New(slog.DiscardHandler))
}

// openBeside opens a database whether its server runs or not.
func openBeside(ctx context.Context, folder, given string) (*store.DB, error) {
	db, err := openAlone(ctx, folder, given)
	if errors.Is(err, store.ErrLocked) {
		return store.Options{Beside: true}.Open(ctx, databaseURL(folder, given), slog.New(slog.DiscardHandler))
	}
	return db, err
}
