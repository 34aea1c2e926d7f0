package metadata

import (
	"net"
	"syscall"
)

// setTTL sets the hop limit of what a connection sends, of either version of IP; -1 is the system's.
func setTTL(c *net.TCPConn, n int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		if set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL, n); set == nil && c.LocalAddr().(*net.TCPAddr).IP.To4() == nil {
			set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_UNICAST_HOPS, n)
		}
	})
	if err != nil {
		return err
	}
	return set
}
