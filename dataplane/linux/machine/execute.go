package machine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// execute runs a command in the machine for a connection and gives its exit status. When the connection ends, so does the command.
func (o *one) execute(ctx context.Context, c *command, conn net.Conn, out *frames) (int, error) {
	if len(c.Argv) == 0 {
		return 0, errors.New("there is no command")
	}
	select {
	case o.commands <- struct{}{}:
		defer func() { <-o.commands }()
	default:
		return 0, errors.New("too many commands run at once")
	}
	pid, end, s, err := o.begin(c)
	if err != nil {
		return 0, err
	}
	defer s.close()
	var input, output sync.WaitGroup
	// Whoever asked may go away: the command hears of it as of a line that is cut, and then is ended.
	gone := make(chan struct{})
	input.Go(func() {
		defer close(gone)
		s.feed(conn)
	})
	for kind, f := range s.out {
		output.Go(func() { s.copy(f, kind, out) })
	}
	hangup := func() {
		_ = unix.Kill(-pid, unix.SIGHUP)
		_ = unix.Kill(-pid, unix.SIGCONT)
	}
	var status syscall.WaitStatus
	var late <-chan time.Time
	ask := time.NewTicker(time.Second)
	defer ask.Stop()
	for waiting, left, down := true, gone, ctx.Done(); waiting; {
		select {
		case status = <-end:
			waiting = false
		case <-left:
			left, late = nil, time.After(grace)
			hangup()
		case <-ask.C: // feed, which waits for a command that does not read, does not notice who goes away
			if left != nil && out.write(kindStdout, nil) != nil {
				left, late = nil, time.After(grace)
				hangup()
			}
		case <-down: // the machine goes down, which ends it if this does not
			down = nil
			hangup()
		case <-late:
			_ = unix.Kill(-pid, unix.SIGKILL)
		}
	}
	s.finish()
	output.Wait()
	// The connection stays open for the reply, but nothing more is read from it.
	_ = conn.SetReadDeadline(time.Unix(1, 0))
	input.Wait()
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// begin starts a command. One begins at a time, because what it takes keeps a thread, and there may be no more.
func (o *one) begin(c *command) (int, <-chan syscall.WaitStatus, *streams, error) {
	o.beginning.Lock()
	defer o.beginning.Unlock()
	who, err := o.person(c.User)
	if err != nil {
		return 0, nil, nil, err
	}
	attr := &syscall.ProcAttr{
		Dir: c.Dir,
		Env: environment(who.name, who.home, who.shell, slices.Concat([]string{trust, "AWS_CA_BUNDLE=" + bundle}, c.Env)),
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: c.TTY, Credential: who.credential},
	}
	if attr.Dir == "" {
		attr.Dir = who.home
		if info, err := os.Stat(attr.Dir); err != nil || !info.IsDir() {
			attr.Dir = "/"
		}
	}
	s, err := newStreams(c, who.uid)
	if err != nil {
		return 0, nil, nil, err
	}
	attr.Files = s.files()
	pid, end, err := o.start(c.Argv, attr)
	s.closeInside()
	if err != nil {
		s.close()
		return 0, nil, nil, err
	}
	return pid, end, s, nil
}

// person is a user of the machine.
type person struct {
	name, home, shell string
	uid               int
	credential        *syscall.Credential // nil for root, who we are
}

// person finds a user, by name or number; "" is root. The machine's own files say who that is.
func (o *one) person(name string) (*person, error) {
	if name == "" {
		name = "root"
	}
	u, err := user.Lookup(name)
	if err != nil {
		if byID, idErr := user.LookupId(name); idErr == nil {
			u, err = byID, nil
		}
	}
	if err != nil && name == "root" { // its passwd is broken; it can still be mended
		u, err = &user.User{Uid: "0", Gid: "0", Username: "root", HomeDir: "/root"}, nil
	}
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	p := &person{name: u.Username, home: u.HomeDir, shell: "/bin/sh", uid: int(uid)}
	if uid == 0 && gid == 0 {
		return p, nil
	}
	if o.boot.Single {
		return nil, errors.New("this machine has one user, root, because its host is a user namespace without others to give away")
	}
	p.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if n, err := strconv.ParseUint(g, 10, 32); err == nil && len(p.credential.Groups) < 256 {
			p.credential.Groups = append(p.credential.Groups, uint32(n))
		}
	}
	return p, nil
}

// environment is that of a user, with more, which counts more.
func environment(name, home, shell string, more []string) []string {
	all := append([]string{"PATH=" + defaultPath, "HOME=" + home, "USER=" + name, "LOGNAME=" + name, "SHELL=" + shell, "LANG=C.UTF-8"}, more...)
	last := map[string]int{}
	for i, e := range all {
		key, _, _ := strings.Cut(e, "=")
		last[key] = i
	}
	var list []string
	for i, e := range all {
		if key, _, _ := strings.Cut(e, "="); last[key] == i {
			list = append(list, e)
		}
	}
	return list
}

// trust tells OpenSSL, which may look into another place, what the machine trusts.
const trust = "SSL_CERT_FILE=" + bundle

// lookPath finds a program as the command's own shell would.
func lookPath(name string, env []string, dir string) (string, error) {
	if name == "" {
		return "", errors.New("there is no command")
	}
	if strings.Contains(name, "/") {
		return name, nil // relative to the folder that it starts in
	}
	path := defaultPath
	for _, e := range env {
		if p, ok := strings.CutPrefix(e, "PATH="); ok {
			path = p
		}
	}
	for _, folder := range filepath.SplitList(path) {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join("/", dir, folder)
		}
		file := filepath.Join(folder, name)
		if info, err := os.Stat(file); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("%s: command not found", name)
}

// streams are those of a command: pipes, or a terminal that is all three.
type streams struct {
	in     *os.File // to the command
	out    map[byte]*os.File
	inside []*os.File
	tty    bool
}

// newStreams makes them.
func newStreams(c *command, uid int) (*streams, error) {
	s := &streams{out: map[byte]*os.File{}, tty: c.TTY}
	if c.TTY {
		master, slave, err := openTerminal(uid, c.Size)
		if err != nil {
			return nil, fmt.Errorf("no terminal: %w", err)
		}
		s.in, s.out[kindStdout], s.inside = master, master, []*os.File{slave}
		return s, nil
	}
	for _, kind := range []byte{kindStdin, kindStdout, kindStderr} {
		r, w, err := os.Pipe()
		if err != nil {
			s.close()
			return nil, err
		}
		if kind == kindStdin {
			s.in, s.inside = w, append(s.inside, r)
		} else {
			s.out[kind], s.inside = r, append(s.inside, w)
		}
	}
	return s, nil
}

// files are the command's.
func (s *streams) files() []uintptr {
	if s.tty {
		fd := s.inside[0].Fd()
		return []uintptr{fd, fd, fd}
	}
	return []uintptr{s.inside[0].Fd(), s.inside[1].Fd(), s.inside[2].Fd()}
}

// closeInside leaves the command's ends to it.
func (s *streams) closeInside() {
	for _, f := range s.inside {
		shut(f)
	}
	s.inside = nil
}

// close closes everything.
func (s *streams) close() {
	s.closeInside()
	if s.in != nil {
		shut(s.in)
	}
	for _, f := range s.out {
		shut(f)
	}
}

// feed gives the command what comes from the connection, until that ends.
func (s *streams) feed(conn io.Reader) {
	open := true
	for {
		kind, data, err := readFrame(conn)
		if err != nil {
			return
		}
		switch {
		case kind == kindResize && s.tty:
			if size, ok := parseSize(data); ok {
				_ = s.resize(size)
			}
		case kind != kindStdin || !open:
		case len(data) > 0:
			if _, err := s.in.Write(data); err != nil { // it does not read any more; it may still say something
				open = false
			}
		case s.tty:
			_, err := s.in.Write([]byte{4}) // Ctrl-D, as nothing closes a terminal's input alone
			open = err == nil
		default:
			shut(s.in)
			open = false
		}
	}
}

// copy passes on what the command says.
func (s *streams) copy(f *os.File, kind byte, out *frames) {
	buffer := make([]byte, maxData)
	for {
		n, err := f.Read(buffer)
		if n > 0 && out.write(kind, buffer[:n]) != nil {
			shut(f) // nobody listens: the command learns it from its next write
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.drain(f, kind, out, buffer)
			return
		}
		if err != nil {
			return
		}
	}
}

// drain passes on what is left in a pipe that others still hold open.
func (s *streams) drain(f *os.File, kind byte, out *frames, buffer []byte) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	for left := 1 << 20; left > 0; {
		n := 0
		if err := raw.Control(func(fd uintptr) { n, err = unix.Read(int(fd), buffer) }); err != nil || n <= 0 {
			return
		}
		if err != nil || out.write(kind, buffer[:n]) != nil {
			return
		}
		left -= n
	}
}

// finish ends the streams of a command that has ended, though its children may hold them.
func (s *streams) finish() {
	_ = s.in.SetWriteDeadline(time.Unix(1, 0))
	for _, f := range s.out {
		_ = f.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	}
}

// resize tells a terminal its size.
func (s *streams) resize(size Size) error {
	raw, err := s.in.SyscallConn()
	if err != nil {
		return err
	}
	if controlErr := raw.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Columns})
	}); controlErr != nil {
		return controlErr
	}
	return err
}

// parseSize reads a size from a frame.
func parseSize(data []byte) (Size, bool) {
	if len(data) != 4 {
		return Size{}, false
	}
	return Size{Rows: binary.BigEndian.Uint16(data), Columns: binary.BigEndian.Uint16(data[2:])}, true
}

// frame writes a size for a frame.
func (s Size) frame() []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, s.Rows), s.Columns)
}

// openTerminal makes a terminal of the machine's for one of its users.
func openTerminal(uid int, size Size) (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	defer func() {
		if err != nil {
			shut(master)
		}
	}()
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	if size != (Size{}) {
		if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Columns}); err != nil {
			return nil, nil, err
		}
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	if err = slave.Chown(uid, -1); err != nil {
		shut(slave)
		return nil, nil, err
	}
	return master, slave, nil
}
