package link

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/vennel/vennel/dataplane"
)

// The waits between attempts to reach a control plane.
const (
	firstWait = 500 * time.Millisecond
	lastWait  = 30 * time.Second
)

// Dialled keeps a link to a control plane, and serves each with serve, until ctx ends. A link that breaks is made again.
func Dialled(ctx context.Context, address string, config *tls.Config, log *slog.Logger, serve func(context.Context, *yamux.Session) error) error {
	wait := firstWait
	for ctx.Err() == nil {
		began := time.Now()
		err := dialled(ctx, address, config, log, serve)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > lastWait {
			wait = firstWait
		}
		log.Warn("the link to the control plane is broken", "address", address, "error", err, "again_in", wait.String())
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, lastWait)
	}
	return nil
}

// dialled makes one link.
func dialled(ctx context.Context, address string, config *tls.Config, log *slog.Logger, serve func(context.Context, *yamux.Session) error) error {
	hello, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	conn, err := (&tls.Dialer{Config: config}).DialContext(hello, "tcp", address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	session, err := yamux.Server(conn, settings(log))
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	log.Info("linked to the control plane", "address", address)
	return errors.Join(serve(ctx, session), session.Close())
}

// ServeHost answers a control plane's calls on a link, until it breaks.
func ServeHost(host dataplane.Host) func(context.Context, *yamux.Session) error {
	return func(ctx context.Context, session *yamux.Session) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var calls sync.WaitGroup
		defer calls.Wait()
		defer cancel()
		for {
			stream, err := session.AcceptStream()
			if err != nil {
				return err
			}
			calls.Go(func() {
				defer context.AfterFunc(ctx, func() { _ = stream.Close() })()
				_ = serve(ctx, stream, host, func(ctx context.Context, conn net.Conn, rq *request) error { // the caller hears of it
					return carry(ctx, session, conn, host, rq)
				})
			})
		}
	}
}

// carry answers a call with the connections or packets of a socket, for as long as its stream is open.
func carry(ctx context.Context, session *yamux.Session, conn net.Conn, host dataplane.Host, rq *request) error {
	switch rq.Op {
	case opListen:
		l, err := host.Listener(*rq.Socket)
		if err != nil {
			return err
		}
		return accept(ctx, session, conn, l, *rq.Socket)
	case opPackets:
		socket, err := host.Packets(*rq.Socket)
		if err != nil {
			return err
		}
		return exchange(conn, socket)
	case opDial:
		out, err := host.Dial(ctx, *rq.Call)
		if err != nil {
			return err
		}
		if err := writeFrame(conn, answer{}); err != nil {
			return errors.Join(err, out.Close())
		}
		if rq.Call.Network == "udp" {
			splice(&packetStream{conn}, out)
			return nil
		}
		splice(conn, out)
		return nil
	case opSet, opFlows, opConsole: // are no sockets
	}
	return errors.New("there is no such socket")
}

// accept brings the connections of a listener to the control plane, each on a stream with its header.
func accept(ctx context.Context, session *yamux.Session, conn net.Conn, l net.Listener, at dataplane.Socket) error {
	socket, err := json.Marshal(at)
	if err == nil {
		err = writeFrame(conn, answer{})
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	go func() { // the other side closes the stream to end the listener
		_, _ = io.Copy(io.Discard, conn)
		_ = l.Close()
	}()
	for {
		c, err := l.Accept()
		if err != nil {
			return nil //nolint:nilerr // the listener is closed, and the answer has been given
		}
		go func() { // it ends with either side
			header := Header{From: addrPort(c.RemoteAddr()), To: addrPort(c.LocalAddr()), Socket: socket, Mark: mark(c)}
			Bring(session, c, &header)
		}()
		if ctx.Err() != nil {
			return l.Close()
		}
	}
}

// Bring brings a connection to the control plane with a header, and carries it until either side ends.
func Bring(session *yamux.Session, conn net.Conn, header *Header) {
	stream, err := session.Open()
	if err == nil {
		_, err = stream.Write(header.Append(nil))
	}
	if err != nil {
		_ = conn.Close()
		if stream != nil {
			_ = stream.Close()
		}
		return
	}
	splice(stream, conn)
}

// addrPort is the address of a TCP connection's end.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// exchange carries packets both ways until either side ends.
func exchange(conn net.Conn, socket net.PacketConn) error {
	if err := writeFrame(conn, answer{}); err != nil {
		return errors.Join(err, socket.Close())
	}
	var out sync.WaitGroup
	defer out.Wait()
	out.Go(func() {
		defer func() { _ = conn.Close() }() // ends the other direction
		b := make([]byte, mostPacket)
		for {
			n, from, err := socket.ReadFrom(b)
			if err != nil {
				return
			}
			if udp, ok := from.(*net.UDPAddr); ok && writePacket(conn, udp.AddrPort(), b[:n]) != nil {
				return
			}
		}
	})
	defer func() { _ = socket.Close() }() // ends the goroutine
	for {
		to, b, err := readPacket(conn)
		if err != nil {
			return nil //nolint:nilerr // the other side has ended, and the answer has been given
		}
		_, _ = socket.WriteTo(b, net.UDPAddrFromAddrPort(to)) // packets may be lost
	}
}

// splice carries bytes both ways until either side ends. A side that only stops writing ends the connection too: streams know
// no halves, and neither HTTP nor websockets need them.
func splice(a, b net.Conn) {
	var both sync.WaitGroup
	one := func(to, from net.Conn) {
		_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, 32<<10))
		_ = to.Close()
		_ = from.Close()
	}
	both.Go(func() { one(a, b) })
	both.Go(func() { one(b, a) })
	both.Wait()
}
