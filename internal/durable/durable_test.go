package durable

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWriteFile replaces a file, keeps its mode and leaves nothing beside it.
func TestWriteFile(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "f")
	for _, content := range []string{"one", "two"} {
		if err := WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != content {
			t.Errorf("content = %q, %v; want %q", got, err, content)
		}
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", info.Mode(), err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d entries in the folder, %v; want 1", len(entries), err)
	}
}

// TestWriteFileFailing leaves the old content when the new cannot be written.
func TestWriteFileFailing(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "f")
	if err := os.Mkdir(name, 0o700); err != nil { // a folder cannot be replaced by a file
		t.Fatal(err)
	}
	if err := WriteFile(name, []byte("new"), 0o600); err == nil {
		t.Error("a folder was replaced")
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d entries in the folder, %v; want 1", len(entries), err)
	}
}
