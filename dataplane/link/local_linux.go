package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
)

// local is a Host whose daemon is on this machine.
type local struct{ client }

// Local gives the Host of a daemon that listens on a unix socket. It need not listen yet: each call connects anew.
func Local(path string) dataplane.Host {
	return &local{client{open: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", path)
		if err != nil {
			return nil, fmt.Errorf("no host listens on %s: %w", path, err)
		}
		if err := samePeer(conn.(*net.UnixConn)); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	}}}
}

// take makes a call whose answer comes with a file.
func (l *local) take(ctx context.Context, rq request) (*os.File, error) {
	conn, _, release, err := l.begin(ctx, rq)
	if err != nil {
		return nil, err
	}
	defer release()
	file, err := receive(conn.(*net.UnixConn))
	return file, errors.Join(err, conn.Close())
}

// Listener takes a listening socket over.
func (l *local) Listener(s dataplane.Socket) (net.Listener, error) {
	file, err := l.take(context.Background(), request{Op: opListen, Socket: &s}) //nolint:forbidigo // the interface has none
	if err != nil {
		return nil, err
	}
	listener, err := net.FileListener(file)
	return listener, errors.Join(err, file.Close())
}

// Packets takes a packet socket over.
func (l *local) Packets(s dataplane.Socket) (net.PacketConn, error) {
	file, err := l.take(context.Background(), request{Op: opPackets, Socket: &s}) //nolint:forbidigo // the interface has none
	if err != nil {
		return nil, err
	}
	conn, err := net.FilePacketConn(file)
	return conn, errors.Join(err, file.Close())
}

// Dial takes over a connection that the daemon has made.
func (l *local) Dial(ctx context.Context, call dataplane.Call) (net.Conn, error) {
	file, err := l.take(ctx, request{Op: opDial, Call: &call})
	if err != nil {
		return nil, err
	}
	conn, err := net.FileConn(file)
	return conn, errors.Join(err, file.Close())
}

// ServeLocal answers control planes on a unix socket, at a path that only this user can reach, until ctx ends. Another user is
// refused.
func ServeLocal(ctx context.Context, path string, host dataplane.Host) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // of a daemon that was killed
		return err
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(err, l.Close())
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return unless(ctx, err)
		}
		calls.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			if samePeer(conn.(*net.UnixConn)) != nil {
				_ = conn.Close()
				return
			}
			_ = serve(ctx, conn, host, func(ctx context.Context, conn net.Conn, rq *request) error { // the caller hears of it
				return handOver(ctx, conn.(*net.UnixConn), host, rq)
			})
		})
	}
}

// filer is a socket of the net package.
type filer interface{ File() (*os.File, error) }

// handOver answers a call with a file.
func handOver(ctx context.Context, conn *net.UnixConn, host dataplane.Host, rq *request) error {
	var socket any
	var err error
	switch rq.Op {
	case opListen:
		socket, err = host.Listener(*rq.Socket)
	case opPackets:
		socket, err = host.Packets(*rq.Socket)
	case opDial:
		socket, err = host.Dial(ctx, *rq.Call)
	case opSet, opFlows, opConsole: // have no file
	}
	if err != nil {
		return err
	}
	defer func() { _ = socket.(interface{ Close() error }).Close() }() // the other side has its own
	f, ok := socket.(filer)
	if !ok {
		return fmt.Errorf("a %T cannot be handed over", socket)
	}
	file, err := f.File()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // likewise
	if err := writeFrame(conn, answer{}); err != nil {
		return err
	}
	_, _, err = conn.WriteMsgUnix([]byte{0}, unix.UnixRights(int(file.Fd())), nil)
	return err
}

// receive reads the byte that a file comes with.
func receive(conn *net.UnixConn) (*os.File, error) {
	b, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(b, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("the answer came without its socket"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(errors.New("the answer came without its socket"), err)
	}
	unix.CloseOnExec(fds[0])
	if err := unix.SetNonblock(fds[0], true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "socket"), nil
}

// samePeer refuses another user on the other side of a unix socket. Root, and in a user namespace whoever made it, is as good.
func samePeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil {
		return e
	}
	if err != nil {
		return err
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d is somebody else", cred.Uid)
	}
	return nil
}
