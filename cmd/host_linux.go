package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/link"
	"github.com/vennel/vennel/dataplane/linux"
	"github.com/vennel/vennel/dataplane/linux/machine"
)

// Host is the daemon that carries VPCs on this machine: the only part that may do something in the kernel.
type Host struct {
	Dir         string `type:"path" placeholder:"DIR" help:"The folder of machines and of what else is kept (default: ~/.local/share/vennel-host)."`
	Prefix      string `default:"vennel-" help:"How the names of network namespaces begin; another one for each host on a machine."`
	Listen      string `type:"path" placeholder:"FILE" help:"The unix socket for a control plane on this machine (default: host.sock in the folder)."`
	Connect     string `placeholder:"HOST:PORT" help:"The links address of a control plane elsewhere, instead."`
	Certificate string `type:"existingfile" placeholder:"FILE" help:"What vennel certificate host has written, for --connect."`
	CA          string `name:"ca" type:"existingfile" help:"A certificate authority that machines trust, too (default: the one in --certificate)."`
	Attached    bool   `hidden:"" help:"End when the standard input does."`
	Leave       bool   `default:"true" negatable:"" help:"Leave everything in place when it stops, for the next start; --no-leave removes all."`
	LogLevel
}

// hostFolder is the name of the default folder.
const hostFolder = "vennel-host"

// hostSocket is the name of the socket in the folder.
const hostSocket = "host.sock"

// Run carries what the control plane says until it is told to stop.
func (h *Host) Run(ctx context.Context, s Streams) (err error) {
	if h.Dir == "" {
		if h.Dir, err = defaultFolder(hostFolder); err != nil {
			return err
		}
	}
	if h.Listen == "" {
		h.Listen = filepath.Join(h.Dir, hostSocket)
	}
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return err
	}
	log := h.logger(s.Err)
	// Two hosts with one prefix would each take the other's networks for remains. The name goes with the process, however it ends.
	var own net.ListenConfig
	lock, err := own.Listen(ctx, "unix", "@vennel-host-"+h.Prefix)
	if err != nil {
		return fmt.Errorf("another host with the prefix %s runs on this machine; choose another with --prefix (%w)", h.Prefix, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	options := linux.Options{Dir: h.Dir, Prefix: h.Prefix, Log: log}
	switch {
	case h.CA != "":
		options.CA, err = os.ReadFile(h.CA)
	case h.Certificate != "":
		options.CA, err = authorityIn(h.Certificate)
	}
	if err != nil {
		return err
	}
	if options.Self, err = os.Executable(); err != nil {
		return err
	}
	host, err := linux.New(options)
	if err != nil {
		return err
	}
	defer func() {
		if h.Leave {
			err = errors.Join(err, host.Close())
		} else {
			err = errors.Join(err, host.Remove(context.WithoutCancel(ctx)))
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if h.Attached {
		go func() { // it ends with the process, if not before
			_, _ = io.Copy(io.Discard, s.In)
			cancel()
		}()
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return host.Run(ctx) })
	if h.Connect == "" {
		g.Go(func() error { return link.ServeLocal(ctx, h.Listen, host) })
		return g.Wait()
	}
	config, err := linkConfig(h.Certificate)
	if err != nil {
		return err
	}
	g.Go(func() error { return link.Dialled(ctx, h.Connect, config, log, link.ServeHost(host)) })
	return g.Wait()
}

// First does what this program does when it is the first process of a machine, and then never returns.
func First() { machine.Init() }

// localHost is the host whose daemon listens on a unix socket.
func localHost(path string) (dataplane.Host, error) { return link.Local(path), nil }

// hostAttributes are those of a host daemon that is started by a lab: without root it is root of a user namespace of its own.
func hostAttributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C is for the lab, which tells it
	if os.Geteuid() != 0 {
		a.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return a
}

// cannotCarry says why no private network can be on this machine; nil when it can.
func cannotCarry() error {
	if _, err := exec.LookPath("nft"); err != nil {
		return errors.New("it needs the program nft, which Debian has in the package nftables")
	}
	if os.Geteuid() == 0 {
		return nil
	}
	try := exec.Command("/proc/self/exe", "version")
	try.SysProcAttr = hostAttributes()
	if err := try.Run(); err != nil {
		return fmt.Errorf("it needs root, or user namespaces, which this system does not give: %w", err)
	}
	return nil
}

// execIn runs a command in a machine, with the terminal where there is one.
func execIn(ctx context.Context, dir, id string, command []string, s Streams) (int, error) {
	c := machine.ExecConfig{Argv: command, Stdin: s.In, Stdout: s.Out, Stderr: s.Err}
	in, ok := s.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return machine.Exec(ctx, dir, id, c)
	}
	fd := int(in.Fd())
	size := func() machine.Size {
		columns, rows, err := term.GetSize(fd)
		if err != nil {
			return machine.Size{Rows: 24, Columns: 80}
		}
		return machine.Size{Rows: uint16(rows), Columns: uint16(columns)}
	}
	before, err := term.MakeRaw(fd)
	if err != nil {
		return 0, err
	}
	defer func() { _ = term.Restore(fd, before) }() // there is nothing else to try
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, syscall.SIGWINCH)
	defer signal.Stop(changes)
	resize := make(chan machine.Size)
	c.TTY, c.Size, c.Resize = true, size(), resize
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // until the command has ended
		for {
			select {
			case <-ctx.Done():
				return
			case <-changes:
			}
			select {
			case <-ctx.Done():
				return
			case resize <- size():
			}
		}
	}()
	return machine.Exec(ctx, dir, id, c)
}

// giveUpPrivileges takes all capabilities from this process, for good: a server has no use for them once its host runs. It still
// owns its files. A program that was built with cgo keeps them.
func giveUpPrivileges() error {
	if _, _, e := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); e != 0 && e != syscall.ENOTSUP {
		return fmt.Errorf("giving up privileges: %w", e)
	}
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(&none)), 0)
	runtime.KeepAlive(header)
	if e != 0 && e != syscall.ENOTSUP {
		return fmt.Errorf("giving up privileges: %w", e)
	}
	return nil
}
