package metadata

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// The bounds of what guests can make the service hold.
const (
	mostConnections = 64               // of one address
	headerTime      = 5 * time.Second  // for the head of a request
	answerTime      = 10 * time.Second // for all of it
	mostHeader      = 8 << 10          // bytes
)

// defaultHops makes a socket send with the hop limit that the system has for all.
const defaultHops = -1

// connKey is the context key of the connection that a request came on.
type connKey struct{}

// ConnContext is for http.Server: it keeps the connection of a request, whose hop limit the answer to a request for a token sets.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// setHops sets the hop limit of what is sent from now on. Connections that are not the network's have none.
func setHops(ctx context.Context, n int) error {
	c := ctx.Value(connKey{})
	if held, ok := c.(*counted); ok {
		c = held.Conn
	}
	if t, ok := c.(*net.TCPConn); ok {
		return setTTL(t, n)
	}
	return nil
}

// Serve serves the instances of a VPC on a listener until ctx ends, and closes it.
func (s *Service) Serve(ctx context.Context, vpc string, l net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(vpc), ConnContext: ConnContext, BaseContext: func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: headerTime, ReadTimeout: answerTime, WriteTimeout: answerTime, MaxHeaderBytes: mostHeader,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	err := server.Serve(&bounded{Listener: l, held: map[netip.Addr]int{}})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// bounded is a listener that lets nobody hold more than so many connections.
type bounded struct {
	net.Listener

	mu   sync.Mutex
	held map[netip.Addr]int // by address; guarded by mu
}

// Accept waits for a connection that may be held.
func (l *bounded) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, _ := netip.ParseAddrPort(c.RemoteAddr().String()) // what is no address is counted as one
		a := from.Addr().Unmap()
		l.mu.Lock()
		l.held[a]++
		over := l.held[a] > mostConnections
		l.mu.Unlock()
		held := &counted{Conn: c, release: sync.OnceFunc(func() { l.release(a) })}
		if !over {
			return held, nil
		}
		_ = held.Close() // it is refused
	}
}

// release forgets a connection.
func (l *bounded) release(a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[a]--; l.held[a] == 0 {
		delete(l.held, a)
	}
}

// counted is a connection that is held.
type counted struct {
	net.Conn
	release func()
}

// Close closes it.
func (c *counted) Close() error {
	c.release()
	return c.Conn.Close()
}
