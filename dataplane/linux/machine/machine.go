// Package machine starts machines: instances, and hosts of a site. A machine is a process tree with a network, mounts, users,
// processes and limits of its own, on the host's /usr and a disk that is its own. Machines do not need the [Launcher] that
// started them: when it is killed they go on, and the next one with the same folder takes them over.
//
// The first process of a machine is this program, re-executed ([Init]). It stays, because nothing else can start processes in
// there later: Go cannot enter a user namespace. It reaps, keeps the console, reboots, and executes what [Exec] asks for.
//
// A machine's root is nobody on the host: its 65,536 users are a range of the host's that has no other use, and the files of /usr
// are shown with their owners moved by as much, so that su and sudo work. It sees /usr, /etc/alternatives and what
// [dataplane.Machine.Mounts] names, read-only in a way that it cannot undo, and nothing else of the host's. /etc is made up, and
// system calls that namespaces do not hold back are refused. That is good enough for a lab. It is no wall against somebody who
// brings exploits for the kernel, and nothing limits what a machine writes to its disk.
//
// Where the host gives less, a machine is less, and [Launcher.Degraded] says how: in a user namespace with a single user, a
// machine has one, too, and su, setuid programs and service users do not work in it; on a file system that cannot move owners,
// setuid programs do not work; without cgroups, nothing limits processes and memory.
package machine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
)

// Options says where a Launcher keeps its machines.
type Options struct {
	Dir  string       // of disks and what is known of machines; it belongs to one Launcher at a time
	Log  *slog.Logger // required
	Self string       // the program to re-execute; "" for the one that runs, which everybody must be allowed to execute
	CA   []byte       // PEM; machines trust these certificates beside the host's
	Base uint32       // the first user id of the host that machines use; 0 for 0x40000000
}

// The limits of a Launcher and of a machine.
const (
	defaultBase = 0x40000000
	ids         = 1 << 16          // users of a machine
	defaultPids = 4096             // processes of a machine
	parallel    = 8                // machines that start or stop at once
	grace       = 3 * time.Second  // for a machine's processes to end by themselves
	patience    = 20 * time.Second // for what takes no time unless something is wrong
	brief       = 5 * time.Second  // the same, of what a machine may delay on purpose
)

// Launcher makes machines run.
type Launcher struct {
	Options
	lock     *os.File // held as long as this Launcher is the one
	host     string   // which boot of the host this is
	program  string   // the path of Self, which can be mounted
	single   bool     // there is one user id only
	plain    bool     // owners of files cannot be moved
	degraded []string
	groups   []hierarchy
	wake     chan struct{} // something has changed by itself
	stir     *os.File      // an eventfd: there is another process to watch

	setting sync.Mutex // one Set, Delete or Remove at a time
	mu      sync.Mutex // guards guests
	guests  map[string]*guest
}

// guest is a machine that has a disk.
type guest struct {
	id     string
	folder string
	disk   disk

	mu  sync.Mutex // guards what follows
	run run
	pid *os.File // of the first process; nil when there is none
}

// New opens the folder of machines and takes over those that run.
func New(o Options) (*Launcher, error) {
	if o.Base == 0 {
		o.Base = defaultBase
	}
	if o.Self == "" {
		o.Self = "/proc/self/exe"
	}
	program, err := os.Readlink(o.Self)
	if err != nil {
		program = o.Self
	}
	l := &Launcher{Options: o, program: program, wake: make(chan struct{}, 1), guests: map[string]*guest{}}
	if err := l.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("machines in %s: %w", o.Dir, err), l.Close())
	}
	for _, what := range l.degraded {
		l.Log.Warn("machines are less than they should be", "because", what)
	}
	return l, nil
}

// open makes the folder ours and reads what is in it.
func (l *Launcher) open() (err error) {
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(l.Dir, 0o700); err != nil { // nobody but us comes near a machine's disk
		return err
	}
	if l.lock, err = lockFolder(l.Dir); err != nil {
		return err
	}
	stir, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return err
	}
	l.stir = os.NewFile(uintptr(stir), "eventfd")
	if l.host, err = hostBoot(); err != nil {
		return err
	}
	if err := l.probe(); err != nil {
		return err
	}
	entries, err := os.ReadDir(l.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), removed) {
			if err := os.RemoveAll(filepath.Join(l.Dir, e.Name())); err != nil {
				return err
			}
		}
		if !e.IsDir() || checkID(e.Name()) != nil {
			continue
		}
		g, err := l.adopt(e.Name())
		if err != nil {
			return err
		}
		if g != nil {
			l.guests[g.id] = g
		}
	}
	l.sweepAll()
	return nil
}

// Close lets go of the folder, when Run has ended. Machines go on running.
func (l *Launcher) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.guests {
		g.mu.Lock()
		if g.pid != nil {
			shut(g.pid)
			g.pid = nil
		}
		g.mu.Unlock()
	}
	l.guests = map[string]*guest{}
	var errs []error
	for _, f := range []*os.File{l.stir, l.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Degraded says what this host does not give to machines, in sentences.
func (l *Launcher) Degraded() []string { return slices.Clone(l.degraded) }

// Wake is told when a machine has ended by itself: it is off, or wants to be booted by the next Set because it has asked for
// that. One message may stand for several machines.
func (l *Launcher) Wake() <-chan struct{} { return l.wake }

// Set makes these machines, and no others, run or not run, and says how they are and what went wrong, by id. A machine that was
// started waits for Release; until then it is a network namespace and nothing else. Those that run already go on, with new
// nameservers, host name and limits; what else has changed waits for the next boot. A machine that has ended by itself stays
// off until its Boot changes, unless it has asked for a reboot.
func (l *Launcher) Set(ctx context.Context, machines []dataplane.Machine) (map[string]dataplane.MachineStatus, map[string]string) {
	l.setting.Lock()
	defer l.setting.Unlock()
	var mu sync.Mutex
	statuses, failures := map[string]dataplane.MachineStatus{}, map[string]string{}
	fail := func(id string, err error) {
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			failures[id] = err.Error()
		}
	}
	var work errgroup.Group
	work.SetLimit(parallel)
	wanted := map[string]bool{}
	for i := range machines {
		m := &machines[i]
		if wanted[m.ID] {
			fail(m.ID, errors.New("there are two machines of this id"))
			continue
		}
		wanted[m.ID] = true
		work.Go(func() error {
			bad := check(m)
			g, err := l.find(m, bad == nil)
			fail(m.ID, errors.Join(bad, err))
			if g == nil {
				return nil
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			if bad == nil {
				fail(m.ID, l.converge(ctx, g, m))
			}
			mu.Lock()
			defer mu.Unlock()
			statuses[m.ID] = g.status()
			return nil
		})
	}
	for _, g := range l.all() {
		if !wanted[g.id] {
			work.Go(func() error {
				g.mu.Lock()
				defer g.mu.Unlock()
				fail(g.id, l.stop(ctx, g))
				return nil
			})
		}
	}
	_ = work.Wait() // what went wrong is said above
	return statuses, failures
}

// Machines lists the ids of machines that have a disk, also of those that do not run.
func (l *Launcher) Machines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.guests))
}

// all lists the machines that have a disk.
func (l *Launcher) all() []*guest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.guests))
}

// find gives the guest of a machine and makes its disk when it has none and may have one. A machine that has never run and is
// not to run has no guest.
func (l *Launcher) find(m *dataplane.Machine, may bool) (*guest, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.guests[m.ID]
	if g != nil || m.Stopped || !may {
		return g, nil
	}
	owner, err := l.newOwner()
	if err != nil {
		return nil, err
	}
	key := make([]byte, 16)
	_, _ = rand.Read(key) // which never fails
	g = &guest{id: m.ID, folder: filepath.Join(l.Dir, m.ID), disk: disk{Owner: owner, MachineID: hex.EncodeToString(key)}}
	root := filepath.Join(g.folder, rootName)
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chmod(root, 0o755), os.Chown(root, owner, owner)); err != nil {
		return nil, err
	}
	if err := g.disk.write(g.folder); err != nil {
		return nil, err
	}
	l.guests[g.id] = g
	return g, nil
}

// newOwner finds users of the host that no machine has yet. The caller holds l.mu.
func (l *Launcher) newOwner() (int, error) {
	if l.single {
		return 0, nil
	}
	taken := map[int]bool{}
	for _, g := range l.guests {
		taken[g.disk.Owner] = true
	}
	for owner := int64(l.Base); owner+ids < 1<<32-1; owner += ids {
		if !taken[int(owner)] {
			return int(owner), nil
		}
	}
	return 0, errors.New("there are no user ids left for another machine")
}

// converge makes one machine what it should be.
func (l *Launcher) converge(ctx context.Context, g *guest, m *dataplane.Machine) error {
	l.observe(g)
	switch {
	case m.Stopped:
		return l.stop(ctx, g)
	case g.pid != nil && g.run.Machine.Boot == m.Boot:
		return l.configure(g, m)
	case g.pid == nil && g.run.Exit != "" && g.run.Machine.Boot == m.Boot:
		return nil
	}
	if err := l.stop(ctx, g); err != nil {
		return err
	}
	if (g.disk.Owner == 0) != l.single {
		return errors.New("its disk was made for users that are not here: by a host with one user, or with many")
	}
	return l.start(ctx, g, m)
}

// status is how a machine is.
func (g *guest) status() dataplane.MachineStatus {
	s := dataplane.MachineStatus{Running: g.pid != nil, Boot: g.run.Machine.Boot, Exit: g.run.Exit}
	if s.Running {
		s.Since = g.run.Since
	}
	return s
}

// observe notices that a machine has ended, and says whether it did so just now.
func (l *Launcher) observe(g *guest) bool {
	if g.pid == nil || !ended(g.pid, 0) {
		return false
	}
	g.run.Exit = g.reason(g.gone())
	g.run.Process = process{}
	if err := g.run.write(g.folder); err != nil {
		l.Log.Error("a machine's end is not written down", "machine", g.id, "error", err)
	}
	l.sweep(g)
	l.Log.Info("a machine has ended", "machine", g.id, "exit", g.run.Exit)
	return true
}

// stop ends a machine, which is asked first.
func (l *Launcher) stop(ctx context.Context, g *guest) error {
	l.observe(g)
	if g.pid != nil {
		err := l.end(ctx.Done(), g, true)
		l.Log.Info("a machine is stopped", "machine", g.id)
		return err
	}
	if g.run.Exit == "" {
		return nil
	}
	g.run.Exit = ""
	return g.run.write(g.folder)
}

// end ends the processes of a machine: they are asked, if that is wanted, and after a while they are not asked any more. It is
// written down before, so that another Launcher does not think that the machine has ended by itself.
func (l *Launcher) end(hurry <-chan struct{}, g *guest, orderly bool) error {
	g.run.Stopping = true
	if err := g.run.write(g.folder); err != nil {
		return err
	}
	if orderly {
		if err := signalProcess(g.pid, unix.SIGTERM); err != nil {
			return err
		}
		orderly = endedIn(hurry, g.pid, grace+time.Second)
	}
	if !orderly {
		// With the first process, the kernel takes all of them.
		if err := signalProcess(g.pid, unix.SIGKILL); err != nil {
			return err
		}
		if !ended(g.pid, patience) {
			return errors.New("its processes do not end")
		}
	}
	g.gone()
	l.sweep(g)
	g.run.Process, g.run.Exit, g.run.Stopping = process{}, "", false
	return g.run.write(g.folder)
}

// gone takes the end of a first process, and says what the kernel says of it.
func (g *guest) gone() string {
	how := reap(g.pid)
	shut(g.pid)
	g.pid = nil
	return how
}

// configure tells a running machine what has changed of what can change.
func (l *Launcher) configure(g *guest, m *dataplane.Machine) error {
	own := copyOf(m)
	if reflect.DeepEqual(g.run.Machine, own) {
		return nil
	}
	if err := l.limit(g, m); err != nil {
		return err
	}
	if err := call(l.Dir, g.id, request{Configure: m}); err != nil {
		return err
	}
	g.run.Machine = own
	return g.run.write(g.folder)
}

// copyOf is a machine that shares nothing with the caller's, and is as it would be read from a file.
func copyOf(m *dataplane.Machine) dataplane.Machine {
	own := *m
	own.Init, own.Env, own.Search = append([]string(nil), m.Init...), append([]string(nil), m.Env...), append([]string(nil), m.Search...)
	own.Mounts, own.Nameservers = append([]dataplane.Mount(nil), m.Mounts...), append([]netip.Addr(nil), m.Nameservers...)
	return own
}

// guest finds a machine that runs.
func (l *Launcher) guest(id string) (*guest, error) {
	l.mu.Lock()
	g := l.guests[id]
	l.mu.Unlock()
	if g == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotRunning, id)
	}
	return g, nil
}

// ErrNotRunning is the error of asking something of a machine that is not there.
var ErrNotRunning = errors.New("the machine is not running")

// Netns gives the network namespace of a machine that runs or waits for Release.
func (l *Launcher) Netns(id string) (*os.File, error) {
	g, err := l.guest(id)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pid == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotRunning, id)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", g.run.Process.Pid))
	if err != nil || ended(g.pid, 0) { // the number may be somebody else's by now
		if err == nil {
			shut(f)
		}
		return nil, fmt.Errorf("%w: %s", ErrNotRunning, id)
	}
	return f, nil
}

// Release lets a machine start what it is for; its network is there. Doing it twice is doing it once.
func (l *Launcher) Release(id string) error {
	return call(l.Dir, id, request{Release: true})
}

// Delete ends a machine and removes its disk.
func (l *Launcher) Delete(ctx context.Context, id string) error {
	l.setting.Lock()
	defer l.setting.Unlock()
	l.mu.Lock()
	g := l.guests[id]
	l.mu.Unlock()
	if g == nil {
		return nil
	}
	return l.remove(ctx, g)
}

// removed is how the names of disks begin that are being removed: a kill in between must not leave half a disk to boot from.
const removed = ".removed-"

// remove ends a machine at once and removes its disk.
func (l *Launcher) remove(ctx context.Context, g *guest) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pid != nil {
		if err := l.end(nil, g, false); err != nil {
			return err
		}
	}
	gone := filepath.Join(l.Dir, removed+g.id)
	if err := os.RemoveAll(gone); err != nil {
		return err
	}
	if err := os.Rename(g.folder, gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l.mu.Lock()
	delete(l.guests, g.id)
	l.mu.Unlock()
	return errors.Join(os.RemoveAll(gone), ctx.Err())
}

// Remove ends all machines and removes everything of them: processes, cgroups, disks and the folder. The Launcher is closed.
func (l *Launcher) Remove(ctx context.Context) error {
	l.setting.Lock()
	defer l.setting.Unlock()
	var work errgroup.Group
	work.SetLimit(parallel)
	for _, g := range l.all() {
		work.Go(func() error { return l.remove(ctx, g) })
	}
	if err := work.Wait(); err != nil {
		return err
	}
	l.removeGroups()
	return errors.Join(os.RemoveAll(l.Dir), l.Close())
}

// Run notices machines that end by themselves as it happens, and tells Wake. Without it, the next Set notices.
func (l *Launcher) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { l.rouse() })
	defer stop()
	for ctx.Err() == nil {
		watch := []unix.PollFd{{Fd: int32(l.stir.Fd()), Events: unix.POLLIN}}
		var of []*guest
		for _, g := range l.all() {
			g.mu.Lock()
			if g.pid != nil {
				// A duplicate, because a Set may close the other while we wait.
				if fd, err := unix.FcntlInt(g.pid.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
					watch = append(watch, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
					of = append(of, g)
				}
			}
			g.mu.Unlock()
		}
		_, err := unix.Poll(watch, -1)
		for _, w := range watch[1:] {
			shutFD(int(w.Fd))
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if watch[0].Revents != 0 {
			if _, err := unix.Read(int(l.stir.Fd()), make([]byte, 8)); err != nil && !errors.Is(err, unix.EAGAIN) {
				return err
			}
		}
		for i, g := range of {
			if watch[i+1].Revents == 0 {
				continue
			}
			g.mu.Lock()
			if l.observe(g) {
				select {
				case l.wake <- struct{}{}:
				default:
				}
			}
			g.mu.Unlock()
		}
	}
	return nil
}

// rouse makes Run look again at what there is to watch.
func (l *Launcher) rouse() {
	if _, err := unix.Write(int(l.stir.Fd()), []byte{1, 0, 0, 0, 0, 0, 0, 0}); err != nil && !errors.Is(err, unix.EAGAIN) {
		l.Log.Error("machines are not watched", "error", err)
	}
}
