package machine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
)

// The limits of a first process.
const (
	spareThreads = 24 // threads that it makes before anybody else can use them up: the runtime dies when it gets none
	maxCommands  = 64 // at once
	maxConns     = 80 // requests at once, so that there is room for others
	defaultPath  = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	initctl      = "/run/initctl" // a pipe on which reboots are asked for: see shim.sh
)

// Init is called first by every program that may be a Launcher's Self. When the program was re-executed as a machine's first
// process, it does not return.
func Init() {
	if len(os.Args) != 1 {
		return
	}
	switch os.Args[0] {
	case holderName:
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is not needed any more
		os.Exit(0)
	case firstName:
		if os.Getpid() == 1 {
			os.Exit(first())
		}
	}
}

// first is the life of a first process.
func first() int {
	unix.Umask(0o022)
	runtime.GOMAXPROCS(2) // however large the host is: see spareThreads
	files := map[int]*os.File{}
	for _, fd := range []int{controlFile, bootFile, consoleFile, stateFile, selfFile} {
		unix.CloseOnExec(fd)
		files[fd] = os.NewFile(uintptr(fd), "given")
	}
	shut(files[selfFile])
	if err := closeInherited(); err != nil {
		return 1
	}
	conn, err := net.FileConn(files[bootFile])
	if err != nil {
		return 1
	}
	shut(files[bootFile])
	var b boot
	if err := readMessage(conn, &b); err != nil {
		return 1 // whoever started us is gone, and nobody knows of us
	}
	c, err := newConsole(files[consoleFile])
	if err != nil {
		return 1
	}
	f := &one{
		boot: &b, console: c, state: files[stateFile], children: map[int]chan<- syscall.WaitStatus{},
		released: make(chan struct{}), end: make(chan string, 1), empty: make(chan struct{}, 1), commands: make(chan struct{}, maxCommands),
	}
	listener, err := net.FileListener(files[controlFile])
	shut(files[controlFile])
	if err == nil {
		err = f.up()
	}
	if err == nil {
		err = f.note(statePrepared)
	}
	answer := reply{}
	if err != nil {
		answer.Error = err.Error()
	}
	_ = writeJSONFrame(conn, kindExit, answer) // whoever does not hear it any more has noted that we are here
	conn.Close()
	if err != nil {
		c.say("boot failed: %v", err)
		return 1
	}
	f.live(listener)
	return 0
}

// closeInherited closes what has come from whoever started the Launcher: it may lead out of the machine. Everything that this
// program opens itself is marked to be closed by an exec.
func closeInherited() error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= selfFile {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			shutFD(fd)
		}
	}
	return nil
}

// one is the first process of a machine, number 1.
type one struct {
	boot     *boot
	console  *console
	state    *os.File
	host     *inherited // until the skeleton is made
	stdout   *os.File   // the writing end of the console
	released chan struct{}
	release  sync.Once
	end      chan string   // how it is to end
	empty    chan struct{} // there are no other processes

	config    sync.Mutex // guards boot.Machine
	beginning sync.Mutex // one command begins at a time
	commands  chan struct{}

	mu       sync.Mutex // guards children, and is held while one is started, so that its end is not missed
	children map[int]chan<- syscall.WaitStatus
}

// note writes what the Launcher reads when it looks for us.
func (o *one) note(state string) error {
	_, err := o.state.WriteString(strings.ReplaceAll(state, "\n", " ") + "\n")
	return err
}

// up makes everything that a machine is, but its network.
func (o *one) up() error {
	if err := o.mount(); err != nil {
		return err
	}
	if err := o.skeleton(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(o.boot.Machine.Name)); err != nil {
		return err
	}
	if err := loopback(); err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	if err := os.WriteFile("/proc/self/comm", []byte("init"), 0); err != nil {
		return err
	}
	if err := refuse(); err != nil {
		o.console.say("no system call is refused: %v", err)
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return err
	}
	o.console.say("Linux version %s", unix.ByteSliceToString(name.Release[:]))
	o.console.say("%s: machine %s, boot %d", o.boot.Machine.Name, o.boot.Machine.ID, o.boot.Machine.Boot)
	if err := threads(); err != nil {
		return err
	}
	if n := uint64(o.boot.Nproc); n > 0 {
		return unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: n, Max: n})
	}
	return nil
}

// threads makes the runtime start as many threads as it may ever need, and keep them.
func threads() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	// Raw reads: they keep a thread each, which those through the runtime would not.
	read := int(r.Fd())
	if err := unix.SetNonblock(read, false); err != nil {
		return err
	}
	var all sync.WaitGroup
	for range spareThreads - 8 {
		all.Go(func() { _, _ = unix.Read(read, make([]byte, 1)) })
	}
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); {
		if entries, err := os.ReadDir("/proc/self/task"); err != nil || len(entries) > spareThreads-8 {
			break
		}
		<-time.After(time.Millisecond)
	}
	err = w.Close()
	all.Wait()
	return errors.Join(err, r.Close())
}

// loopback sets lo up.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer shutFD(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// live does what there is to do until the machine ends, and ends it.
func (o *one) live(listener net.Listener) {
	read, write, err := os.Pipe()
	if err != nil {
		o.down("no pipe for the console: " + err.Error())
		return
	}
	o.stdout = write
	for _, fd := range []int{1, 2} { // /dev/console leads to our own output
		if err := unix.Dup3(int(write.Fd()), fd, 0); err != nil {
			o.down("no console: " + err.Error())
			return
		}
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals)
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // this is where a process begins
	var work sync.WaitGroup
	work.Go(func() { _, _ = io.Copy(o.console, read) })
	work.Go(func() { o.signals(signals) })
	work.Go(func() { o.initctl(ctx) })
	work.Go(func() { o.serve(ctx, listener) })
	work.Go(func() { o.run(ctx) })
	how := <-o.end
	cancel() // those who execute something hear that the line is cut
	o.down(how)
	// Nothing is waited for: with this process, the kernel ends everything.
}

// down ends all other processes, and says how it came to that.
func (o *one) down(how string) {
	o.console.say("going down: %s", how)
	_ = unix.Kill(-1, unix.SIGTERM)
	_ = unix.Kill(-1, unix.SIGCONT)
	again, late := time.After(grace/4), time.After(grace)
	for waiting := true; waiting; {
		err := unix.Kill(-1, 0)
		if errors.Is(err, unix.ESRCH) {
			break
		}
		select {
		case <-o.empty:
		case <-again: // one that was a copy of a shell when it heard it may have become another program since
			_ = unix.Kill(-1, unix.SIGTERM)
		case <-late:
			o.console.say("some processes did not end by themselves")
			waiting = false
		}
	}
	if err := o.note(endPrefix + how); err != nil {
		o.console.say("%v", err)
	}
	_ = unix.Kill(-1, unix.SIGKILL)
}

// stop lets live end the machine. Only the first reason counts.
func (o *one) stop(how string) {
	select {
	case o.end <- how:
	default:
	}
}

// signals reaps, and obeys those that mean something to a first process.
func (o *one) signals(signals <-chan os.Signal) {
	for s := range signals {
		switch s {
		case unix.SIGCHLD:
			o.reap()
		case unix.SIGTERM, unix.SIGPWR:
			o.stop(endPoweroff)
		case unix.SIGINT: // Ctrl-Alt-Delete
			o.stop(endReboot)
		}
	}
}

// reap takes the ends of all children that have ended, and tells those who wait.
func (o *one) reap() {
	for {
		var status syscall.WaitStatus
		o.mu.Lock()
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		who := o.children[pid]
		delete(o.children, pid)
		o.mu.Unlock()
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil: // there are none left
			select {
			case o.empty <- struct{}{}:
			default:
			}
			return
		case pid <= 0:
			return
		case who != nil:
			who <- status
		}
	}
}

// start starts a process; its end comes on the channel.
func (o *one) start(argv []string, attr *syscall.ProcAttr) (int, <-chan syscall.WaitStatus, error) {
	path, err := lookPath(argv[0], attr.Env, attr.Dir)
	if err != nil {
		return 0, nil, err
	}
	end := make(chan syscall.WaitStatus, 1)
	o.mu.Lock()
	defer o.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", argv[0], err)
	}
	o.children[pid] = end
	return pid, end, nil
}

// run waits for Release and runs what the machine is for.
func (o *one) run(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-o.released:
	}
	o.config.Lock()
	m := o.boot.Machine
	o.config.Unlock()
	if len(m.Init) == 0 {
		return
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		o.stop(err.Error())
		return
	}
	defer shut(null)
	out := o.stdout.Fd()
	_, end, err := o.start(m.Init, &syscall.ProcAttr{
		Dir:   "/",
		Env:   environment("root", "/root", "/bin/sh", slices.Concat([]string{trust, "TERM=dumb"}, m.Env)),
		Files: []uintptr{null.Fd(), out, out},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		o.stop("its first command cannot be run: " + err.Error())
		return
	}
	select {
	case <-ctx.Done():
	case status := <-end:
		o.stop("its first command ended with " + describe(status))
	}
}

// describe says how a process ended.
func describe(s syscall.WaitStatus) string {
	if s.Signaled() {
		return "signal " + s.Signal().String()
	}
	return "status " + strconv.Itoa(s.ExitStatus())
}

// initctl reads what is asked for in the machine: "reboot 60" (seconds), "poweroff 0" or "cancel 0", a line each.
func (o *one) initctl(ctx context.Context) {
	f, err := os.OpenFile(initctl, os.O_RDWR, 0) // for writing, too, so that it never ends
	if err != nil {
		o.console.say("no reboots from inside: %v", err)
		return
	}
	defer shut(f)
	stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var timer *time.Timer
	lines := bufio.NewReaderSize(f, 256)
	for {
		line, long, err := lines.ReadLine()
		if err != nil {
			return
		}
		how, after, ok := parseInitctl(line)
		if long || !ok {
			continue
		}
		if timer != nil {
			timer.Stop()
		}
		switch {
		case how == "":
			o.console.say("shutdown cancelled")
		case after == 0:
			o.stop(how)
		default:
			o.console.say("%s in %s", how, after)
			timer = time.AfterFunc(after, func() { o.stop(how) })
		}
	}
}

// parseInitctl reads a line of initctl; how is "" for the end of a plan.
func parseInitctl(line []byte) (how string, after time.Duration, ok bool) {
	what, number, _ := strings.Cut(string(line), " ")
	seconds, err := strconv.ParseUint(number, 10, 24)
	if err != nil {
		return "", 0, false
	}
	switch what {
	case "reboot":
		return endReboot, time.Duration(seconds) * time.Second, true
	case "poweroff":
		return endPoweroff, time.Duration(seconds) * time.Second, true
	case "cancel":
		return "", 0, true
	}
	return "", 0, false
}

// serve answers on the control socket.
func (o *one) serve(ctx context.Context, listener net.Listener) {
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	var work sync.WaitGroup
	defer work.Wait()
	room := make(chan struct{}, maxConns)
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // too many files: those who hold them will let go
			<-time.After(50 * time.Millisecond)
			continue
		}
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			conn.Close()
			return
		}
		work.Go(func() {
			defer func() { <-room }()
			defer conn.Close()
			o.answer(ctx, conn)
		})
	}
}

// answer answers one request.
func (o *one) answer(ctx context.Context, conn net.Conn) {
	out := &frames{w: conn}
	var r request
	err := conn.SetReadDeadline(time.Now().Add(patience))
	if err == nil {
		err = readMessage(conn, &r)
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	answer := reply{}
	switch {
	case err != nil:
	case r.Exec != nil:
		answer.Exit, err = o.execute(ctx, r.Exec, conn, out)
	case r.Configure != nil:
		err = o.configure(r.Configure)
	case r.Release:
		o.release.Do(func() {
			if err = o.note(stateRunning); err == nil {
				close(o.released)
			}
		})
	default:
		err = errors.New("nothing was asked for")
	}
	if err != nil {
		answer.Error = err.Error()
	}
	_ = conn.SetWriteDeadline(time.Now().Add(patience))
	_ = writeJSONFrame(conn, kindExit, answer) // who does not listen does not want to know
}

// configure takes what can change in a machine that runs.
func (o *one) configure(m *dataplane.Machine) error {
	o.config.Lock()
	defer o.config.Unlock()
	o.boot.Machine.Name, o.boot.Machine.Address = m.Name, m.Address
	o.boot.Machine.Nameservers, o.boot.Machine.Search = m.Nameservers, m.Search
	if err := unix.Sethostname([]byte(m.Name)); err != nil {
		return err
	}
	return o.names()
}
