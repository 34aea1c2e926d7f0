package datachannel

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// path is a connection between two ends with a rate, a delay, and buffers of the kernel's on the way.
type path struct {
	rate  int           // bytes a second
	delay time.Duration // in one direction
	ends  [2]*pathConn
}

// pathConn is one end of it.
type pathConn struct {
	out  chan *Message // to the bottleneck
	in   chan *Message
	gone chan struct{}
	once sync.Once
}

// socket is how many frames fit into the buffers of the kernels before the bottleneck: 2 MB of large ones.
const socket = 32

// newPath makes a path.
func newPath(rate int, delay time.Duration) *path {
	p := &path{rate: rate, delay: delay}
	for i := range p.ends {
		p.ends[i] = &pathConn{out: make(chan *Message, socket), in: make(chan *Message, 4096), gone: make(chan struct{})}
	}
	for i := range p.ends {
		go p.carry(p.ends[i], p.ends[1-i])
	}
	return p
}

// carry carries what one end sends.
func (p *path) carry(from, to *pathConn) {
	for {
		select {
		case m := <-from.out:
			time.Sleep(time.Duration(len(m.Payload)+FrameOverhead) * time.Second / time.Duration(p.rate))
			time.AfterFunc(p.delay, func() {
				select {
				case to.in <- m:
				default:
				}
			})
		case <-from.gone:
			return
		}
	}
}

// dial gives an end.
func (p *path) dial(role Role) Dial {
	return func(context.Context) (Conn, error) { return p.ends[role], nil }
}

// Send sends when there is room.
func (c *pathConn) Send(m *Message) error {
	b, err := m.Bytes()
	if err != nil {
		return err
	}
	if m, err = ParseFrame(bytes.Clone(b)); err != nil {
		return err
	}
	if m.Type == typeState {
		return nil
	}
	select {
	case c.out <- m:
		return nil
	case <-c.gone:
		return io.ErrClosedPipe
	}
}

// Receive gives what came.
func (c *pathConn) Receive() (*Message, error) {
	select {
	case m := <-c.in:
		return m, nil
	case <-c.gone:
		return nil, io.ErrUnexpectedEOF
	}
}

// Ping is answered at once.
func (c *pathConn) Ping(answered func()) error {
	answered()
	return nil
}

// Close closes the end.
func (c *pathConn) Close() error {
	c.once.Do(func() { close(c.gone) })
	return nil
}

// TestWindow fills paths of all kinds, and keeps an echo beside a download near to what it is without.
func TestWindow(t *testing.T) {
	for name, c := range map[string]struct {
		rate  int
		delay time.Duration // of one direction
		least float64       // part of the rate
		echo  time.Duration // at most
	}{
		"near":     {40 << 20, 200 * time.Microsecond, 0.9, 10 * time.Millisecond},
		"city":     {20 << 20, 5 * time.Millisecond, 0.9, 40 * time.Millisecond},
		"ocean":    {10 << 20, 75 * time.Millisecond, 0.85, 400 * time.Millisecond},
		"far":      {20 << 20, 100 * time.Millisecond, 0.8, 600 * time.Millisecond},
		"slow":     {1 << 20, 20 * time.Millisecond, 0.9, 700 * time.Millisecond},
		"very far": {40 << 20, 300 * time.Millisecond, 0.3, 1500 * time.Millisecond}, // it takes seconds until the windows are open
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPath(c.rate, c.delay)
				a := NewAgent(p.dial(Agent), AgentOptions{SessionID: "session", Kind: Port, Properties: properties(forwarding)})
				var ran sync.WaitGroup
				ran.Go(func() { _ = a.Run(t.Context()) })
				go func() { _, _, _ = a.Handshake(t.Context()) }()
				s, err := Open(t.Context(), Start{SessionID: "session"}, ClientOptions{dial: p.dial(Client)})
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					from, _, err := a.Accept(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					go func() {
						for data := make([]byte, 32<<10); err == nil; {
							_, err = from.Write(data)
						}
					}()
					echo, _, err := a.Accept(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.Copy(echo, echo)
				}()
				download, err := s.OpenPort(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				conn, err := s.OpenPort(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				const seconds = 15
				begun := time.Now()
				var all sync.WaitGroup
				all.Go(func() {
					got := 0
					for b := make([]byte, 64<<10); time.Since(begun) < seconds*time.Second; {
						n, err := download.Read(b)
						if err != nil {
							t.Error(err)
							return
						}
						got += n
					}
					part := float64(got) / seconds / float64(c.rate)
					t.Logf("%.2f of the rate, window %d KiB, round trip %v", part, a.channel.out.window.size>>10, a.channel.out.window.shortest)
					if part < c.least {
						t.Errorf("that is not %.2f", c.least)
					}
				})
				var took []time.Duration
				for b := []byte("x"); time.Since(begun) < (seconds-5)*time.Second; {
					time.Sleep(50 * time.Millisecond)
					sent := time.Now()
					if _, err := conn.Write(b); err != nil {
						t.Fatal(err)
					}
					if _, err := io.ReadFull(conn, b); err != nil {
						t.Fatal(err)
					}
					took = append(took, time.Since(sent))
				}
				all.Wait()
				slices.Sort(took)
				t.Logf("echo %v, at most %v", took[len(took)/2], took[len(took)-1])
				if took[len(took)/2] > c.echo {
					t.Errorf("that is more than %v", c.echo)
				}
				_ = s.Close()
				_ = a.channel.Close()
				for _, end := range p.ends {
					_ = end.Close()
				}
				ran.Wait()
				time.Sleep(time.Second) // what is on its way arrives
			})
		})
	}
}
