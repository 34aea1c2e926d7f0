package session

import "golang.org/x/sys/unix"

// The requests that a terminal understands.
const (
	getSettings = unix.TCGETS
	countUnread = unix.TIOCINQ
	noKey       = 0 // _POSIX_VDISABLE
)

// flush forgets what was typed and not yet read: what is on its way to the line discipline, and then what is there.
func (t *terminal) flush() {
	if c, err := t.master.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _ = unix.IoctlSetInt(int(fd), unix.TCFLSH, unix.TCOFLUSH) }) // a terminal that is closed has nothing
	}
	t.control(func(fd int) { _ = unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) })
}
