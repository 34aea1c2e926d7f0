package test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// pathChunk is how much a path carries at a time, and mostOnPath how much of that may be on its way: more than any delay times any
// rate that is measured.
const (
	pathChunk  = 64 << 10
	mostOnPath = 4096
)

// path carries TCP connections to an address. It can be cut, which loses what is on its way, and slowed.
type path struct {
	net.Listener
	to    string
	over  atomic.Pointer[string] // where new connections go instead
	delay atomic.Int64           // nanoseconds, each way
	shut  atomic.Bool            // new connections are refused

	mu    sync.Mutex
	conns map[net.Conn]bool // of both sides, and whether it is that of who opened it; guarded by mu
	all   sync.WaitGroup
}

// newPath opens a path to an address.
func newPath(t testing.TB, to string) *path {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &path{Listener: l, to: to, conns: map[net.Conn]bool{}}
	p.all.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close() // its end is what the goroutine waits for
		p.shut.Store(true)
		p.cut()
		p.all.Wait()
	})
	return p
}

// address is where the path begins.
func (p *path) address() string { return p.Addr().String() }

// accept takes connections until the listener ends.
func (p *path) accept() {
	for {
		near, err := p.Accept()
		if err != nil {
			return
		}
		if p.shut.Load() {
			reset(near)
			continue
		}
		p.all.Go(func() { p.carry(near) })
	}
}

// carry carries one connection until either side ends it.
func (p *path) carry(near net.Conn) {
	to := p.to
	if over := p.over.Load(); over != nil {
		to = *over
	}
	far, err := net.Dial("tcp", to)
	if err != nil {
		reset(near)
		return
	}
	p.mu.Lock()
	p.conns[near], p.conns[far] = true, false
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.flow(far, near) })
	both.Go(func() { p.flow(near, far) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, near)
	delete(p.conns, far)
	p.mu.Unlock()
	_, _ = near.Close(), far.Close() // both have ended
}

// chunk is a piece of a flow, and when it is due at the other side.
type chunk struct {
	bytes []byte
	due   time.Time
}

// flow carries one direction. Its end is passed on as an end.
func (p *path) flow(to, from net.Conn) {
	on := make(chan chunk, mostOnPath)
	var sending sync.WaitGroup
	sending.Go(func() {
		var failed error
		for c := range on {
			if wait := time.Until(c.due); wait > 0 {
				time.Sleep(wait) // which is what the path is for
			}
			if failed == nil {
				_, failed = to.Write(c.bytes)
			}
		}
		if t, ok := to.(*net.TCPConn); ok && failed == nil {
			_ = t.CloseWrite() // it may have ended
		}
	})
	for {
		b := make([]byte, pathChunk)
		n, err := from.Read(b)
		if n > 0 {
			on <- chunk{b[:n], time.Now().Add(time.Duration(p.delay.Load()))}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !p.opener(to) {
				reset(to)
			}
			break
		}
	}
	close(on)
	sending.Wait()
}

// opener says whether a connection is that of who opened it: it hears of the other's end as of an end.
func (p *path) opener(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns[c]
}

// cut resets all connections; what is on its way is lost. It says how many there were.
func (p *path) cut() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		reset(c)
	}
	return len(p.conns) / 2
}

// hangUp ends all connections for those who opened them as a box on the way does that closes them in good order, and takes what they still
// send, which is lost. For the other side it is a cut.
func (p *path) hangUp() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c, opener := range p.conns {
		if t, ok := c.(*net.TCPConn); ok && opener {
			_ = t.CloseWrite() // it may have ended
		} else {
			reset(c)
		}
	}
	return len(p.conns) / 2
}

// cutEach cuts the path again and again until ctx ends, and says how often there was something to cut.
func (p *path) cutEach(ctx context.Context, pause time.Duration, cut func() int) (cuts int) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return cuts
		case <-tick.C:
			if cut() > 0 {
				cuts++
			}
		}
	}
}

// reset ends a connection as a broken network does.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // it may have ended
	}
	_ = c.Close() // it may have ended
}
