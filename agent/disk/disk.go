// Package disk keeps small files so that whoever reads one after a crash or a power cut finds the
// old content or the new, whole. It also holds the locks by which processes tell whether another
// one is alive.
package disk

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vennel/vennel/internal/durable"
)

// Write replaces a file's content. When it returns, the new content survives a power cut. Only the
// owner can read the file.
func Write(name string, content []byte) error { return durable.WriteFile(name, content, 0o600) }

// WriteJSON replaces a file's content by a value in JSON.
func WriteJSON(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return Write(name, b)
}

// ReadJSON reads a value; the error is fs.ErrNotExist when there is no such file.
func ReadJSON(name string, v any) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Remove deletes a file for good. That there is none is no error.
func Remove(name string) error {
	if err := os.Remove(name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return Sync(filepath.Dir(name))
}

// Folder makes a folder that only its owner can look into, and those above it.
func Folder(name string) error { return os.MkdirAll(name, 0o700) }

// Exists says whether there is a file or folder of that name.
func Exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
