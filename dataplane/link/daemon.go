package link

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
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
	lastWait  = 10 * time.Second
)

// Dialled keeps a link to a control plane, and has serve use it, until ctx ends. A link that breaks is made again; each new reason
// is logged once.
func Dialled(ctx context.Context, address string, config *tls.Config, log *slog.Logger, serve func(context.Context, *yamux.Session) error) error {
	wait, said := firstWait, ""
	for ctx.Err() == nil {
		linked, err := dialled(ctx, address, config, log, serve)
		if ctx.Err() != nil {
			break
		}
		if linked {
			wait, said = firstWait, ""
		}
		if text := fmt.Sprint(err); text != said {
			log.Warn("there is no link to the control plane", "address", address, "error", err)
			said = text
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait)): // not all at once
		}
		wait = min(2*wait, lastWait)
	}
	return nil
}

// dialled makes one link, and says whether it came about.
func dialled(ctx context.Context, address string, config *tls.Config, log *slog.Logger, serve func(context.Context, *yamux.Session) error) (bool, error) {
	hello, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(hello, "tcp", address)
	if err != nil {
		return false, err
	}
	defer func() { _ = raw.Close() }() // as a whole, whatever TLS would like to say
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })()
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(hello); err != nil {
		return false, err
	}
	session, err := over(conn, log, diallerLeaves, yamux.Server)
	if err != nil {
		return false, err
	}
	defer func() { _ = session.Close() }()    // with its streams
	if _, err := session.Ping(); err != nil { // the control plane has found our certificate wanting, if nothing else
		_ = session.Close() // unless it is
		_, reason := session.AcceptStream()
		return false, errors.Join(reason, err)
	}
	log.Info("linked to the control plane", "address", address)
	return true, serve(ctx, session)
}

// ServeHost answers a control plane's calls on a link, until it breaks.
func ServeHost(host dataplane.Host) func(context.Context, *yamux.Session) error {
	served, room := newDaemon(host), make(chan struct{}, mostCarried)
	return func(ctx context.Context, session *yamux.Session) error {
		var calls sync.WaitGroup
		defer calls.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		l := &carrier{session, room}
		for {
			opened, err := session.AcceptStream()
			if err != nil {
				return err
			}
			calls.Go(func() {
				served.serve(ctx, &stream{Stream: opened}, func(ctx context.Context, conn net.Conn, rq *request) error {
					return l.carry(ctx, conn, host, rq)
				})
			})
		}
	}
}

// carrier brings connections over a link.
type carrier struct {
	session *yamux.Session
	room    chan struct{}
}

// carry answers a call with the connections or packets of a socket, for as long as its stream is open.
func (c *carrier) carry(ctx context.Context, conn net.Conn, host dataplane.Host, rq *request) error {
	switch rq.Op {
	case opListen:
		l, err := host.Listener(*rq.Socket)
		if err != nil {
			return err
		}
		return c.listen(ctx, conn, l, rq.Listener)
	case opPackets:
		socket, err := host.Packets(*rq.Socket)
		if err != nil {
			return err
		}
		if err := writeFrame(conn, answer{}); err != nil {
			return errors.Join(err, socket.Close())
		}
		exchange(conn, socket)
		return nil
	case opDial:
		hurry, cancel := context.WithTimeout(ctx, openTime)
		defer cancel()
		out, err := host.Dial(hurry, *rq.Call)
		if err != nil {
			return err
		}
		if err := writeFrame(conn, answer{}); err != nil {
			return errors.Join(err, out.Close())
		}
		if rq.Call.Network == "udp" {
			relay(conn, out)
		} else {
			splice(conn, out)
		}
		return nil
	case opSet, opFlows, opConsole: // are no sockets
	}
	return errors.New("there is no such socket")
}

// listen brings the connections of a listener, for as long as the call is open. When too many are there, the next ones wait at the
// socket.
func (c *carrier) listen(ctx context.Context, conn net.Conn, l net.Listener, number uint64) error {
	if err := writeFrame(conn, answer{}); err != nil {
		return errors.Join(err, l.Close())
	}
	var brought sync.WaitGroup
	defer brought.Wait()
	open, done := whileOpen(ctx, conn)
	defer done()
	return accepting(open, l, func(accepted net.Conn) {
		select {
		case c.room <- struct{}{}:
		case <-open.Done():
			_ = accepted.Close()
			return
		}
		brought.Go(func() {
			defer func() { <-c.room }()
			header := Header{
				From: addrPort(accepted.RemoteAddr()), To: addrPort(accepted.LocalAddr()),
				Listener: binary.BigEndian.AppendUint64(nil, number), Mark: mark(accepted),
			}
			bring(ctx, c.session, accepted, &header)
		})
	})
}

// bring brings a connection to the control plane with a header, and carries it until it ends.
func bring(ctx context.Context, session *yamux.Session, conn net.Conn, header *Header) {
	defer func() { _ = conn.Close() }() // it may be closed already
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	opened, err := session.OpenStream()
	if err != nil {
		Refuse(conn)
		return
	}
	s := &stream{Stream: opened}
	if _, err := s.Write(header.Append(nil)); err != nil {
		Refuse(conn)
		_ = s.Close()
		return
	}
	splice(s, conn)
}

// Refuse resets a connection, as a machine does at whose port nobody listens.
func Refuse(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // then Close resets it
	}
	_ = conn.Close()
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
