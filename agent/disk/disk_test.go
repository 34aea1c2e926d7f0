package disk_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/vennel/vennel/agent/disk"
)

// TestWriteReplacesWhole replaces a file and leaves nothing else behind.
func TestWriteReplacesWhole(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	for _, content := range []string{"one", "two, longer", ""} {
		if err := disk.Write(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil || string(got) != content {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if info, err := os.Stat(name); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(name)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// TestWriteFailureKeepsTheOld makes the rename impossible: the old thing stays, and no temporary
// file is left.
func TestWriteFailureKeepsTheOld(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "f")
	if err := os.MkdirAll(filepath.Join(name, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := disk.Write(name, []byte("new")); err == nil {
		t.Fatal("a folder was replaced")
	}
	if left, _ := os.ReadDir(folder); len(left) != 1 || !disk.Exists(filepath.Join(name, "x")) {
		t.Errorf("left behind: %v", left)
	}
}

// TestJSON writes and reads values.
func TestJSON(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	var got map[string]int
	if err := disk.ReadJSON(name, &got); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v for no file", err)
	}
	if err := disk.WriteJSON(name, map[string]int{"a": 1}); err != nil {
		t.Fatal(err)
	}
	if err := disk.ReadJSON(name, &got); err != nil || got["a"] != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	if err := disk.Write(name, []byte("{")); err != nil {
		t.Fatal(err)
	}
	if err := disk.ReadJSON(name, &got); err == nil {
		t.Error("torn JSON was read")
	}
}

// TestRemove deletes, once or twice.
func TestRemove(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := disk.Write(name, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := disk.Remove(name); err != nil || disk.Exists(name) {
			t.Errorf("%v", err)
		}
	}
}

// TestLock takes a lock twice.
func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	if disk.Locked(name) {
		t.Fatal("locked from the beginning")
	}
	l, err := disk.TryLock(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := disk.TryLock(name); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("the second got %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := disk.WaitLock(short, name); !errors.Is(err, disk.ErrLocked) {
		t.Errorf("whoever waited got %v", err)
	}
	if !disk.Locked(name) {
		t.Error("not locked")
	}
	l.Release()
	if l, err = disk.WaitLock(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	l.Release()
}
