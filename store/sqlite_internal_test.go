package store

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWatchLargeLog says once that the write-ahead log is large, and once that it no longer is.
func TestWatchLargeLog(t *testing.T) {
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.MessageKey {
			return slog.Attr{}
		}
		return a
	}}))
	e := &sqliteEngine{db: &DB{log: log}, path: filepath.Join(t.TempDir(), "vennel.db")}
	for _, size := range []int64{-1, 1000, largeLog, largeLog + 1, 1000, 1000} {
		if size >= 0 {
			f, err := os.Create(e.path + "-wal")
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Truncate(size); err != nil { // It takes no room on the disk.
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.watch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := "level=WARN file=vennel.db-wal bytes=268435456\nlevel=INFO file=vennel.db-wal\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
