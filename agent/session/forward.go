package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vennel/vennel/datachannel"
)

// The limits of forwarding.
const (
	mostStreams = 1000             // connections at a time
	dialTime    = 30 * time.Second // for each address
)

// forwarder connects to where a session forwards.
type forwarder struct {
	host, port string
	reserved   []netip.Addr
}

// dial connects, trying one address after the other. Without a host that is this machine. source: agent
func (f *forwarder) dial(ctx context.Context) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: dialTime}
	if f.host == "" {
		return tcp(d.DialContext(ctx, "tcp", net.JoinHostPort("localhost", f.port)))
	}
	addresses, err := target(ctx, f.host, f.reserved)
	if err != nil {
		return nil, err
	}
	var first error // the most relevant. source: agent
	for _, a := range addresses {
		conn, err := tcp(d.DialContext(ctx, "tcp", net.JoinHostPort(a.String(), f.port)))
		if err == nil {
			return conn, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = fmt.Errorf("%s has no address", f.host)
	}
	return nil, first
}

// tcp is a connection as what it is.
func tcp(conn net.Conn, err error) (*net.TCPConn, error) {
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// join moves bytes both ways until both have ended. A client that cannot end one direction by itself takes the other with it.
// A connection that breaks, or whose session ends, before the target has got all is reset, so that it does not take a part for all.
func (h *hold) join(ctx context.Context, client datachannel.PortConn, conn *net.TCPConn) {
	var whole atomic.Bool // the target has got all
	cut := func() {
		if !whole.Load() {
			_ = conn.SetLinger(0) // Close resets it; it may be closed
		}
		_ = conn.Close() // both may be closed
		_ = client.Close()
	}
	defer cut()
	defer context.AfterFunc(ctx, cut)()
	var up sync.WaitGroup
	up.Go(func() {
		_, err := io.Copy(conn, client)
		if err == nil {
			err = conn.CloseWrite()
		}
		whole.Store(err == nil)
		if err != nil || !h.extended {
			cut()
		}
	})
	_, err := io.Copy(client, conn)
	if err == nil {
		err = client.CloseWrite()
	}
	switch {
	case errors.Is(err, errors.ErrUnsupported): // the target has ended both directions
		_ = conn.Close()
		_ = client.Close()
	case err != nil:
		cut()
	}
	up.Wait()
}

// forward forwards the client's connections until the session ends, or the only one does. source: agent
func (h *hold) forward(ctx context.Context) Result {
	f := &forwarder{host: h.plan.port.Host, port: string(h.plan.port.PortNumber)}
	if f.host != "" && h.Reserved != nil {
		var err error
		if f.reserved, err = h.Reserved(ctx); err != nil {
			h.Log.Warn("the addresses that are reserved in the VPC are not known", "error", err) // nor does the official agent insist
		}
	}
	if f.host != "" {
		if _, err := target(ctx, f.host, f.reserved); errors.Is(err, errForbidden) {
			return Result{Failed, err.Error()}
		}
	}
	if h.plan.port.Type != forwarding {
		return h.only(ctx, f)
	}
	var joined sync.WaitGroup
	defer joined.Wait()
	slots := make(chan struct{}, mostStreams)
	for {
		conn, refuse, err := h.channel.Accept(ctx)
		if err != nil {
			return Result{Status: Success}
		}
		select {
		case slots <- struct{}{}:
		default:
			refuse(fmt.Errorf("this session has %d connections already", mostStreams))
			continue
		}
		joined.Go(func() {
			defer func() { <-slots }()
			to, err := f.dial(ctx)
			if err != nil {
				h.Log.Info("a connection could not be made", "host", f.host, "port", f.port, "error", err)
				refuse(err)
				return
			}
			h.join(ctx, conn, to)
		})
	}
}

// forwarding is the type of sessions that forward any number of connections. source: agent
const forwarding = "LocalPortForwarding"

// only forwards the only connection of a session, such as ssh's, which is made at once. source: agent
func (h *hold) only(ctx context.Context, f *forwarder) Result {
	to, err := f.dial(ctx)
	if err != nil {
		return Result{Failed, fmt.Sprintf("Unable to connect to specified port: %v", err)} // source: agent
	}
	conn, _, err := h.channel.Accept(ctx)
	if err != nil {
		_ = to.Close() // nobody came
		return Result{Status: Success}
	}
	h.join(ctx, conn, to)
	return Result{Status: Success}
}
