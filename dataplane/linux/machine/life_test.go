package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
)

// sleeper is a machine that does nothing.
func sleeper(id string) dataplane.Machine {
	return dataplane.Machine{ID: id, Name: id, Init: []string{"sleep", "1000"}}
}

// processOf is the first process of a machine.
func processOf(l *Launcher, id string) process {
	g := l.guests[id]
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.run.Process
}

// hostMounts counts the mounts of this process that have to do with a folder.
func hostMounts(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), dir)
}

// TestDisk keeps a disk through everything but Delete.
func TestDisk(t *testing.T) {
	l := newLauncher(t)
	m := sleeper("i-1")
	up(t, l, m)
	want(t, l, "i-1", "date +%s%N >/root/born; cp /etc/machine-id /root/id; echo done", "done")
	born, _ := sh(t, l, "i-1", "cat /root/born; cat /etc/machine-id")
	same := func() {
		t.Helper()
		want(t, l, "i-1", "cat /root/born; cat /root/id", born)
		want(t, l, "i-1", "cmp /etc/machine-id /root/id; ls /tmp | wc -l; touch /tmp/x", "0")
	}
	same()
	first := processOf(l, "i-1")

	stopped := m
	stopped.Stopped = true
	if s := set(t, l, stopped)["i-1"]; s.Running || s.Exit != "" {
		t.Errorf("stopped: %+v", s)
	}
	if _, err := l.Netns("i-1"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("the network of what is stopped: %v", err)
	}
	if err := l.Release("i-1"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("release of what is stopped: %v", err)
	}
	up(t, l, m)
	same()
	if processOf(l, "i-1") == first {
		t.Error("it is still the same process")
	}
	second := processOf(l, "i-1")
	up(t, l, m)
	if processOf(l, "i-1") != second {
		t.Error("a Set of what is true has started it again")
	}
	m.Boot++
	up(t, l, m)
	same()
	if processOf(l, "i-1") == second {
		t.Error("another Boot has not booted it")
	}
	if s := set(t, l); len(s) != 0 {
		t.Errorf("absent: %+v", s)
	}
	if left := peopled(t, l.Base); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	up(t, l, m, sleeper("i-2"))
	same()
	id, _ := sh(t, l, "i-2", "cat /etc/machine-id")
	if strings.Contains(born, id) || len(id) != 32 {
		t.Errorf("two machines are %s", id)
	}
	if err := l.Delete(t.Context(), "i-1"); err != nil {
		t.Fatal(err)
	}
	up(t, l, m, sleeper("i-2"))
	want(t, l, "i-1", "ls /root", "")
}

// TestPaused starts nothing before Release.
func TestPaused(t *testing.T) {
	l := newLauncher(t)
	m := dataplane.Machine{ID: "i-1", Name: "one", Init: []string{"sh", "-c", "touch /root/started; exec sleep 1000"}}
	set(t, l, m)
	want(t, l, "i-1", "ls /root; ls /sys/class/net", "lo")
	ns, err := l.Netns("i-1")
	if err != nil {
		t.Fatal(err)
	}
	defer shut(ns)
	inside, _ := sh(t, l, "i-1", "stat -Lc %i /proc/1/ns/net")
	var have unix.Stat_t
	if err := unix.Fstat(int(ns.Fd()), &have); err != nil || fmt.Sprint(have.Ino) != inside {
		t.Errorf("Netns gives %d, inside is %s, %v", have.Ino, inside, err)
	}
	for range 3 {
		if err := l.Release("i-1"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "it has started", func() bool {
		out, _ := sh(t, l, "i-1", "ls /root; pgrep -c sleep")
		return out == "started\n1"
	})
}

// TestConfigure reaches a machine that runs.
func TestConfigure(t *testing.T) {
	l := newLauncher(t)
	m := sleeper("i-1")
	up(t, l, m)
	process := processOf(l, "i-1")
	m.Name, m.Nameservers, m.Search = "other.example", []netip.Addr{netip.MustParseAddr("10.0.0.2"), dataplane.DNSAddress}, []string{"example", "test"}
	m.Pids = 77
	up(t, l, m)
	m.Nameservers[0] = netip.MustParseAddr("10.0.0.3") // the caller's value is the caller's
	up(t, l, m)
	want(t, l, "i-1", "cat /etc/resolv.conf; hostname; cat /etc/hostname; getent hosts other | xargs",
		"search example test\nnameserver 10.0.0.3\nnameserver 169.254.169.253\nother.example\nother.example\n127.0.1.1 other.example other")
	if processOf(l, "i-1") != process {
		t.Error("it was started again")
	}
	for _, h := range l.groups {
		if slices.Contains(h.controllers, "pids") {
			text, err := os.ReadFile(filepath.Join(h.folder, "i-1", "pids.max"))
			if err != nil || strings.TrimSpace(string(text)) != fmt.Sprint(77+spareThreads) {
				t.Errorf("limit %q, %v", text, err)
			}
		}
	}
}

// TestRefused says what is wrong with a machine, and lets the others run.
func TestRefused(t *testing.T) {
	l := newLauncher(t)
	bad := []dataplane.Machine{
		{ID: "../x", Name: "a"}, {ID: "i-name", Name: "a b"}, {ID: "i-search", Name: "a", Search: []string{"a\nnameserver 1.1.1.1"}},
		{ID: "i-env", Name: "a", Env: []string{"A"}}, {ID: "i-init", Name: "a", Init: []string{"a\x00"}},
		{ID: "i-mount", Name: "a", Mounts: []dataplane.Mount{{From: "/usr", To: "/usr/x"}}},
		{ID: "i-rel", Name: "a", Mounts: []dataplane.Mount{{From: "/usr", To: "/opt/../etc"}}},
		{ID: "i-none", Name: "a", Mounts: []dataplane.Mount{{From: "/nonesuch", To: "/opt/x"}}},
		{ID: "i-twice", Name: "a"}, {ID: "i-twice", Name: "a"},
	}
	statuses, failures := l.Set(t.Context(), append(bad, sleeper("i-1")))
	if !statuses["i-1"].Running {
		t.Errorf("%+v", statuses)
	}
	for _, m := range bad {
		if failures[m.ID] == "" || m.ID != "i-twice" && statuses[m.ID].Running {
			t.Errorf("%s: %q, %+v", m.ID, failures[m.ID], statuses[m.ID])
		}
	}
	// A disk may hold anything where something is to be mounted.
	want(t, l, "i-1", "ln -s /etc /opt/link; mkfifo /opt/pipe; ln -s /usr/bin /mnt/e; rmdir /srv; ln -s / /srv; rm -rf /home; echo >/home; rm -r /var/lib; ln -s /nowhere /var/lib; echo ok", "ok")
	m := sleeper("i-1")
	for to, ok := range map[string]bool{"/opt/link/x": false, "/opt/pipe": true, "/mnt/e/x": false, "/opt/new/file": true, "/srv/x/y": false} {
		m.Boot++
		m.Mounts = []dataplane.Mount{{From: "/usr/lib/os-release", To: to}}
		statuses, failures := l.Set(t.Context(), []dataplane.Machine{m})
		if ok != statuses["i-1"].Running || ok != (len(failures) == 0) {
			t.Errorf("%s: %v, %+v", to, failures, statuses)
		}
	}
}

// TestLimits stops a loop that forks, and leaves the machine usable.
func TestLimits(t *testing.T) {
	l := newLauncher(t)
	limited := map[string]bool{}
	for _, h := range l.groups {
		for _, c := range h.controllers {
			limited[c] = true
		}
	}
	if !limited["pids"] || !limited["memory"] {
		t.Skip("nothing limits processes and memory here: ", l.Degraded())
	}
	m := sleeper("i-1")
	m.Pids, m.Memory = 40, 256<<20
	up(t, l, m)
	_, exit := sh(t, l, "i-1", "i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done 2>/dev/null")
	if exit == 0 {
		t.Error("two hundred processes have started")
	}
	if n := len(peopled(t, l.Base)); n > 40+spareThreads {
		t.Errorf("%d processes", n)
	}
	var work sync.WaitGroup
	for range 30 { // none of which finds room; the first process must live
		work.Go(func() { _, _ = Exec(t.Context(), l.Dir, "i-1", ExecConfig{Argv: []string{"true"}}) })
	}
	work.Wait()
	eventually(t, "there is room again", func() bool {
		_, err := Exec(t.Context(), l.Dir, "i-1", ExecConfig{Argv: []string{"pkill", "-9", "sh"}})
		_, err2 := Exec(t.Context(), l.Dir, "i-1", ExecConfig{Argv: []string{"pkill", "-9", "-f", "^sleep 1000$", "-n"}})
		return err == nil && err2 == nil
	})
	if out, exit := sh(t, l, "i-1", "head -c 400000000 /dev/zero | tail -c 390000000 | wc -c"); strings.Contains(out, "390000000") {
		t.Errorf("more memory than there is: %q, %d", out, exit)
	}
	if s := set(t, l, m)["i-1"]; !s.Running {
		t.Errorf("%+v", s)
	}
}

// TestKilled notices the end of a first process, which takes everything with it.
func TestKilled(t *testing.T) {
	l := newLauncher(t)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- l.Run(ctx) }()
	m := dataplane.Machine{ID: "i-1", Name: "one", Init: []string{"sh", "-c", "sleep 1000 & setsid sleep 1001 & sleep 1002"}}
	up(t, l, m)
	eventually(t, "it runs", func() bool { return len(peopled(t, l.Base)) == 5 })
	if err := unix.Kill(processOf(l, "i-1").Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-l.Wake()
	if left := peopled(t, l.Base); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	if s := set(t, l, m)["i-1"]; s.Running || s.Exit != "its first process was killed: killed" {
		t.Errorf("%+v", s)
	}
	m.Boot++
	m.Init = []string{"sh", "-c", "sleep 0.1; exit 3"}
	up(t, l, m)
	<-l.Wake()
	if s := set(t, l, m)["i-1"]; s.Running || s.Exit != "its first command ended with status 3" || s.Boot != m.Boot {
		t.Errorf("%+v", s)
	}
	m.Boot++
	m.Init = []string{"/nonesuch"}
	up(t, l, m)
	<-l.Wake()
	if s := set(t, l, m)["i-1"]; s.Running || s.Exit != "its first command cannot be run: /nonesuch: no such file or directory" {
		t.Errorf("%+v", s)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// TestReboot does what is asked for from inside.
func TestReboot(t *testing.T) {
	l := newLauncher(t)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- l.Run(ctx) }()
	m := dataplane.Machine{ID: "i-1", Name: "one", Init: []string{"sh", "-c", "echo boot >>/var/log/boots; trap 'echo bye >>/var/log/boots; exit' TERM; sleep 1000 & wait"}}
	boots := 0
	booted := func(after string) {
		t.Helper()
		boots++
		up(t, l, m)
		eventually(t, "it boots after "+after, func() bool {
			out, _ := sh(t, l, "i-1", "grep -c boot /var/log/boots")
			return out == fmt.Sprint(boots)
		})
	}
	booted("nothing")
	for _, script := range []string{
		"/sbin/reboot", "reboot", "shutdown -r now", "/sbin/shutdown -r +0", "systemctl reboot", "init() { telinit 6; }; init", "kill -INT 1",
		"python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x1234567)'",
	} {
		if strings.HasPrefix(script, "python3") {
			if _, err := exec.LookPath("python3"); err != nil {
				continue
			}
		}
		process := processOf(l, "i-1")
		_, _ = Exec(t.Context(), l.Dir, "i-1", ExecConfig{Argv: []string{"sh", "-c", script}})
		select {
		case <-l.Wake():
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: nothing happens", script)
		}
		booted(script)
		if processOf(l, "i-1") == process {
			t.Errorf("%s: it is still the same process", script)
		}
	}
	want(t, l, "i-1", "grep -c bye /var/log/boots", fmt.Sprint(boots-2)) // all but the raw system call were orderly
	want(t, l, "i-1", "su daemon -s /bin/sh -c '/sbin/reboot' 2>&1; /sbin/shutdown -x 99x 2>&1", "reboot: Must be root.\nFailed to parse time specification: 99x")

	// What the agent does, and somebody who has second thoughts.
	want(t, l, "i-1", "/sbin/shutdown -r +1 && echo planned; shutdown -c && echo cancelled", "planned\ncancelled")
	eventually(t, "the console says so", func() bool {
		text, err := os.ReadFile(Console(l.Dir, "i-1"))
		return err == nil && strings.Contains(string(text), "reboot in 1m0s") && strings.Contains(string(text), "shutdown cancelled")
	})

	for _, script := range []string{"poweroff", "shutdown -h now", "halt", "kill -TERM 1"} {
		_, _ = Exec(t.Context(), l.Dir, "i-1", ExecConfig{Argv: []string{"sh", "-c", script}})
		select {
		case <-l.Wake():
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: nothing happens", script)
		}
		if s := set(t, l, m)["i-1"]; s.Running || s.Exit != "powered off" {
			t.Errorf("%s: %+v", script, s)
		}
		m.Boot++
		up(t, l, m)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// TestRemove leaves nothing.
func TestRemove(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "machines")
	l := openLauncher(t, dir)
	up(t, l, sleeper("i-1"), sleeper("i-2"))
	if n := hostMounts(t, dir); n > 0 {
		t.Errorf("%d mounts on the host", n)
	}
	var groups []string
	for _, h := range l.groups {
		groups = append(groups, h.folder)
	}
	if _, err := New(Options{Dir: dir, Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("a second launcher: %v", err)
	}
	if err := l.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range append(groups, dir) {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
	if left := peopled(t, l.Base); len(left) > 0 {
		t.Errorf("processes are left: %q", left)
	}
	if n := hostMounts(t, dir); n > 0 {
		t.Errorf("%d mounts on the host", n)
	}
}

// launcherDir names the folder of a test's launcher that is to be killed.
const launcherDir = "VENNEL_TEST_LAUNCHER"

// launch is that launcher: it boots machines again and again.
func launch(dir string) error {
	l, err := New(Options{Dir: dir, Base: base(dir), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "here")
	for boot := 0; ; boot++ {
		var machines []dataplane.Machine
		for i := range 3 {
			m := sleeper(fmt.Sprintf("i-%d", i))
			m.Boot = boot % 3 * i // one stays, the others boot
			m.Stopped = i == 2 && boot%4 == 3
			machines = append(machines, m)
		}
		statuses, failures := l.Set(context.Background(), machines)
		if len(failures) > 0 {
			return fmt.Errorf("%v", failures)
		}
		for id, s := range statuses {
			if s.Running {
				if err := l.Release(id); err != nil {
					return err
				}
			}
		}
	}
}

// TestAdoption kills a launcher at any moment, and takes over what it has left.
func TestAdoption(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "machines")
	var l *Launcher
	t.Cleanup(func() {
		if l != nil {
			_ = l.Close()
		}
		openLauncher(t, dir)
	})
	var stays process
	for round := range 12 {
		for range 1 + round%3 { // several in a row
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), launcherDir+"="+dir)
			cmd.Stderr = t.Output()
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if n, err := out.Read(make([]byte, 16)); n == 0 {
				t.Fatalf("the launcher has not come up: %v", err)
			}
			wait := time.Duration(rand.Int64N(int64(150 * time.Millisecond)))
			time.Sleep(wait)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
				t.Fatalf("the launcher has ended by itself: %v", err)
			}
		}
		var err error
		if l, err = New(Options{Dir: dir, Base: base(dir), Log: slog.New(slog.DiscardHandler)}); err != nil {
			t.Fatal(err)
		}
		adopted := map[string]process{}
		for id, g := range l.guests {
			if g.pid != nil {
				adopted[id] = g.run.Process
			}
		}
		var machines []dataplane.Machine
		for i := range 3 {
			m := sleeper(fmt.Sprintf("i-%d", i))
			if g := l.guests[m.ID]; g != nil {
				m.Boot = g.run.Machine.Boot
			}
			machines = append(machines, m)
		}
		up(t, l, machines...)
		for id, p := range adopted {
			if processOf(l, id) != p {
				t.Errorf("%s ran, and was started again", id)
			}
		}
		if p := processOf(l, "i-0"); stays != (process{}) && p != stays {
			t.Errorf("i-0 never changed, and was started again: %+v, %+v", stays, p)
		} else {
			stays = p
		}
		for _, m := range machines {
			want(t, l, m.ID, "hostname", m.ID)
			eventually(t, m.ID+" does what it is for", func() bool {
				out, _ := sh(t, l, m.ID, "pgrep -c sleep")
				return out == "1"
			})
		}
		eventually(t, "there is one of each", func() bool {
			have := slices.DeleteFunc(peopled(t, l.Base), func(c string) bool { return c != firstName })
			return len(have) == 3
		})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAdoptionOfEnds reads from what is left how a machine has ended while nobody looked.
func TestAdoptionOfEnds(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "machines")
	for how, exit := range map[string]string{"poweroff": "powered off", "reboot": "", "kill -9": "its first process was killed"} {
		l, err := New(Options{Dir: dir, Base: base(dir), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		m := sleeper("i-" + strings.ReplaceAll(how, " ", ""))
		up(t, l, m)
		p := processOf(l, m.ID)
		pid, err := p.open()
		if err != nil {
			t.Fatal(err)
		}
		defer shut(pid)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if how == "kill -9" {
			err = unix.Kill(p.Pid, unix.SIGKILL)
		} else {
			_, _ = Exec(t.Context(), dir, m.ID, ExecConfig{Argv: []string{how}})
		}
		if err != nil || !ended(pid, 10*time.Second) {
			t.Fatalf("%s: it goes on, %v", how, err)
		}
		reap(pid)
		l = openLauncher(t, dir)
		s := set(t, l, m)[m.ID]
		if s.Exit != exit || s.Running != (how == "reboot") {
			t.Errorf("%s: %+v", how, s)
		}
		if err := l.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestIdentity takes nobody else's process for a machine.
func TestIdentity(t *testing.T) {
	needRoot(t)
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "machines")
	l, err := New(Options{Dir: dir, Base: base(dir), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // a tick of the clock by which processes are told apart
	m := sleeper("i-1")
	set(t, l, m)
	g := l.guests["i-1"]
	if err := signalProcess(g.pid, unix.SIGKILL); err != nil || !ended(g.pid, 10*time.Second) {
		t.Fatal(err)
	}
	reap(g.pid)
	g.run.Process.Pid = cmd.Process.Pid // as if the number had been used again
	if err := errors.Join(g.run.write(g.folder), l.Close()); err != nil {
		t.Fatal(err)
	}
	l = openLauncher(t, dir)
	if l.guests["i-1"].pid != nil {
		t.Error("a stranger is taken for a machine")
	}
	m.Boot++
	up(t, l, m)
	if err := l.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the stranger is gone: %v", err)
	}
	if err := errors.Join(cmd.Process.Kill()); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
}

// poorHost names what the host lacks, in the process that is a test of it.
const poorHost = "VENNEL_TEST_HOST"

// onHost runs the test again in a process with another host around it, and says whether this is that process.
func onHost(t *testing.T, host, script string, sys *syscall.SysProcAttr) bool {
	t.Helper()
	needRoot(t)
	if os.Getenv(poorHost) == host {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for path := dir; path != "/tmp" && path != "/"; path = filepath.Dir(path) { // for another user
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(program)
	cmd := exec.Command("sh", "-ec", script+"\nexec /proc/self/fd/3 -test.run '^"+t.Name()+"$' -test.v -test.count 1")
	cmd.Env = append(os.Environ(), poorHost+"="+host, "TMPDIR="+dir)
	cmd.ExtraFiles = []*os.File{program}
	cmd.SysProcAttr = sys
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
	return false
}

// TestSingleUser makes machines in a user namespace with one user, as somebody who is not root can.
func TestSingleUser(t *testing.T) {
	one := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 65534, Size: 1}}
	if !onHost(t, "single", "", &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, UidMappings: one, GidMappings: one, Credential: &syscall.Credential{NoSetGroups: true},
	}) {
		return
	}
	l := newLauncher(t)
	if !l.single || len(l.Degraded()) == 0 {
		t.Errorf("degraded: %q", l.Degraded())
	}
	up(t, l, dataplane.Machine{ID: "i-1", Name: "one", Init: []string{"sh", "-c", "echo started >/root/started; exec sleep 1000"}, Pids: 30})
	eventually(t, "it has started", func() bool {
		out, _ := sh(t, l, "i-1", "cat /root/started; pgrep -c sleep")
		return out == "started\n1"
	})
	for script, said := range map[string]string{
		"id -u; hostname": "0\none",
		"mount -o remount,rw,bind /usr 2>/dev/null || echo no":  "no",
		"ip link add v0 type veth peer name v1 && echo mine":    "mine",
		"echo 1 2>/dev/null >/proc/sys/kernel/panic || echo no": "no",
	} {
		want(t, l, "i-1", script, said)
	}
	if _, exit := sh(t, l, "i-1", "i=0; while [ $i -lt 100 ]; do sleep 3 & i=$((i+1)); done 2>/dev/null"); exit == 0 {
		t.Error("a hundred processes have started")
	}
	eventually(t, "there is room again", func() bool {
		exit, err := Exec(t.Context(), l.Dir, "i-1", ExecConfig{Argv: []string{"true"}})
		return exit == 0 && err == nil
	})
	if _, err := Exec(t.Context(), l.Dir, "i-1", ExecConfig{Argv: []string{"id"}, User: "daemon"}); err == nil || !strings.Contains(err.Error(), "has one user") {
		t.Errorf("another user: %v", err)
	}
	screen := &talk{}
	if exit, err := Exec(t.Context(), l.Dir, "i-1", ExecConfig{Argv: []string{"tty"}, TTY: true, Stdout: screen}); exit != 0 || err != nil || !screen.has("/dev/pts/0") {
		t.Errorf("a terminal: %d, %v, %q", exit, err, screen.text.String())
	}
}

// TestNoShutdown gives machines a shutdown on a host that has none.
func TestNoShutdown(t *testing.T) {
	if !onHost(t, "bare", `mount --make-rprivate /
mkdir -m 755 "$TMPDIR/sbin"
cp /usr/sbin/ip "$TMPDIR/sbin/ip" || cp /usr/bin/ip "$TMPDIR/sbin/ip"
mount --bind "$TMPDIR/sbin" /usr/sbin`, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}) {
		return
	}
	l := newLauncher(t)
	up(t, l, sleeper("i-1"))
	want(t, l, "i-1", "ls /usr/sbin; /sbin/ip -o link | wc -l; ls /sbin | xargs", "ip\n1\nhalt ip poweroff reboot shutdown telinit")
	_, _ = Exec(t.Context(), l.Dir, "i-1", ExecConfig{Argv: []string{"/sbin/shutdown", "-h", "now"}})
	eventually(t, "it is off", func() bool { return set(t, l, sleeper("i-1"))["i-1"].Exit == "powered off" })
}

// TestOwnersStay makes machines where /usr is on a file system whose owners cannot be moved.
func TestOwnersStay(t *testing.T) {
	if kinds, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(kinds), "\toverlay\n") {
		t.Skip("there is no overlay, which is such a file system: ", err)
	}
	if !onHost(t, "overlay", `mount --make-rprivate /
mkdir -m 755 "$TMPDIR/empty"
mount -t overlay overlay -o "lowerdir=$TMPDIR/empty:/usr" /usr`, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}) {
		return
	}
	l := newLauncher(t)
	if !l.plain || l.single || len(l.Degraded()) == 0 {
		t.Errorf("degraded: %q", l.Degraded())
	}
	up(t, l, sleeper("i-1"))
	want(t, l, "i-1", "id -u; stat -c %U /usr/bin/su /root; su daemon -s /bin/sh -c 'id -un'; touch /usr/x 2>/dev/null || echo no", "0\nnobody\nroot\ndaemon\nno")
	if out, err := exec.Command("stat", "-c", "%u", filepath.Join(l.Dir, "i-1", "root", "etc")).Output(); err != nil || strings.TrimSpace(string(out)) != fmt.Sprint(l.Base) {
		t.Errorf("the disk is of %s, %v", out, err)
	}
}

// TestUnified hands controllers down in version 2 of cgroups.
func TestUnified(t *testing.T) {
	above := t.TempDir()
	if err := os.WriteFile(filepath.Join(above, "cgroup.controllers"), []byte("cpu pids\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := hierarchy{folder: filepath.Join(above, "ours"), controllers: []string{"pids", "memory"}, unified: true}
	err := h.make(above)
	text, _ := os.ReadFile(filepath.Join(h.folder, "cgroup.subtree_control"))
	if err != nil || string(text) != "+pids" || !slices.Equal(h.controllers, []string{"pids"}) || h.file("memory") != "memory.max" {
		t.Errorf("%q, %v, %v", text, h.controllers, err)
	}
}

// TestConsoleTail reads what a machine says, the last of it only when that is much, and shows a machine the host's own program.
func TestConsoleTail(t *testing.T) {
	l := newLauncher(t)
	m := sleeper("i-1")
	m.Init = []string{"sh", "-c", "seq 20000; cat /opt/host/program | wc -c; echo the end; exec sleep 1000"}
	m.Mounts = []dataplane.Mount{{To: "/opt/host/program"}}
	up(t, l, m)
	size, err := os.Stat("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	end := fmt.Sprintf("20000\n%d\nthe end\n", size.Size())
	var text []byte
	for until := time.Now().Add(patience); !strings.HasSuffix(string(text), end); time.Sleep(10 * time.Millisecond) {
		if text, err = l.Console("i-1"); err != nil || time.Now().After(until) {
			t.Fatalf("the console ends with %q: %v", text[max(0, len(text)-100):], err)
		}
	}
	if len(text) != dataplane.MostConsole {
		t.Errorf("there are %d bytes", len(text))
	}
	if text, err := l.Console("i-2"); len(text) != 0 || err != nil {
		t.Errorf("a machine that is not there says %q, %v", text, err)
	}
}
