package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
)

// The names under which this program is re-executed.
const (
	firstName  = "vennel-machine"       // the first process of a machine
	holderName = "vennel-machine-users" // a process whose user namespace is wanted, and nothing else
)

// The files that a first process is given.
const (
	controlFile = iota + 3 // the listening socket
	bootFile               // on which it is told what to be
	consoleFile
	stateFile
	selfFile
)

// boot is what a first process is told.
type boot struct {
	Machine   dataplane.Machine
	MachineID string
	CA        []byte
	Single    bool
	Nproc     int // how many processes a user may have, where nothing else limits them; 0 for any number
}

// start starts a machine's first process and waits until everything but its network is there. The caller holds g.mu, and
// nothing of the machine runs.
func (l *Launcher) start(ctx context.Context, g *guest, m *dataplane.Machine) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.run = run{Machine: copyOf(m), Host: l.host, Since: time.Now().UTC()}
	conn, err := l.launch(g, m)
	if err == nil {
		err = l.tell(conn, g, m)
		conn.Close()
	}
	if err != nil {
		if g.pid != nil {
			return errors.Join(err, l.end(nil, g, false))
		}
		return errors.Join(err, g.run.write(g.folder))
	}
	l.Log.Info("a machine is started", "machine", g.id, "boot", m.Boot, "took", time.Since(g.run.Since))
	l.rouse()
	return nil
}

// tell writes down that the machine runs, then lets it. A first process that is told nothing ends by itself, so that none runs
// that is not written down.
func (l *Launcher) tell(conn net.Conn, g *guest, m *dataplane.Machine) error {
	if err := l.place(g, m, g.run.Process.Pid); err != nil {
		return err
	}
	if err := g.run.write(g.folder); err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	b := boot{Machine: *m, MachineID: g.disk.MachineID, CA: l.CA, Single: l.single}
	if !slices.ContainsFunc(l.groups, func(h hierarchy) bool { return slices.Contains(h.controllers, "pids") }) {
		b.Nproc = pidsOf(m) + spareThreads
	}
	if err := writeMessage(conn, b); err != nil {
		return err
	}
	return readReply(conn)
}

// launch makes the machine's mounts and starts its first process on them.
func (l *Launcher) launch(g *guest, m *dataplane.Machine) (net.Conn, error) {
	var files []*os.File
	defer func() {
		for _, f := range files {
			shut(f)
		}
	}()
	control, err := listen(g.folder)
	if err != nil {
		return nil, err
	}
	files = append(files, control)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	near := os.NewFile(uintptr(pair[0]), "boot")
	defer shut(near)
	files = append(files, os.NewFile(uintptr(pair[1]), "boot"))
	conn, err := net.FileConn(near)
	if err != nil {
		return nil, err
	}
	err = func() error {
		for _, f := range []struct {
			name  string
			flags int
		}{
			{filepath.Join(g.folder, consoleName), os.O_RDWR | os.O_CREATE},
			{filepath.Join(g.folder, stateName), os.O_WRONLY | os.O_CREATE | os.O_TRUNC | os.O_APPEND},
			{l.Self, os.O_RDONLY},
			{os.DevNull, os.O_RDONLY},
			{filepath.Join(g.folder, consoleName), os.O_WRONLY | os.O_APPEND}, // for what a runtime says when it dies
		} {
			file, err := os.OpenFile(f.name, f.flags, 0o600)
			if err != nil {
				return err
			}
			files = append(files, file)
		}
		users, err := l.users(g.disk.Owner)
		if err != nil {
			return err
		}
		files = append(files, users)
		return inMounts(func() error {
			if err := l.mount(g, m, users); err != nil {
				return err
			}
			null, console := files[5], files[6]
			return l.exec(g, append([]*os.File{null, console, console}, files[:5]...))
		})
	}()
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// listen makes the socket on which a first process is asked for things. Paths of sockets are short, so the folder is opened.
func listen(folder string) (*os.File, error) {
	name := filepath.Join(folder, controlName)
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	dir, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	defer shut(dir)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), controlName)})
	if err != nil {
		return nil, err
	}
	defer shut(listener)
	listener.SetUnlinkOnClose(false)
	return listener.File()
}

// space is the map of a machine's ids, or of those of a machine with one.
func (l *Launcher) space(owner int) []syscall.SysProcIDMap {
	if l.single {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
	}
	return []syscall.SysProcIDMap{{ContainerID: 0, HostID: owner, Size: ids}}
}

// self is the path under which a new process finds the program among its files: it may not be allowed to walk to it.
func self(number int) string { return fmt.Sprintf("/proc/self/fd/%d", number) }

// users makes a user namespace with the ids of a machine, to move owners of files with. Nobody lives in it.
func (l *Launcher) users(owner int) (*os.File, error) {
	program, err := os.Open(l.Self)
	if err != nil {
		return nil, err
	}
	defer shut(program)
	stdin, wait, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer shut(stdin)
	p, err := os.StartProcess(self(3), []string{holderName}, &os.ProcAttr{
		Env:   []string{},
		Files: []*os.File{stdin, nil, nil, program},
		Sys: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER, UidMappings: l.space(owner), GidMappings: l.space(owner), GidMappingsEnableSetgroups: !l.single,
			Credential: &syscall.Credential{NoSetGroups: l.single},
		},
	})
	if err != nil {
		shut(wait)
		return nil, fmt.Errorf("no user namespace can be made: %w", err)
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", p.Pid))
	if err == nil {
		err = p.Kill()
	}
	shut(wait)
	_, waited := p.Wait()
	if err := errors.Join(err, waited); err != nil {
		shut(f)
		return nil, err
	}
	return f, nil
}

// exec starts the first process, whose root is the folder that this thread is in.
func (l *Launcher) exec(g *guest, files []*os.File) error {
	owner, pidfd := g.disk.Owner, -1
	p, err := os.StartProcess(self(selfFile), []string{firstName}, &os.ProcAttr{
		Env:   []string{"PATH=" + defaultPath},
		Files: files,
		Sys: &syscall.SysProcAttr{
			// No view of its own of the cgroups: with one, it might mount them, and see those of the host.
			Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
			UidMappings: l.space(owner), GidMappings: l.space(owner), GidMappingsEnableSetgroups: !l.single,
			Credential: &syscall.Credential{NoSetGroups: l.single},
			Setsid:     true,
			PidFD:      &pidfd,
		},
	})
	if err != nil {
		return fmt.Errorf("its first process cannot be started: %w", err)
	}
	g.pid = os.NewFile(uintptr(pidfd), "pidfd")
	g.run.Process.Pid = p.Pid
	if err := p.Release(); err != nil {
		return err
	}
	g.run.Process.Start, err = started(g.run.Process.Pid)
	return err
}

// inMounts does something in mounts that are a copy of the host's and end with it. Processes that it starts keep them.
func inMounts(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, and takes its mounts along
		if unix.Gettid() == unix.Getpid() {
			done <- inMounts(do) // the first thread never ends; while we hold it, this is done on another one
			runtime.UnlockOSThread()
			return
		}
		if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			done <- fmt.Errorf("no mounts of its own: %w", err)
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	return <-done
}

// mount puts the machine's root together, in mounts of this thread's own, and goes there. What is read-only here is locked in
// the machine: the kernel does that to mounts that a new user namespace inherits, and to no others.
func (l *Launcher) mount(g *guest, m *dataplane.Machine, users *os.File) error {
	root, err := unix.OpenTree(unix.AT_FDCWD, filepath.Join(g.folder, rootName), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("its disk: %w", err)
	}
	defer shutFD(root)
	if err := unix.MoveMount(root, "", unix.AT_FDCWD, filepath.Join(g.folder, rootName), unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("its disk: %w", err)
	}
	if err := unix.Fchdir(root); err != nil {
		return err
	}
	mounts := append([]dataplane.Mount{{From: "/usr", To: "/usr"}}, l.shims()...)
	if info, err := os.Stat("/etc/alternatives"); err == nil && info.IsDir() { // half of /usr/bin leads there
		mounts = append(mounts, dataplane.Mount{From: "/etc/alternatives", To: "/etc/alternatives"})
	}
	for _, mount := range append(mounts, m.Mounts...) {
		mount.From = cmp.Or(mount.From, l.program)
		if err := l.show(root, mount, users, g.disk.Owner); err != nil {
			return fmt.Errorf("%s as %s: %w", mount.From, mount.To, err)
		}
	}
	return nil
}

// shims mounts what asks the first process for a reboot on the programs that would ask an init of another kind. Often they are
// links to one program.
func (l *Launcher) shims() []dataplane.Mount {
	var list []dataplane.Mount
	for _, name := range shimNames {
		path, err := filepath.EvalSymlinks(filepath.Join("/usr/sbin", name))
		m := dataplane.Mount{From: filepath.Join(l.Dir, shimName), To: path}
		if err == nil && strings.HasPrefix(path, "/usr/") && !slices.Contains(list, m) {
			list = append(list, m)
		}
	}
	return list
}

// show mounts something of the host's, read-only, below root.
func (l *Launcher) show(root int, m dataplane.Mount, users *os.File, owner int) error {
	tree, err := l.tree(m.From, users)
	if err != nil {
		return err
	}
	defer shutFD(tree)
	var info unix.Stat_t
	if err := unix.Fstat(tree, &info); err != nil {
		return err
	}
	at, err := spot(root, m.To, info.Mode&unix.S_IFMT == unix.S_IFDIR, owner)
	if err != nil {
		return err
	}
	defer shutFD(at)
	return unix.MoveMount(tree, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// tree makes a read-only mount, which is nowhere yet, of a path of the host, with owners moved into a user namespace.
func (l *Launcher) tree(path string, users *os.File) (int, error) {
	tree, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return -1, err
	}
	err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if err == nil && !l.plain {
		// One that cannot be moved, because its file system is of another kind than that of /usr, shows no owners.
		err = moveOwners(tree, users)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) {
			err = nil
		}
	}
	if err != nil {
		shutFD(tree)
		return -1, err
	}
	return tree, nil
}

// moveOwners shows the files of a mount with owners of a user namespace.
func moveOwners(tree int, users *os.File) error {
	return unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE,
		&unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd())})
}

// spot gives the folder or file below root on which something is to be mounted, and makes it when it is not there. Whose disk
// it is may have left anything there, so no link is followed and nothing is opened.
func spot(root int, path string, folder bool, owner int) (int, error) {
	at, err := unix.FcntlInt(uintptr(root), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, name := range parts {
		dir := folder || i < len(parts)-1
		next, err := open(at, name)
		if errors.Is(err, fs.ErrNotExist) {
			if dir {
				err = errors.Join(unix.Mkdirat(at, name, 0o755), unix.Fchmodat(at, name, 0o755, 0)) // whatever the umask
			} else {
				err = unix.Mknodat(at, name, unix.S_IFREG|0o644, 0)
			}
			if err = errors.Join(err, unix.Fchownat(at, name, owner, owner, unix.AT_SYMLINK_NOFOLLOW)); err == nil {
				next, err = open(at, name)
			}
		}
		shutFD(at)
		if err != nil {
			return -1, err
		}
		var info unix.Stat_t
		err = unix.Fstat(next, &info)
		if kind := info.Mode & unix.S_IFMT; err == nil && (dir && kind != unix.S_IFDIR || !dir && kind == unix.S_IFDIR) {
			err = fmt.Errorf("on the machine's disk, %s is something else", path)
		}
		if err != nil {
			shutFD(next)
			return -1, err
		}
		at = next
	}
	return at, nil
}

// open looks at one name in a folder, as it is.
func open(at int, name string) (int, error) {
	return unix.Openat2(at, name, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS})
}

// probe finds out what this host gives.
func (l *Launcher) probe() (err error) {
	if info, err := os.Readlink("/bin"); err != nil || info != "usr/bin" && info != "/usr/bin" {
		return errors.New("/bin of this host is not in /usr; machines are made of /usr alone")
	}
	if l.single, err = singleUser(l.Base); err != nil {
		return err
	}
	if l.single {
		l.degraded = append(l.degraded, "this host is a user namespace without user ids to give away: they have one user, and su, "+
			"setuid programs and service users do not work in them")
	}
	users, err := l.users(int(l.Base))
	if err != nil {
		return err
	}
	defer shut(users)
	tree, err := unix.OpenTree(unix.AT_FDCWD, "/usr", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("/usr cannot be shown to machines: %w", err)
	}
	defer shutFD(tree)
	if err := moveOwners(tree, users); err != nil {
		l.plain = true
		if !l.single {
			l.degraded = append(l.degraded, fmt.Sprintf("owners of files in /usr cannot be moved, so setuid programs do not work in them: %v", err))
		}
	}
	if l.groups, err = l.findGroups(); err != nil {
		return err
	}
	return write(filepath.Join(l.Dir, shimName), shim, 0o755)
}

// singleUser says whether the host's users, as far as this process sees them, lack those that machines would use.
func singleUser(base uint32) (bool, error) {
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(text)) {
		var inside, outside, size uint64
		if _, err := fmt.Sscan(line, &inside, &outside, &size); err != nil {
			return false, err
		}
		if inside <= uint64(base) && inside+size >= uint64(base)+ids {
			return false, nil
		}
	}
	return true, nil
}
