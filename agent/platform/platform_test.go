package platform

import (
	"runtime"
	"strings"
	"testing"
)

// TestRelease reads os-release files as distributions write them. source: os-release(5)
func TestRelease(t *testing.T) {
	for _, tt := range []struct{ in, name, version string }{
		{"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n", "Debian GNU/Linux", "12"},
		{"NAME=Alpine\nVERSION_ID=3.20.1\n", "Alpine", "3.20.1"},
		{"NAME='Arch Linux'\n", "Arch Linux", ""},
		{"# NAME=x\n\n=\nNAME", "", ""},
		{"", "", ""},
	} {
		name, version := release(strings.NewReader(tt.in))
		if name != tt.name || version != tt.version {
			t.Errorf("release(%q) = %q, %q, want %q, %q", tt.in, name, version, tt.name, tt.version)
		}
	}
}

// TestGet finds out something about this machine.
func TestGet(t *testing.T) {
	f := Get(t.Context())
	if f.Type != Type() || f.Host == "" || f.Name == "" {
		t.Errorf("%+v", f)
	}
	if runtime.GOOS == "linux" && f.Type != Linux {
		t.Errorf("%s", f.Type)
	}
}

// TestMachineIsHidden never gives the identifier itself.
func TestMachineIsHidden(t *testing.T) {
	if got := hashed(" abc\n"); got != hashed("abc") || strings.Contains(got, "abc") || len(got) != 64 {
		t.Errorf("hashed: %q", got)
	}
	if hashed("\n") != "" {
		t.Error("nothing was hashed")
	}
	if a, b := Machine(t.Context()), Machine(t.Context()); a != b {
		t.Errorf("%q, then %q", a, b)
	}
}
