//go:build unix

package session

import (
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// The sizes of a terminal's buffers, in bytes.
const (
	mostTyped = 4 << 20 // that wait for the program to read them; then the client waits
	mostRest  = 1 << 20 // that are read after the program has ended: whoever it left behind may write for ever
	typedAt   = 4 << 10 // that are given to the kernel at a time
	unreadFew = 1 << 10 // that a program may leave unread and yet count as reading
)

// stuck is the time after which a program that reads nothing is taken for one that does not read.
const stuck = 100 * time.Millisecond

// terminal is a pseudo terminal, seen from the side of the one who sits at it. The other side is kept open as well, so that the end of the
// program is known from the program alone. To type never waits for the program, so that whoever types stays able to interrupt.
type terminal struct {
	master, slave *os.File
	reading       syscall.RawConn
	polled        bool // reads and writes can be told to stop waiting, which macOS does not offer
	rest          int  // bytes that were read after the program had ended; of the reading goroutine

	writing sync.WaitGroup
	mu      sync.Mutex
	changed *sync.Cond // of what mu guards
	typed   []byte     // waits to be written; guarded by mu
	count   int        // how often something was typed; guarded by mu
	hurried bool       // the writer has a deadline; guarded by mu
	gone    bool       // the terminal is closed; guarded by mu
}

// openTerminal makes a pseudo terminal of the size that terminals have when nobody says another.
func openTerminal() (*terminal, error) {
	blocking, slave, err := pty.Open()
	if err != nil {
		return nil, err
	}
	master, err := polled(blocking)
	if err != nil {
		return nil, errors.Join(err, slave.Close())
	}
	t := &terminal{master: master, slave: slave}
	t.changed = sync.NewCond(&t.mu)
	t.polled = master.SetDeadline(time.Time{}) == nil
	if t.reading, err = master.SyscallConn(); err == nil {
		err = t.resize(80, 24)
	}
	if err != nil {
		return nil, errors.Join(err, master.Close(), slave.Close())
	}
	return t, nil
}

// polled makes a file of which reads and writes wait without a thread and can be told to stop waiting, of one that is closed.
func polled(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// start starts a command on the terminal, which becomes its user's.
func (t *terminal) start(cmd *exec.Cmd, a *account) error {
	a.dress(cmd)
	if c := a.credential; c != nil {
		if err := t.slave.Chown(int(c.Uid), -1); err != nil {
			return err
		}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = t.slave, t.slave, t.slave
	cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	if err := cmd.Start(); err != nil {
		return err
	}
	t.writing.Go(t.write)
	return nil
}

// resize tells the program how large the terminal is.
func (t *terminal) resize(cols, rows int) (err error) {
	size := &unix.Winsize{Col: uint16(min(cols, math.MaxUint16)), Row: uint16(min(rows, math.MaxUint16))}
	t.control(func(fd int) { err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, size) })
	return err
}

// Read reads what the program shows: all that is there, as far as p has room, so that it goes on in large pieces. After ended was
// called the end of what is there is the end.
func (t *terminal) Read(p []byte) (n int, err error) {
	if !t.polled {
		if n, err = t.master.Read(p); err != nil {
			err = io.EOF
		}
		return n, err
	}
	take := func(fd uintptr) bool {
		for n < len(p) {
			m, failed := unix.Read(int(fd), p[n:])
			switch {
			case errors.Is(failed, unix.EINTR):
				continue
			case errors.Is(failed, unix.EAGAIN):
				return n > 0
			case failed != nil || m <= 0: // EIO when everybody has closed it
				err = io.EOF
				return true
			}
			n += m
		}
		return true
	}
	switch failed := t.reading.Read(take); {
	case errors.Is(failed, os.ErrDeadlineExceeded):
		if t.reading.Control(func(fd uintptr) { take(fd) }) != nil || n == 0 {
			return 0, io.EOF
		}
		if t.rest += n; t.rest > mostRest {
			return 0, io.EOF
		}
		return n, nil
	case failed != nil:
		return 0, io.EOF
	case n > 0:
		return n, nil
	}
	return 0, err
}

// ended says that the program has ended, so that nothing more is to be waited for.
func (t *terminal) ended() {
	if t.polled {
		_ = t.master.SetReadDeadline(time.Now()) // it fails when the terminal is closed, which the reader notices
	} else {
		_ = t.slave.Close()
	}
}

// close closes the terminal; the kernel sends SIGHUP to the program.
func (t *terminal) close() {
	t.mu.Lock()
	t.gone = true
	t.changed.Broadcast()
	t.mu.Unlock()
	_ = t.slave.Close()
	_ = t.master.Close()
	if t.polled { // otherwise the writer may wait until the program is gone
		t.writing.Wait()
	}
}

// Write types. It waits only for room, and only when the program has left a lot unread. A key that interrupts and finds much before
// it is given a moment to get through.
func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !t.gone && len(t.typed) > 0 && len(t.typed)+len(p) > mostTyped {
		t.changed.Wait()
	}
	if t.gone {
		return 0, io.ErrClosedPipe
	}
	if len(t.typed) > 0 && !t.hurried && slices.ContainsFunc(p, t.keys().has) {
		t.hurry(time.Now().Add(stuck))
	}
	t.typed = append(t.typed, p...)
	t.count++
	t.changed.Broadcast()
	return len(p), nil
}

// hurry says until when the writer may wait for the program; zero is for ever. t.mu is held.
func (t *terminal) hurry(until time.Time) {
	t.hurried = !until.IsZero()
	_ = t.master.SetWriteDeadline(until) // it fails when the terminal is closed, which the writer notices
}

// write gives the kernel what is typed. When the program does not read, the kernel has no room, and a key that interrupts cannot reach the
// line discipline either. So it does then what the line discipline does with such a key: it forgets what was typed before.
func (t *terminal) write() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		for len(t.typed) == 0 && !t.gone {
			t.changed.Wait()
		}
		if t.gone {
			return
		}
		chunk, keys := t.typed[:min(len(t.typed), typedAt)], t.keys()
		if at := slices.IndexFunc(chunk, keys.has); at > 0 {
			chunk = chunk[:at]
		} else if at == 0 {
			chunk = chunk[:1]
			t.insist(chunk[0])
		}
		t.mu.Unlock()
		n, err := t.master.Write(chunk)
		t.mu.Lock()
		if t.typed = t.typed[n:]; len(t.typed) == 0 {
			t.typed = nil // gives the memory back
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.hurry(time.Time{})
			for at, key := range slices.Backward(t.typed) {
				if keys.has(key) {
					t.typed = t.typed[at:]
					t.flush()
					break
				}
			}
		case err != nil:
			t.gone = true
		case t.hurried && t.typed == nil:
			t.hurry(time.Time{})
		}
		t.changed.Broadcast()
	}
}

// insist presses a key that interrupts once more, in a moment, if it was not seen: then the program has left so much unread that the kernel
// cannot look at it. t.mu is held.
func (t *terminal) insist(key byte) {
	count := t.count
	time.AfterFunc(stuck, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.gone && t.count == count && len(t.typed) == 0 && t.unread() >= unreadFew {
			t.flush()
			t.typed = append(t.typed, key)
			t.changed.Broadcast()
		}
	})
}

// keys are those that make the line discipline send a signal and forget what was typed before.
type keys [3]byte

// has says whether a byte is one of them. That which stands for none is none.
func (k keys) has(b byte) bool { return b != noKey && (b == k[0] || b == k[1] || b == k[2]) }

// keys asks which keys interrupt at present: a program that wants all keys for itself has none.
func (t *terminal) keys() (k keys) {
	k = keys{noKey, noKey, noKey}
	t.control(func(fd int) {
		if s, err := unix.IoctlGetTermios(fd, getSettings); err == nil && s.Lflag&unix.ISIG != 0 && s.Lflag&unix.NOFLSH == 0 {
			k = keys{s.Cc[unix.VINTR], s.Cc[unix.VQUIT], s.Cc[unix.VSUSP]}
		}
	})
	return k
}

// unread is how many bytes the program has left unread in the kernel.
func (t *terminal) unread() (n int) {
	t.control(func(fd int) { n, _ = unix.IoctlGetInt(fd, countUnread) })
	return n
}

// control does something with the slave, unless the terminal is closed.
func (t *terminal) control(do func(fd int)) {
	if c, err := t.slave.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { do(int(fd)) })
	}
}
