package netns_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane/linux/netns"
	"github.com/vennel/vennel/dataplane/linux/netns/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// cookie names the network namespace in which a socket made now is.
func cookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	id, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	return id, errors.Join(err, unix.Close(fd))
}

// TestDo makes sockets in many namespaces and outside at once. Each is where it belongs, and no thread stays away.
func TestDo(t *testing.T) {
	home, err := cookie()
	if err != nil {
		t.Fatal(err)
	}
	const spaces, rounds = 4, 300
	seen := map[uint64]bool{home: true}
	var wg sync.WaitGroup
	for range spaces {
		ns := netnstest.New(t)
		var want uint64
		if err := netns.Do(ns, func() (err error) { want, err = cookie(); return err }); err != nil {
			t.Fatal(err)
		}
		if seen[want] {
			t.Fatal("two namespaces are one")
		}
		seen[want] = true
		for range 4 {
			wg.Go(func() {
				for range rounds {
					err := netns.Do(ns, func() error {
						runtime.Gosched()
						if have, err := cookie(); err != nil || have != want {
							t.Errorf("a socket is in namespace %d, not %d: %v", have, want, err)
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
					if have, err := cookie(); err != nil || have != home {
						t.Errorf("a socket of this process is in namespace %d, not %d: %v", have, home, err)
					}
				}
			})
		}
	}
	wg.Wait()
	want, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil || len(threads) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, thread := range threads {
		if have, err := os.Readlink(thread); err == nil && have != want { // one that has ended is nowhere
			t.Errorf("%s is %s, not %s", thread, have, want)
		}
	}
}

// TestDoFails returns what the function returned, and says when it has not returned.
func TestDoFails(t *testing.T) {
	ns := netnstest.New(t)
	want := errors.New("no")
	if err := netns.Do(ns, func() error { return want }); !errors.Is(err, want) {
		t.Errorf("%v, not %v", err, want)
	}
	if err := netns.Do(ns, func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("a function that never returned has succeeded")
	}
	if f, err := os.Open(os.DevNull); err != nil {
		t.Error(err)
	} else if err := netns.Do(f, func() error { t.Error("it was called outside"); return nil }); err == nil {
		t.Error("a file that is no namespace was entered")
	}
}

// TestRun starts programs inside.
func TestRun(t *testing.T) {
	ns := netnstest.New(t)
	netnstest.Run(t, ns, "ip", "link", "add", "x1", "type", "veth", "peer", "name", "x2")
	if out := netnstest.Run(t, ns, "ip", "-br", "link"); !strings.Contains(out, "x1@x2") {
		t.Errorf("the link is not inside:\n%s", out)
	}
	out, err := exec.CommandContext(t.Context(), "ip", "-br", "link").Output()
	if err != nil || strings.Contains(string(out), "x1@x2") {
		t.Errorf("the link is outside: %v\n%s", err, out)
	}
}

// TestOpen takes namespaces only.
func TestOpen(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := netns.Open(empty); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty file: %v", err)
	}
	f, err := netns.Open("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
