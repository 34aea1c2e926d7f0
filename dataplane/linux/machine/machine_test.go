package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
)

// TestMain lets the test binary be a first process.
func TestMain(m *testing.M) {
	Init()
	if os.Getenv(callsRefused) != "" {
		calls()
		return
	}
	unix.Umask(0o077) // of somebody careful; machines have one of their own
	if dir := os.Getenv(launcherDir); dir != "" {
		fmt.Fprintln(os.Stderr, launch(dir))
		os.Exit(1)
	}
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
func newLauncher(t *testing.T) *Launcher {
	t.Helper()
	needRoot(t)
	return openLauncher(t, filepath.Join(t.TempDir(), "machines"))
}

// openLauncher makes one in a folder.
func openLauncher(t *testing.T, dir string) *Launcher {
	t.Helper()
	l, err := New(Options{Dir: dir, Base: base(dir), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Remove(context.WithoutCancel(t.Context())); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
		if left := peopled(t, l.Base); len(left) > 0 {
			t.Errorf("processes are left: %q", left)
		}
	})
	return l
}

// base gives each folder users of its own, by which a test knows its processes.
func base(dir string) uint32 {
	sum := fnv.New32()
	fmt.Fprint(sum, dir)
	return defaultBase + sum.Sum32()%256*64*ids
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

// peopled gives the processes of the host that belong to the users of these machines.
func peopled(t *testing.T, from uint32) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join("/proc", e.Name(), "status"))
		if err != nil {
			continue // it has ended
		}
		if strings.Contains(string(text), "\nState:\tZ") {
			continue // it has ended, and whoever is to hear of it has not listened yet
		}
		_, after, _ := strings.Cut(string(text), "\nUid:")
		var uid uint64
		if _, err := fmt.Sscan(after, &uid); err == nil && uid >= uint64(from) && uid < uint64(from)+64*ids {
			command, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
			list = append(list, strings.TrimRight(strings.ReplaceAll(string(command), "\x00", " "), " "))
		}
	}
	slices.Sort(list)
	return list
}

// callsRefused makes the test binary, inside of a machine, say which of the system calls are refused.
const callsRefused = "VENNEL_TEST_CALLS"

// calls says that.
func calls() {
	for i, number := range refused {
		_, _, err := unix.Syscall(uintptr(number), 0, 0, 0)
		if err != unix.EPERM {
			fmt.Println(i, number, err)
		}
	}
	_, _, err := unix.Syscall(0x40000000+uintptr(unix.SYS_GETPID), 0, 0, 0)
	fmt.Println(err, os.Getpid() > 1)
}

func TestInside(t *testing.T) {
	l := newLauncher(t)
	shown := filepath.Join(t.TempDir(), "shown")
	if err := errors.Join(os.Mkdir(shown, 0o700), os.WriteFile(filepath.Join(shown, "file"), []byte("to be seen\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	leak, err := unix.Open(shown, unix.O_RDONLY, 0) // as whoever starts a Launcher may have left one
	if err != nil {
		t.Fatal(err)
	}
	defer shutFD(leak)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l.CA = []byte("-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----\n")
	up(t, l, dataplane.Machine{
		ID: "i-1", Name: "ip-10-0-0-5.ec2.internal", Init: []string{"sh", "-c", `echo "$GREETING from $$"; echo more >/dev/console; exec sleep 1000`},
		Env: []string{"GREETING=hello"}, Nameservers: []netip.Addr{dataplane.DNSAddress}, Search: []string{"ec2.internal"},
		Mounts: []dataplane.Mount{{From: shown, To: "/opt/shown"}, {From: filepath.Join(shown, "file"), To: "/etc/one"}, {From: self, To: "/opt/test"}},
	})
	for script, said := range map[string]string{
		"ls -l /proc/1/fd /proc/self/fd | grep -c shown":   "0",
		callsRefused + "=1 /opt/test":                      "function not implemented true",
		"hostname":                                         "ip-10-0-0-5.ec2.internal",
		"cat /proc/1/comm":                                 "init",
		"awk '/^CapEff/ {print $2}' /proc/self/status":     capabilities(t),
		"awk '/^NoNewPrivs/ {print $2}' /proc/self/status": "0",
		"id -u":                        "0",
		"cat /etc/resolv.conf":         "search ec2.internal\nnameserver 169.254.169.253",
		"ls /":                         "bin\ndev\netc\nhome\nlib\nlib64\nmnt\nopt\nproc\nroot\nrun\nsbin\nsrv\nsys\ntmp\nusr\nvar",
		"cat /opt/shown/file /etc/one": "to be seen\nto be seen",
		"stat -c %U:%G /opt/shown/file /usr/bin/su":          "root:root\nroot:root",
		"ip -o link show lo | grep -c LOOPBACK,UP":           "1",
		"ip link add v0 type veth peer name v1 && echo mine": "mine",
		"tail -1 /etc/ssl/certs/ca-certificates.crt":         "-----END CERTIFICATE-----",
		"cat /etc/machine-id | wc -c":                        "33",
		"ls -A /proc/1/root/../.. | grep -c work":            "0",
		// setuid works, and whom su makes of root is nobody special
		"su daemon -s /bin/sh -c 'id -un; cat /etc/shadow 2>/dev/null || echo no; (echo >/opt/x) 2>/dev/null || echo no'": "daemon\nno\nno",
		"useradd -m joe && su joe -s /bin/sh -c 'cd; pwd; id -un; umask' && getent passwd joe >/dev/null && echo ok":      "/home/joe\njoe\n0022\nok",
		// the host's files cannot be written, not even by undoing what makes them so
		"touch /usr/x 2>/dev/null || echo no":                                                                   "no",
		"mount -o remount,rw,bind /usr 2>/dev/null || echo no":                                                  "no",
		"mount -o remount,rw,bind /opt/shown 2>/dev/null || echo no":                                            "no",
		"mount -o remount,ro,bind /dev/shm && mount -o remount,rw,bind /dev/shm && echo yes":                    "yes", // of its own, it can
		"umount /usr 2>/dev/null || echo no":                                                                    "no",
		"umount -l /opt/shown 2>/dev/null || echo no":                                                           "no",
		"mkdir /mnt/u && mount --rbind /usr /mnt/u && (mount -o remount,rw,bind /mnt/u 2>/dev/null || echo no)": "no",
		"unshare -Urm sh -c 'mount -o remount,rw,bind /usr' 2>/dev/null || echo no":                             "no",
		"echo 1 2>/dev/null >/proc/sys/kernel/panic || echo no":                                                 "no",
		"echo b 2>/dev/null >/proc/sysrq-trigger || echo no":                                                    "no",
		"cat /dev/kmsg 2>/dev/null || echo no":                                                                  "no",
		"mknod /tmp/disk b 254 0 2>/dev/null || echo no":                                                        "no",
		"mount -t ext4 /dev/vda /mnt 2>/dev/null || echo no":                                                    "no",
		"mount -t devtmpfs none /mnt 2>/dev/null || echo no":                                                    "no",
		"mount -t cgroup2 none /mnt 2>/dev/null || mount -t cgroup -o pids none /mnt 2>/dev/null || echo no":    "no",
		"kill -9 1; sleep 0.1; cat /proc/1/comm":                                                                "init", // a first process hears no SIGKILL from inside
	} {
		want(t, l, "i-1", script, said)
	}
	eventually(t, "the console has what was said", func() bool {
		text, err := os.ReadFile(Console(l.Dir, "i-1"))
		return err == nil && strings.Contains(string(text), "Linux version ") && strings.Contains(string(text), "\nhello from ") && strings.Contains(string(text), "\nmore\n")
	})
	if have := peopled(t, l.Base); !slices.ContainsFunc(have, func(c string) bool { return c == "sleep 1000" }) {
		t.Errorf("no process of a machine's user: %q", have)
	}
}

// capabilities is what root has, all of it.
func capabilities(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		t.Fatal(err)
	}
	last, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%016x", uint64(1)<<(last+1)-1)
}
