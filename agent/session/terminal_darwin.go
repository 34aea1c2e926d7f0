package session

import "golang.org/x/sys/unix"

// The requests that a terminal understands. source: macOS, sys/ttycom.h and sys/filio.h
const (
	getSettings = unix.TIOCGETA
	countUnread = 0x4004667f // FIONREAD
	noKey       = 0xff       // _POSIX_VDISABLE
	flushRead   = 1          // FREAD
)

// flush forgets what was typed and not yet read.
func (t *terminal) flush() {
	t.control(func(fd int) { _ = unix.IoctlSetPointerInt(fd, unix.TIOCFLUSH, flushRead) }) // a terminal that is closed has nothing
}
