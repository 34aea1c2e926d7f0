package session

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// streamed is the client's end of a connection, in memory: its input ends with an error.
type streamed struct {
	net.Conn
	input  chan []byte
	end    error
	closed chan struct{}
}

// Read gives the input and then its end.
func (s *streamed) Read(b []byte) (int, error) {
	select {
	case in, ok := <-s.input:
		if !ok {
			return 0, s.end
		}
		return copy(b, in), nil
	case <-s.closed:
		return 0, net.ErrClosed
	}
}

// CloseWrite is nothing to see here.
func (*streamed) CloseWrite() error { return nil }

// Close ends reading, once.
func (s *streamed) Close() error {
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}

// TestJoinBroken resets the target's connection if it has not got all, and ends it if it has.
func TestJoinBroken(t *testing.T) {
	for name, c := range map[string]struct {
		end   error // of the client's input; nil if the session ends before
		clean bool
	}{
		"all":                  {io.EOF, true},
		"the connection broke": {errors.New("the session has ended: idle"), false},
		"the session ended":    {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			to, err := tcp(net.Dial("tcp", l.Addr().String()))
			if err != nil {
				t.Fatal(err)
			}
			target, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = target.Close() }()
			if err := target.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			client := &streamed{input: make(chan []byte), end: c.end, closed: make(chan struct{})}
			joined := make(chan struct{})
			go func() {
				defer close(joined)
				(&hold{extended: true}).join(ctx, client, to)
			}()
			client.input <- []byte("half")
			if _, err := io.ReadFull(target, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			if c.end == nil {
				cancel()
			} else {
				close(client.input)
			}
			_, err = target.Read(make([]byte, 1))
			if want := map[bool]error{true: io.EOF, false: syscall.ECONNRESET}[c.clean]; !errors.Is(err, want) {
				t.Errorf("%v, not %v", err, want)
			}
			_ = target.Close()
			<-joined
		})
	}
}
