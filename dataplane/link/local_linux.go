package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

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

// leased is a listener that was handed over, for as long as the daemon that did it is there: the next one has a socket of its own
// for the same address, and connections for both would wait at both.
type leased struct {
	net.Listener
	lease *lease
}

// Listener takes a listening socket over.
func (l *local) Listener(s dataplane.Socket) (net.Listener, error) {
	conn, err := l.hold(request{Op: opListen, Socket: &s})
	if err != nil {
		return nil, err
	}
	listener, err := taken(conn, net.FileListener)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &leased{listener, newLease(conn, func() { _ = listener.Close() })}, nil
}

// Close gives the socket back.
func (l *leased) Close() error { return errors.Join(l.Listener.Close(), l.lease.Close()) }

// leasedPackets is a packet socket that was handed over, likewise.
type leasedPackets struct {
	net.PacketConn
	lease *lease
}

// Packets takes a packet socket over.
func (l *local) Packets(s dataplane.Socket) (net.PacketConn, error) {
	conn, err := l.hold(request{Op: opPackets, Socket: &s})
	if err != nil {
		return nil, err
	}
	packets, err := taken(conn, net.FilePacketConn)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &leasedPackets{packets, newLease(conn, func() { _ = packets.Close() })}, nil
}

// Close gives the socket back.
func (p *leasedPackets) Close() error { return errors.Join(p.PacketConn.Close(), p.lease.Close()) }

// Dial takes over a connection that the daemon has made. It is the kernel's, and outlives the daemon.
func (l *local) Dial(ctx context.Context, call dataplane.Call) (net.Conn, error) {
	conn, _, err := l.begin(ctx, request{Op: opDial, Call: &call})
	if err != nil {
		return nil, err
	}
	dialled, err := taken(conn, net.FileConn)
	return dialled, errors.Join(err, conn.Close())
}

// taken makes a socket of the file that an answer comes with.
func taken[T any](conn net.Conn, of func(*os.File) (T, error)) (socket T, err error) {
	file, err := receive(conn.(*net.UnixConn))
	if err != nil {
		return socket, err
	}
	socket, err = of(file)
	return socket, errors.Join(err, file.Close())
}

// mostCalls is how many calls a daemon answers at once: each socket that was handed over is one.
const mostCalls = 1 << 14

// ServeLocal answers control planes on a unix socket, at a path that only this user can reach, until ctx ends. Another user is
// refused.
func ServeLocal(ctx context.Context, path string, host dataplane.Host) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	var d net.Dialer
	if conn, err := d.DialContext(ctx, "unix", path); err == nil {
		return errors.Join(fmt.Errorf("another host listens on %s", path), conn.Close())
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
	var calls sync.WaitGroup
	defer calls.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served, room := newDaemon(host), make(chan struct{}, mostCalls)
	return accepting(ctx, l, func(conn net.Conn) {
		select {
		case room <- struct{}{}:
		default:
			_ = conn.Close()
			return
		}
		calls.Go(func() {
			defer func() { <-room }()
			if samePeer(conn.(*net.UnixConn)) != nil {
				_ = conn.Close()
				return
			}
			served.serve(ctx, conn, func(ctx context.Context, conn net.Conn, rq *request) error {
				return handOver(ctx, conn.(*net.UnixConn), host, rq)
			})
		})
	})
}

// handOver answers a call with a socket, and stays until the other side gives it back.
func handOver(ctx context.Context, conn *net.UnixConn, host dataplane.Host, rq *request) error {
	var socket any
	var err error
	switch rq.Op {
	case opListen:
		socket, err = host.Listener(*rq.Socket)
	case opPackets:
		socket, err = host.Packets(*rq.Socket)
	case opDial:
		ctx, cancel := context.WithTimeout(ctx, openTime)
		defer cancel()
		socket, err = host.Dial(ctx, *rq.Call)
	case opSet, opFlows, opConsole: // have no socket
	}
	if err != nil {
		return err
	}
	err = send(conn, socket)
	err = errors.Join(err, socket.(interface{ Close() error }).Close()) // the other side has its own
	if err != nil || rq.Op == opDial {
		return err
	}
	ctx, done := whileOpen(ctx, conn)
	defer done()
	<-ctx.Done()
	return nil
}

// send sends an answer, and a byte that a socket comes with.
func send(conn *net.UnixConn, socket any) error {
	s, ok := socket.(syscall.Conn)
	if !ok {
		return fmt.Errorf("a %T cannot be handed over", socket)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	if err := writeFrame(conn, answer{}); err != nil {
		return err
	}
	failed := raw.Control(func(fd uintptr) { _, _, err = conn.WriteMsgUnix([]byte{0}, unix.UnixRights(int(fd)), nil) })
	return errors.Join(err, failed)
}

// errNoSocket is the error of an answer without its socket.
var errNoSocket = errors.New("the answer came without its socket")

// receive reads the byte that a socket comes with.
func receive(conn *net.UnixConn) (*os.File, error) {
	b, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(b, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errNoSocket, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err == nil && len(fds) == 1 {
		err = unix.SetNonblock(fds[0], true)
		if err == nil {
			return os.NewFile(uintptr(fds[0]), "socket"), nil
		}
	}
	err = errors.Join(errNoSocket, err)
	for _, fd := range fds {
		err = errors.Join(err, unix.Close(fd))
	}
	return nil, err
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
