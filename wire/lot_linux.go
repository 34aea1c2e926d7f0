package wire

import (
	"cmp"
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vennel/vennel/internal/coalesce"
)

// sweeping is how often the lot looks for peers that have been silent for too long.
const sweeping = 10 * time.Second

// lot is where streams are parked: an epoll, in which each of them is armed for one event. One goroutine waits for all.
type lot struct {
	sweep time.Duration // how often it looks for silent peers; zero is sweeping
	once  sync.Once
	file  *os.File        // the epoll; nil where there is none
	raw   syscall.RawConn // of file

	mu      sync.Mutex
	streams map[uint64]*stream // by their spot, which is what the epoll knows: a descriptor may be another's by the time an event is read; guarded by mu
	last    uint64             // spot; guarded by mu
}

// open makes the epoll. It is closed when ctx ends, as streams are.
func (p *lot) open(ctx context.Context) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return
	}
	if err := unix.SetNonblock(fd, true); err != nil { // with which Go waits for it as for a socket
		_ = unix.Close(fd)
		return
	}
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err = errors.Join(err, file.SetReadDeadline(time.Time{})); err != nil { // Go cannot wait for it
		_ = file.Close()
		return
	}
	p.file, p.raw, p.streams = file, raw, map[uint64]*stream{}
	context.AfterFunc(ctx, func() { _ = file.Close() })
	go p.watch()
}

// spot finds a place for a stream. It gives what arms it there, which fails when its connection is closed; nil without a place.
func (p *lot) spot(s *stream, l *listener) (arm func() error) {
	socket := socketOf(s)
	if socket == nil {
		return nil
	}
	p.once.Do(func() { p.open(s.mux.base) })
	if p.file == nil {
		return nil
	}
	how := unix.EPOLL_CTL_MOD
	if l.spot == 0 {
		how = unix.EPOLL_CTL_ADD
		p.mu.Lock()
		p.last++
		l.spot = p.last
		p.streams[l.spot] = s
		p.mu.Unlock()
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(uint32(l.spot)), Pad: int32(l.spot >> 32)}
	return func() (err error) {
		failed := socket.Control(func(fd uintptr) {
			failed := p.raw.Control(func(epoll uintptr) { err = unix.EpollCtl(int(epoll), how, int(fd), &event) })
			err = errors.Join(err, failed)
		})
		return errors.Join(err, failed)
	}
}

// leave gives a spot up.
func (p *lot) leave(l *listener) {
	p.mu.Lock()
	delete(p.streams, l.spot)
	p.mu.Unlock()
}

// socketOf gives the socket of a stream, or nil: one within another connection has none.
func socketOf(s *stream) syscall.RawConn {
	c, ok := coalesce.Under(s.below()).(syscall.Conn)
	if !ok {
		return nil
	}
	socket, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return socket
}

// watch resumes the streams of which something has come, or nothing for too long.
func (p *lot) watch() {
	events := make([]unix.EpollEvent, 256)
	sweep := cmp.Or(p.sweep, sweeping)
	for swept := time.Now(); ; {
		n := 0
		if err := p.file.SetReadDeadline(swept.Add(sweep)); err != nil {
			return
		}
		err := p.raw.Read(func(epoll uintptr) bool {
			for err := error(unix.EINTR); errors.Is(err, unix.EINTR); {
				n, err = unix.EpollWait(int(epoll), events, 0)
			}
			return n != 0
		})
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) || n < 0 {
			return
		}
		var come []*stream
		p.mu.Lock()
		for _, e := range events[:n] {
			if s := p.streams[uint64(uint32(e.Fd))|uint64(uint32(e.Pad))<<32]; s != nil {
				come = append(come, s)
			}
		}
		if now := time.Now(); now.Sub(swept) >= sweep {
			swept = now
			for _, s := range p.streams {
				if s.listener.Load().late(now) {
					come = append(come, s)
				}
			}
		}
		p.mu.Unlock()
		for _, s := range come {
			s.resume()
		}
	}
}
