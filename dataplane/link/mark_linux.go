package link

import (
	"net"

	"golang.org/x/sys/unix"
)

// Mark is the mark of a connection where it was accepted: the number of the route table that led to a gateway endpoint, or 0.
func Mark(conn net.Conn) int {
	if c, ok := conn.(*Conn); ok {
		return c.Mark()
	}
	return int(mark(conn))
}

// mark reads a socket's mark.
func mark(conn net.Conn) (value uint32) {
	c, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { // a socket that is gone has no mark
		n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK)
		if err == nil {
			value = uint32(n)
		}
	})
	return value
}
