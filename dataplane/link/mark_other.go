//go:build !linux

package link

import "net"

// Mark is the mark of a connection that came through a link; other systems have none.
func Mark(conn net.Conn) int {
	if c, ok := conn.(*Conn); ok {
		return c.Mark()
	}
	return 0
}

// mark is none.
func mark(net.Conn) uint32 { return 0 }
