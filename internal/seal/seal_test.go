package seal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestSealOpen proves that only the same key, purpose and name open a value, and that any change
// of it is noticed.
func TestSealOpen(t *testing.T) {
	folder := t.TempDir()
	m, err := OpenMaster(folder)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenMaster(folder)
	if err != nil || again != m {
		t.Fatalf("the master key is not kept: %v", err)
	}
	if info, err := os.Stat(filepath.Join(folder, fileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the master key's file has mode %v, %v", info.Mode(), err)
	}
	sealed := m.Box("a").Seal([]byte("secret"), "name")
	if got, err := again.Box("a").Open(sealed, "name"); err != nil || !bytes.Equal(got, []byte("secret")) {
		t.Errorf("Open = %q, %v", got, err)
	}
	changed := bytes.Clone(sealed)
	changed[len(changed)-1] ^= 1
	for what, open := range map[string]func() ([]byte, error){
		"another purpose": func() ([]byte, error) { return m.Box("b").Open(sealed, "name") },
		"another name":    func() ([]byte, error) { return m.Box("a").Open(sealed, "other") },
		"another key":     func() ([]byte, error) { return Master{1}.Box("a").Open(sealed, "name") },
		"a changed value": func() ([]byte, error) { return m.Box("a").Open(changed, "name") },
		"a short value":   func() ([]byte, error) { return m.Box("a").Open(sealed[:5], "name") },
	} {
		if got, err := open(); !errors.Is(err, ErrSealed) {
			t.Errorf("%s opens it: %q, %v", what, got, err)
		}
	}
}

// TestOpenMasterRefusesOtherLengths proves that a damaged key is not used.
func TestOpenMasterRefusesOtherLengths(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, fileName), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenMaster(folder); err == nil {
		t.Error("a key of 5 bytes was taken")
	}
}

// FuzzOpen proves that no bytes of a stranger's open, whatever their length. What was really sealed is
// no seed: one changed byte changed back would be no forgery.
func FuzzOpen(f *testing.F) {
	box := Master{9}.Box("a")
	f.Add([]byte{})
	f.Add(make([]byte, 12))
	f.Add(make([]byte, 28))
	f.Add(make([]byte, 60))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if value, err := box.Open(sealed, "name"); !errors.Is(err, ErrSealed) {
			t.Errorf("%x opens: %q, %v", sealed, value, err)
		}
	})
}

// TestSealNeverTwiceAlike proves that the same value is sealed differently each time.
func TestSealNeverTwiceAlike(t *testing.T) {
	box := Master{1}.Box("a")
	if bytes.Equal(box.Seal([]byte("secret"), "name"), box.Seal([]byte("secret"), "name")) {
		t.Error("a value was sealed twice alike")
	}
}

// TestDerive proves that purposes have keys of their own, the same for the same master.
func TestDerive(t *testing.T) {
	a, again, b, other := Master{1}.Derive("a"), Master{1}.Derive("a"), Master{1}.Derive("b"), Master{2}.Derive("a")
	if len(a) != 32 || !bytes.Equal(a, again) || bytes.Equal(a, b) || bytes.Equal(a, other) {
		t.Errorf("keys %x, %x, %x, %x", a, again, b, other)
	}
}
