package cmd

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/link"
	"github.com/vennel/vennel/internal/coalesce"
	"github.com/vennel/vennel/service/ec2/endpoint"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// arrived is a connection that was accepted in a private network.
type arrived struct {
	net.Conn
	at       endpoint.Arrival
	endpoint string    // the id of the one through which it has come
	in       *arrivals // of a VPC; nil for a gateway's
}

// Close ends the connection.
func (c *arrived) Close() error {
	if c.in != nil {
		c.in.mu.Lock()
		delete(c.in.open, c)
		c.in.mu.Unlock()
	}
	return c.Conn.Close()
}

// cut ends the connection for whoever has it, who closes it then: one that waits in an epoll would not hear of Close.
func (c *arrived) cut() {
	socket, ok := c.Conn.(*net.TCPConn)
	if !ok {
		_ = c.Close()
		return
	}
	_ = socket.CloseWrite() // it may be closed already
	_ = socket.CloseRead()
}

// SyscallConn implements syscall.Conn for those of a socket.
func (c *arrived) SyscallConn() (syscall.RawConn, error) {
	conn, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return conn.SyscallConn()
}

// remember is http.Server.ConnContext: it keeps where a connection was accepted.
func remember(ctx context.Context, conn net.Conn) context.Context {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if c, ok := coalesce.Under(conn).(*arrived); ok {
		return endpoint.WithArrival(ctx, c.at)
	}
	return ctx
}

// arrivals are the connections of a socket in a VPC. Those to an address at which no endpoint is are reset, as by a machine that
// has nothing at that port.
type arrivals struct {
	net.Listener
	ctx       context.Context //nolint:containedctx // Accept has none
	endpoints *endpoint.Endpoints
	vpc       string

	mu   sync.Mutex
	open map[*arrived]struct{} // guarded by mu
}

// Accept waits for a connection through an endpoint.
func (l *arrivals) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		at := endpoint.Arrival{VPC: l.vpc, Local: peerOf(conn.LocalAddr()).Addr(), Table: link.Mark(conn)}
		found, err := l.endpoints.At(l.ctx, at)
		if err != nil {
			link.Refuse(conn)
			continue
		}
		c := &arrived{conn, at, found.ID(), l}
		l.mu.Lock()
		l.open[c] = struct{}{}
		l.mu.Unlock()
		if !l.over(l.ctx, c) { // asked now, because from now on it is cut
			return c, nil
		}
		_ = c.Close()
	}
}

// over says whether the endpoint of a connection is gone.
func (l *arrivals) over(ctx context.Context, c *arrived) bool {
	found, ok, err := l.endpoints.Arrived(ctx, c.at.VPC, c.at.Local, c.at.Table)
	return err == nil && (!ok || found.ID() != c.endpoint)
}

// cut ends the connections whose endpoint is gone, whenever something in EC2 has changed until ctx ends, and then once more: the
// VPC may have gone with its last endpoint. Nobody at their other ends could say that they are over: no packet comes through any
// more.
func (l *arrivals) cut(ctx context.Context, changed *store.Subscription) {
	for last := false; !last; {
		_, err := changed.Next(ctx)
		last = err != nil
		l.mu.Lock()
		all := slices.Collect(maps.Keys(l.open))
		l.mu.Unlock()
		for _, c := range all {
			if l.over(context.WithoutCancel(ctx), c) {
				c.cut()
			}
		}
	}
}

// front serves the services on a socket of the private network until ctx ends: network.Config's Front.
func (s *Server) front(web *http.Server) func(context.Context, dataplane.Socket, net.Listener) error {
	return func(ctx context.Context, socket dataplane.Socket, l net.Listener) error {
		defer context.AfterFunc(ctx, func() { _ = l.Close() })()
		if socket.VPC != "" {
			in := &arrivals{Listener: l, ctx: ctx, endpoints: s.endpoints, vpc: socket.VPC, open: map[*arrived]struct{}{}}
			changed := s.db.Subscribe(resource.Topic)
			var cutting sync.WaitGroup
			defer cutting.Wait()
			defer changed.Close()
			cutting.Go(func() { in.cut(ctx, changed) })
			l = in
		}
		var err error
		if socket.Address.Port() == httpsPort {
			err = web.ServeTLS(coalesce.Listener{Listener: l}, "", "")
		} else {
			err = web.Serve(l)
		}
		if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	}
}

// httpsPort is the port with TLS.
const httpsPort = 443

// carried is a listener whose connections are handed to it.
type carried struct {
	conns chan net.Conn
	done  chan struct{}
}

// put hands a connection over; it waits until it is accepted, or the listener closed.
func (c *carried) put(conn net.Conn) {
	select {
	case c.conns <- conn:
	case <-c.done:
		_ = conn.Close()
	}
}

// Accept waits for a connection.
func (c *carried) Accept() (net.Conn, error) {
	select {
	case conn := <-c.conns:
		return conn, nil
	case <-c.done:
		return nil, net.ErrClosed
	}
}

// Close is done by whoever closes done.
func (c *carried) Close() error { return nil }

// Addr is no address.
func (c *carried) Addr() net.Addr { return &net.TCPAddr{} }
