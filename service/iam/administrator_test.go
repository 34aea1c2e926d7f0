package iam_test

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/vennel/vennel/internal/seal"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
	"github.com/vennel/vennel/store/storetest"
)

// TestOpenAdministrator has the file with the administrator's key: private, kept, and made anew when
// it is lost.
func TestOpenAdministrator(t *testing.T) {
	folder := t.TempDir()
	master, err := seal.OpenMaster(folder)
	if err != nil {
		t.Fatal(err)
	}
	db := storetest.Open(t, storetest.URL(t), store.Options{RunTwice: true})
	service := iam.New(db, master, slog.New(slog.DiscardHandler))
	file := filepath.Join(folder, "credentials")
	open := func() string {
		t.Helper()
		if err := service.OpenAdministrator(t.Context(), "123456789012", file); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := open()
	if info, err := os.Stat(file); err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
	if again := open(); again != first {
		t.Error("a file that is there was changed")
	}
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := open(); again != "mine" {
		t.Error("a file of somebody's own was changed")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if again := open(); again == first {
		t.Error("a lost file brought back the old key")
	}
	if err := service.OpenAdministrator(t.Context(), "123456789012", filepath.Join(folder, "nowhere", "credentials")); err == nil {
		t.Error("a file that cannot be written was no error")
	}
}
