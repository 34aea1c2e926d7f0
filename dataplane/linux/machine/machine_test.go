package machine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/dataplane"
)

// TestMain lets the test binary be a first process.
func TestMain(m *testing.M) {
	Init()
	os.Exit(m.Run())
}

// needRoot skips aloud where machines cannot be made.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		if os.Getenv("REQUIRE") == "1" {
			t.Fatal("machines need root, and REQUIRE=1 wants them")
		}
		t.Skip("machines need root")
	}
}

// newLauncher makes one whose machines are gone with the test.
func newLauncher(t *testing.T, dir string) *Launcher {
	t.Helper()
	needRoot(t)
	l, err := New(Options{Dir: dir, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if l.lock == nil {
			return
		}
		if err := l.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

// set calls Set, which must not fail.
func set(t *testing.T, l *Launcher, machines ...dataplane.Machine) map[string]dataplane.MachineStatus {
	t.Helper()
	statuses, failures := l.Set(t.Context(), machines)
	if len(failures) > 0 {
		t.Fatalf("Set: %v", failures)
	}
	return statuses
}

// up sets and releases machines.
func up(t *testing.T, l *Launcher, machines ...dataplane.Machine) {
	t.Helper()
	for id, s := range set(t, l, machines...) {
		if !s.Running {
			t.Fatalf("%s: %+v", id, s)
		}
		if err := l.Release(id); err != nil {
			t.Fatal(err)
		}
	}
}

// sh runs a script in a machine and gives what it says.
func sh(t *testing.T, l *Launcher, id, script string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	exit, err := Exec(t.Context(), l.Dir, id, ExecConfig{Argv: []string{"sh", "-c", script}, Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out.String())
	}
	return strings.TrimSpace(out.String()), exit
}

// want runs a script and wants to hear something.
func want(t *testing.T, l *Launcher, id, script, said string) {
	t.Helper()
	if have, _ := sh(t, l, id, script); have != said {
		t.Errorf("%s\n\tsays  %q\n\twants %q", script, have, said)
	}
}

// eventually waits for something.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestFirst(t *testing.T) {
	l := newLauncher(t, filepath.Join(t.TempDir(), "m"))
	now := time.Now()
	up(t, l, dataplane.Machine{ID: "i-1", Name: "ip-10-0-0-5.ec2.internal", Init: []string{"sh", "-c", "echo hello; exec sleep 1000"}})
	t.Log(time.Since(now))
	out, code := sh(t, l, "i-1", "id; hostname; ls -la / /dev /etc; cat /proc/self/status | grep -i cap; ps ax; mount; cat /proc/self/cgroup; ls -la /usr/bin/su; su daemon -s /bin/sh -c id")
	fmt.Println(out, code)
	io.Copy(os.Stdout, must(os.Open(Console(l.Dir, "i-1"))))
}
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
