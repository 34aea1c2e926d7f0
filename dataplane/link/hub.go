package link

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/vennel/vennel/dataplane"
)

// The names in the certificates of links: which of them a peer is, and whose. They are URIs, so that no certificate of a host
// name is one.
const (
	HostName    = "vennel:host/"    // then any name
	GatewayName = "vennel:gateway/" // then the VPC endpoint's id
)

// Peer gives the name in a peer's certificate, which the TLS configuration has verified; "" for none.
func Peer(conn *tls.Conn) string {
	certificates := conn.ConnectionState().PeerCertificates
	if len(certificates) == 0 {
		return ""
	}
	uris := certificates[0].URIs
	if i := slices.IndexFunc(uris, func(u *url.URL) bool { return u.Scheme == "vennel" }); i >= 0 {
		return uris[i].String()
	}
	return ""
}

// The bounds of whoever dials. Strangers are those who have not proved yet who they are, for which they have little time.
const (
	handshake     = 10 * time.Second // for a TLS handshake, and for a stream's header
	mostStrangers = 512
	mostPeers     = 256
)

// Hub is the control plane's side of the links that others dial. It is the Host of the daemon that has dialled; while none is
// there its calls fail.
type Hub struct {
	client
	log *slog.Logger
	// Gateway takes the connections that come through gateways, with the endpoint's id. That is the certificate's: what a
	// connection's header says of it is of no matter.
	Gateway func(conn net.Conn, endpoint string)

	mu        sync.Mutex
	name      string            // of the daemon; guarded by mu
	daemon    *yamux.Session    // guarded by mu
	last      uint64            // the number of the listener that was opened last; guarded by mu
	listeners map[uint64]*queue // guarded by mu
}

// NewHub makes a Hub without links.
func NewHub(log *slog.Logger) *Hub {
	h := &Hub{log: log, listeners: map[uint64]*queue{}}
	h.open = h.stream
	return h
}

// errNoDaemon is the error of all calls while no daemon is there.
var errNoDaemon = errors.New("no host daemon is connected")

// stream opens the stream of a call.
func (h *Hub) stream(context.Context) (net.Conn, error) {
	h.mu.Lock()
	s := h.daemon
	h.mu.Unlock()
	if s == nil {
		return nil, errNoDaemon
	}
	opened, err := s.OpenStream()
	if err != nil {
		return nil, err
	}
	return &stream{Stream: opened}, nil
}

// Serve takes links on a listener until ctx ends. The configuration must demand and verify certificates.
func (h *Hub) Serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	var links sync.WaitGroup
	defer links.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	strangers, peers := make(chan struct{}, mostStrangers), make(chan struct{}, mostPeers)
	return accepting(ctx, l, func(conn net.Conn) {
		select {
		case strangers <- struct{}{}:
		default:
			_ = conn.Close()
			return
		}
		links.Go(func() {
			defer func() { _ = conn.Close() }() // as a whole, whatever TLS would like to say
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			secure := tls.Server(conn, config)
			name, err := greet(ctx, secure)
			<-strangers
			if err == nil {
				select {
				case peers <- struct{}{}:
					err = h.link(ctx, secure, name)
					<-peers
				default:
					err = errors.New("there are too many links")
				}
			}
			if ctx.Err() == nil {
				h.log.Info("a link ended", "peer", name, "from", conn.RemoteAddr().String(), "error", err)
			}
		})
	})
}

// greet shakes hands with whoever has dialled, and gives its name.
func greet(ctx context.Context, conn *tls.Conn) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return "", err
	}
	name := Peer(conn)
	if !strings.HasPrefix(name, GatewayName) && !strings.HasPrefix(name, HostName) {
		return name, errors.New("the certificate is for no link")
	}
	return name, nil
}

// link serves one peer until its link breaks.
func (h *Hub) link(ctx context.Context, conn *tls.Conn, name string) error {
	session, err := over(conn, h.log, planeLingers, yamux.Client)
	if err != nil {
		return err
	}
	var streams sync.WaitGroup
	defer streams.Wait()
	defer func() { _ = session.Close() }() // with its streams
	endpoint, gateway := strings.CutPrefix(name, GatewayName)
	arrive := func(conn *Conn) bool {
		h.Gateway(conn, endpoint)
		return true
	}
	if !gateway {
		if err := h.come(name, session); err != nil {
			return err
		}
		defer h.gone(session)
		arrive = h.deliver
	}
	h.log.Info("a link began", "peer", name, "from", conn.RemoteAddr().String())
	for {
		opened, err := session.AcceptStream()
		if err != nil {
			return unless(ctx, err)
		}
		s := &stream{Stream: opened}
		if session.NumStreams() > mostCarried {
			_ = s.Close()
			continue
		}
		streams.Go(func() {
			_ = s.SetReadDeadline(time.Now().Add(handshake)) // it has no error
			header, err := ReadHeader(s)
			_ = s.SetReadDeadline(time.Time{})
			if err != nil || !arrive(&Conn{stream: s, header: header}) {
				_ = s.Close()
			}
		})
	}
}

// come makes a daemon the one that calls go to. If it was started again, its first connection may not have been missed yet; another
// one is not to take over what it carries.
func (h *Hub) come(name string, session *yamux.Session) error {
	h.mu.Lock()
	old := h.daemon
	if old != nil && h.name != name && !old.IsClosed() {
		defer h.mu.Unlock()
		return fmt.Errorf("%s is connected already, and there can be one host only", h.name)
	}
	h.name, h.daemon = name, session
	h.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	return nil
}

// gone forgets a daemon.
func (h *Hub) gone(session *yamux.Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.daemon == session {
		h.daemon = nil
	}
}

// deliver hands a connection to the listener that it was accepted for.
func (h *Hub) deliver(conn *Conn) bool {
	if len(conn.header.Listener) != 8 {
		return false
	}
	h.mu.Lock()
	q := h.listeners[binary.BigEndian.Uint64(conn.header.Listener)]
	h.mu.Unlock()
	return q != nil && q.put(conn)
}

// Conn is a connection that came through a link.
type Conn struct {
	*stream
	header Header
}

// RemoteAddr is where it came from.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.header.From) }

// LocalAddr is where it was going.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.header.To) }

// Mark is the connection's mark, where it was accepted.
func (c *Conn) Mark() int { return int(c.header.Mark) }

// queue is a listener whose connections come through a link.
type queue struct {
	at    net.Addr
	conns chan net.Conn
	done  chan struct{}
	end   func() // closes done, once
	call  *lease
}

// put hands a connection over, unless too many wait.
func (q *queue) put(conn net.Conn) bool {
	select {
	case q.conns <- conn:
	default:
		return false
	}
	select {
	case <-q.done: // perhaps before it was there
		q.drain()
	default:
	}
	return true
}

// drain closes what has not been accepted.
func (q *queue) drain() {
	for {
		select {
		case conn := <-q.conns:
			_ = conn.Close()
		default:
			return
		}
	}
}

// Accept waits for a connection.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (q *queue) Close() error { return q.call.Close() }

// Addr is where the host listens.
func (q *queue) Addr() net.Addr { return q.at }

// Listener gives a listener to which the daemon brings the connections of a socket for as long as it is open and the daemon is there.
func (h *Hub) Listener(at dataplane.Socket) (net.Listener, error) {
	q := &queue{at: net.TCPAddrFromAddrPort(at.Address), conns: make(chan net.Conn, backlog), done: make(chan struct{})}
	h.mu.Lock()
	h.last++
	number := h.last
	h.listeners[number] = q
	h.mu.Unlock()
	q.end = func() {
		h.mu.Lock()
		delete(h.listeners, number)
		h.mu.Unlock()
		close(q.done)
		q.drain()
	}
	conn, err := h.hold(request{Op: opListen, Socket: &at, Listener: number})
	if err != nil {
		q.end()
		return nil, err
	}
	q.call = newLease(conn, q.end)
	return q, nil
}

// Packets gives a packet socket whose packets come and go as frames on a stream.
func (h *Hub) Packets(at dataplane.Socket) (net.PacketConn, error) {
	conn, err := h.hold(request{Op: opPackets, Socket: &at})
	if err != nil {
		return nil, err
	}
	return &packets{Conn: conn, at: at.Address}, nil
}

// Dial makes a connection through the daemon.
func (h *Hub) Dial(ctx context.Context, call dataplane.Call) (net.Conn, error) {
	conn, _, err := h.begin(ctx, request{Op: opDial, Call: &call})
	if err != nil {
		return nil, err
	}
	if call.Network == "udp" {
		return &packetStream{conn}, nil
	}
	return conn, nil
}
