//go:build !linux

package metadata

import (
	"errors"
	"net"
)

// setTTL is Linux's alone, as VPCs are. Elsewhere only what is no limit at all can be set.
func setTTL(_ *net.TCPConn, n int) error {
	if n == defaultHops {
		return nil
	}
	return errors.New("hop limits need Linux")
}
