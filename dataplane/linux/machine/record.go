package machine

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
)

// The names of what a machine has in its folder.
const (
	rootName    = "root"      // its disk
	diskName    = "disk.json" // what never changes
	runName     = "run.json"  // how it runs, or ran
	stateName   = "state"     // what its first process says of itself
	consoleName = "console"
	controlName = "control" // a socket to the first process
)

// disk is what belongs to a machine as long as it has a disk.
type disk struct {
	Owner     int    // the host's number of its root; its other users follow. 0 where there is one user only
	MachineID string // of /etc/machine-id
}

// run is a boot of a machine.
type run struct {
	Machine  dataplane.Machine // as it is there
	Host     string            // the boot of the host
	Process  process           // the first; zero after its end
	Since    time.Time
	Stopping bool     `json:",omitempty"` // it is being ended
	Exit     string   `json:",omitempty"` // how it ended by itself, if it is to stay off
	Groups   []string `json:",omitempty"` // folders of its cgroups
}

// process says which process is meant: numbers are used again, but not at the same time.
type process struct {
	Pid   int
	Start uint64 // in ticks after the host's boot
}

// write keeps a disk's facts.
func (d *disk) write(folder string) error { return writeJSON(filepath.Join(folder, diskName), d) }

// write keeps a boot's facts.
func (r *run) write(folder string) error { return writeJSON(filepath.Join(folder, runName), r) }

// writeJSON replaces a file by another, so that at any moment one of them is there.
func writeJSON(name string, value any) error {
	text, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+"~", text, 0o600); err != nil {
		return err
	}
	return os.Rename(name+"~", name)
}

// readJSON reads such a file; one that is not there leaves the value as it is.
func readJSON(name string, value any) error {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, value); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// adopt reads what is known of a machine and finds its first process. A folder that was never finished is nobody's.
func (l *Launcher) adopt(id string) (*guest, error) {
	g := &guest{id: id, folder: filepath.Join(l.Dir, id)}
	if err := readJSON(filepath.Join(g.folder, diskName), &g.disk); err != nil {
		return nil, err
	}
	if g.disk.MachineID == "" {
		return nil, os.RemoveAll(g.folder)
	}
	if err := readJSON(filepath.Join(g.folder, runName), &g.run); err != nil {
		return nil, err
	}
	if g.run.Process == (process{}) {
		return g, nil
	}
	if g.run.Host == l.host {
		var err error
		if g.pid, err = g.run.Process.open(); err != nil {
			return nil, err
		}
	}
	said := g.said()
	switch {
	case g.pid == nil:
		if g.run.Host == l.host { // otherwise it has ended with the host
			g.run.Exit = g.reason("")
		}
		l.sweep(g)
		g.run.Process, g.run.Stopping = process{}, false
		if err := g.run.write(g.folder); err != nil {
			return nil, err
		}
	case g.run.Stopping || said == "":
		// One that was being stopped is stopped, and one that has not become yet what it is to be is started anew.
		if err := l.end(nil, g, said != ""); err != nil {
			return nil, err
		}
	}
	l.Log.Info("a machine was found", "machine", id, "running", g.pid != nil)
	return g, nil
}

// open gives a handle on a process, nil when it has ended.
func (p process) open() (*os.File, error) {
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) { // EINVAL: the number is a thread's now
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	if start, err := started(p.Pid); err != nil || start != p.Start || ended(f, 0) {
		return nil, f.Close()
	}
	return f, nil
}

// started says when a process was started.
func started(pid int) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := bytes.Cut(text[max(0, bytes.LastIndexByte(text, ')')):], []byte(" ")) // the name before may hold anything
	fields := bytes.Fields(after)
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}

// ended says whether a process has ended, or does so within a time.
func ended(pid *os.File, within time.Duration) bool {
	until := time.Now().Add(within)
	for {
		watch := []unix.PollFd{{Fd: int32(pid.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(watch, max(0, int(time.Until(until).Milliseconds())))
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) || time.Now().After(until) {
			return n > 0
		}
	}
}

// endedIn is ended, but it gives up when there is hurry.
func endedIn(hurry <-chan struct{}, pid *os.File, within time.Duration) bool {
	for until := time.Now().Add(within); time.Now().Before(until); {
		if ended(pid, 20*time.Millisecond) {
			return true
		}
		select {
		case <-hurry:
			return false
		default:
		}
	}
	return false
}

// signalProcess sends a signal; one that has ended hears nothing, which is no error.
func signalProcess(pid *os.File, s unix.Signal) error {
	err := unix.PidfdSendSignal(int(pid.Fd()), s, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// reap says how a process ended, "" when it is not a child of ours or said so itself.
func reap(pid *os.File) string {
	var info unix.Siginfo
	// The pid and the status of a child are where the kernel puts them in siginfo_t.
	if err := unix.Waitid(unix.P_PIDFD, int(pid.Fd()), &info, unix.WEXITED|unix.WNOHANG, nil); err != nil {
		return ""
	}
	status := siginfoStatus(&info)
	if info.Code != cldKilled && info.Code != cldDumped {
		return ""
	}
	switch s := unix.Signal(status); s { // the kernel's answer to reboot(2) in a process namespace
	case unix.SIGHUP:
		return endReboot
	case unix.SIGINT:
		return endPoweroff
	default:
		return "its first process was killed: " + s.String()
	}
}

// How a first process says that it ended, if not in words for people.
const (
	statePrepared = "prepared" // waits for Release
	stateRunning  = "running"
	endPrefix     = "ended: "
	endReboot     = "reboot"
	endPoweroff   = "powered off"
)

// reason says how a machine that is gone has ended by itself; "" when it is to be booted again. how is what the kernel says. What
// the machine wrote is believed, because it is only about itself, but not at any length.
func (g *guest) reason(how string) string {
	said := g.said()
	if end, ok := strings.CutPrefix(said, endPrefix); ok {
		how = end
	}
	switch {
	case g.run.Stopping, how == endReboot:
		return ""
	case how != "":
		return how
	case said == "": // whoever started it was killed before it had told it what to be
		return ""
	default:
		return "its first process was killed"
	}
}

// said is the last line that a first process has written about itself.
func (g *guest) said() string {
	f, err := os.Open(filepath.Join(g.folder, stateName))
	if err != nil {
		return ""
	}
	defer shut(f)
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return printable(lines[len(lines)-1])
}

// hostBoot names the boot of the host.
func hostBoot() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text)), err
}

// lockFolder takes the folder for one Launcher. A launcher that was killed in the middle of starting a process may leave its
// lock with that process for a moment.
func lockFolder(folder string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for range 50 {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return f, nil
		}
		<-time.After(20 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("another process uses it: %w", err), f.Close())
}

var (
	idPattern     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
	searchPattern = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9.])?$`)
)

// checkID refuses ids that cannot be names of folders.
func checkID(id string) error {
	if !idPattern.MatchString(id) {
		return fmt.Errorf("%q cannot be the id of a machine", id)
	}
	return nil
}

// check refuses what could not be booted.
func check(m *dataplane.Machine) error {
	if err := checkID(m.ID); err != nil {
		return err
	}
	if len(m.Name) > 64 || !namePattern.MatchString(m.Name) {
		return fmt.Errorf("%q cannot be a host name", m.Name)
	}
	for _, s := range m.Search {
		if !searchPattern.MatchString(s) {
			return fmt.Errorf("%q cannot be searched for names", s)
		}
	}
	if len(m.Search) > 32 || len(m.Nameservers) > 32 || len(m.Mounts) > 64 || len(m.Init) > 1024 || len(m.Env) > 1024 {
		return errors.New("it has too many parts")
	}
	size := 0
	for _, s := range slices.Concat(m.Init, m.Env) {
		if strings.Contains(s, "\x00") {
			return errors.New("a word of its command or environment holds a zero byte")
		}
		size += len(s)
	}
	if size > 128<<10 {
		return errors.New("its command and environment are too long")
	}
	for _, e := range m.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return fmt.Errorf("%q is no variable of an environment", e)
		}
	}
	if m.Memory < 0 || m.Pids < 0 {
		return errors.New("a limit is negative")
	}
	for _, mount := range m.Mounts {
		for _, path := range []string{cmp.Or(mount.From, "/self"), mount.To} {
			if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" || strings.Contains(path, "\x00") {
				return fmt.Errorf("%q cannot be mounted on %q: these are not clean absolute paths", mount.From, mount.To)
			}
		}
		if top, _, _ := strings.Cut(mount.To[1:], "/"); slices.Contains(ours, top) {
			return fmt.Errorf("nothing can be mounted on %s: /%s is made up", mount.To, top)
		}
	}
	return nil
}

// ours are the folders of a machine's root that are mounted at every boot, or lead into /usr.
var ours = []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "proc", "sys", "dev", "run", "tmp"}
