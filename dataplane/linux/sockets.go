package linux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux/netns"
)

// socket is a listening socket in a namespace.
type socket struct {
	file  *os.File
	inode uint64 // of the namespace
}

// backlog is how many connections wait on a socket while nobody accepts.
const backlog = 4096

// packets is how many bytes wait on a UDP socket: what a few instances may send at once must not crowd out another's question.
const packets = 4 << 20

// spaceOf is the id of the namespace that a socket is in.
func spaceOf(s dataplane.Socket) string {
	if s.VPC == "" {
		return internet
	}
	return s.VPC
}

// closeSockets closes the sockets that should not be there.
func (h *Host) closeSockets(list []dataplane.Socket) {
	wanted := make(map[dataplane.Socket]bool, len(list))
	for _, at := range list {
		wanted[at] = true
	}
	h.look.Lock()
	defer h.look.Unlock()
	for at, s := range h.sockets {
		if wanted[at] && s.inode == h.inodes[spaceOf(at)] {
			continue
		}
		if err := s.file.Close(); err != nil {
			h.o.Log.Error("a socket is not closed", "vpc", at.VPC, "role", at.Role, "error", err)
		}
		delete(h.sockets, at)
	}
}

// openSockets opens the sockets that are missing. The address of one that cannot be opened has failed.
func (h *Host) openSockets(list []dataplane.Socket, said failures) {
	for _, at := range list {
		k := h.kernels[spaceOf(at)]
		if h.sockets[at] != nil || k == nil {
			continue
		}
		f, err := listen(k.ns, at)
		if err != nil {
			said.add(spaceOf(at), "the %s socket on %s %s: %v", at.Role, at.Network, at.Address, err)
			continue
		}
		h.look.Lock()
		h.sockets[at] = &socket{f, k.inode}
		h.look.Unlock()
	}
}

// listen makes a socket in a namespace. Another process may hold one that it had from a Host that is gone, so addresses are
// shared; and the services' must take connections to addresses that are routed here without being ours.
func listen(ns *os.File, at dataplane.Socket) (*os.File, error) {
	kind := unix.SOCK_STREAM
	if at.Network == "udp" {
		kind = unix.SOCK_DGRAM
	}
	fd := -1
	err := netns.Do(ns, func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	if at.Role == dataplane.Front {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1))
	}
	if kind == unix.SOCK_DGRAM {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, packets) != nil { // rootless, as many as the system lets anybody have
			err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, packets))
		}
	}
	if err == nil {
		err = unix.Bind(fd, sockaddr(at.Address))
	}
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, backlog)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), string(at.Role)), nil
}

// sockaddr says an address in the kernel's words.
func sockaddr(a netip.AddrPort) unix.Sockaddr {
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().Unmap().As4()}
}

// errNoSocket is the error of asking for a socket that the Config does not bring about.
var errNoSocket = errors.New("there is no such socket")

// Listener gives a TCP socket to accept on.
func (h *Host) Listener(at dataplane.Socket) (net.Listener, error) {
	h.look.RLock()
	defer h.look.RUnlock()
	s := h.sockets[at]
	if s == nil || at.Network != "tcp" {
		return nil, fmt.Errorf("%w: %s %s %s", errNoSocket, at.VPC, at.Network, at.Address)
	}
	return net.FileListener(s.file)
}

// Packets gives a UDP socket.
func (h *Host) Packets(at dataplane.Socket) (net.PacketConn, error) {
	h.look.RLock()
	defer h.look.RUnlock()
	s := h.sockets[at]
	if s == nil || at.Network != "udp" {
		return nil, fmt.Errorf("%w: %s %s %s", errNoSocket, at.VPC, at.Network, at.Address)
	}
	return net.FilePacketConn(s.file)
}

// Dial makes a connection from an address of a VPC.
func (h *Host) Dial(ctx context.Context, c dataplane.Call) (net.Conn, error) {
	kind := unix.SOCK_STREAM
	switch c.Network {
	case "tcp":
	case "udp":
		kind = unix.SOCK_DGRAM
	default:
		return nil, fmt.Errorf("there is no network %q", c.Network)
	}
	if !c.From.Is4() || !c.To.Addr().Is4() {
		return nil, fmt.Errorf("a call from %s to %s is not of IPv4", c.From, c.To)
	}
	fd := -1
	if err := h.within(c.VPC, func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		return err
	}); err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), c.Network) // it waits as files do, with a deadline
	conn, err := connect(ctx, f, c)
	err = errors.Join(err, f.Close())
	if err != nil {
		return nil, fmt.Errorf("from %s to %s: %w", c.From, c.To, err)
	}
	return conn, nil
}

// within does something in a VPC's namespace.
func (h *Host) within(vpc string, do func() error) error {
	h.look.RLock()
	defer h.look.RUnlock()
	k := h.kernels[vpc]
	if k == nil {
		return fmt.Errorf("there is no VPC %s here", vpc)
	}
	return netns.Do(k.ns, do)
}

// connect connects a socket and waits until it is or the context ends.
func connect(ctx context.Context, f *os.File, c dataplane.Call) (net.Conn, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = f.SetDeadline(time.Unix(1, 0)) }) // a closed file needs no deadline
	defer stop()
	asked := false
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		if !asked {
			asked = true
			if failed = unix.Bind(int(fd), sockaddr(netip.AddrPortFrom(c.From, 0))); failed != nil {
				return true
			}
			failed = unix.Connect(int(fd), sockaddr(c.To))
			if errors.Is(failed, unix.EINPROGRESS) {
				failed = nil
				return false
			}
			return true
		}
		if state, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
			failed = err
		} else if state != 0 {
			failed = syscall.Errno(state)
		} else if _, err := unix.Getpeername(int(fd)); err != nil {
			return false // woken for nothing
		}
		return true
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	return net.FileConn(f)
}
