package link

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
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

// Peer gives the name in a peer's certificate, which the TLS configuration has verified.
func Peer(conn *tls.Conn) string {
	for _, c := range conn.ConnectionState().PeerCertificates {
		i := slices.IndexFunc(c.URIs, func(u *url.URL) bool { return u.Scheme == "vennel" })
		if i >= 0 {
			return c.URIs[i].String()
		}
	}
	return ""
}

// The bounds of links.
const (
	handshake  = 10 * time.Second // for a TLS handshake and for a stream's first bytes
	mostPeers  = 256
	backlog    = 1024      // connections that wait to be accepted, of one socket
	window     = 256 << 10 // bytes of a stream under way: more makes bulk delay everybody else
	streamStay = 24 * time.Hour
	mostPacket = 64 << 10
)

// settings are those of the streams in one connection.
func settings(log *slog.Logger) *yamux.Config {
	c := yamux.DefaultConfig()
	c.MaxStreamWindowSize, c.AcceptBacklog, c.StreamCloseTimeout = window, backlog, streamStay
	c.LogOutput, c.Logger = nil, slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	return c
}

// Hub is the control plane's side of the links that others dial. It is the Host of the daemon that dialled last; while none is
// there its calls fail.
type Hub struct {
	client
	log *slog.Logger
	// Gateway takes the connections that come through gateways. The endpoint's id is the certificate's, not the header's.
	Gateway func(conn net.Conn, endpoint string)

	mu        sync.Mutex
	daemon    *yamux.Session              // guarded by mu
	listeners map[dataplane.Socket]*queue // guarded by mu
}

// NewHub makes a Hub without links.
func NewHub(log *slog.Logger) *Hub {
	h := &Hub{log: log, listeners: map[dataplane.Socket]*queue{}}
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
	return s.Open()
}

// Serve takes links on a listener until ctx ends. The configuration must demand and verify certificates.
func (h *Hub) Serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	var links sync.WaitGroup
	defer links.Wait()
	room := make(chan struct{}, mostPeers)
	for {
		conn, err := l.Accept()
		if err != nil {
			return unless(ctx, err)
		}
		select {
		case room <- struct{}{}:
		default:
			_ = conn.Close()
			continue
		}
		links.Go(func() {
			defer func() { <-room }()
			if err := h.link(ctx, tls.Server(conn, config)); err != nil && ctx.Err() == nil {
				h.log.Info("a link ended", "from", conn.RemoteAddr().String(), "error", err)
			}
		})
	}
}

// link serves one peer.
func (h *Hub) link(ctx context.Context, conn *tls.Conn) error {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	hello, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	if err := conn.HandshakeContext(hello); err != nil {
		return errors.Join(err, conn.Close())
	}
	name := Peer(conn)
	endpoint, gateway := strings.CutPrefix(name, GatewayName)
	if !gateway && !strings.HasPrefix(name, HostName) {
		return errors.Join(fmt.Errorf("the certificate of %q is for no link", name), conn.Close())
	}
	session, err := yamux.Client(conn, settings(h.log))
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer func() { _ = session.Close() }() // with the connection
	if !gateway {
		h.mu.Lock()
		old := h.daemon
		h.daemon = session
		h.mu.Unlock()
		if old != nil { // a daemon that was started again, and whose first connection has not been missed yet
			_ = old.Close()
		}
		defer h.gone(session)
	}
	h.log.Info("a link began", "peer", name, "from", conn.RemoteAddr().String())
	for {
		stream, err := session.AcceptStream()
		if err != nil {
			return err
		}
		go h.arrive(stream, endpoint, gateway) // it is bounded by its deadline
	}
}

// gone forgets a daemon.
func (h *Hub) gone(session *yamux.Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.daemon == session {
		h.daemon = nil
	}
}

// arrive takes a connection that came through a link.
func (h *Hub) arrive(stream net.Conn, endpoint string, gateway bool) {
	_ = stream.SetReadDeadline(time.Now().Add(handshake)) // a broken stream fails to be read
	header, err := ReadHeader(stream)
	var at dataplane.Socket
	if err == nil && !gateway {
		err = json.Unmarshal(header.Socket, &at)
	}
	if err != nil || stream.SetReadDeadline(time.Time{}) != nil {
		_ = stream.Close()
		return
	}
	conn := &Conn{Conn: stream, header: header}
	if gateway {
		h.Gateway(conn, endpoint)
		return
	}
	h.mu.Lock()
	q := h.listeners[at]
	h.mu.Unlock()
	if q == nil || !q.put(conn) {
		_ = stream.Close()
	}
}

// Conn is a connection that came through a link.
type Conn struct {
	net.Conn
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
	at     dataplane.Socket
	conns  chan net.Conn
	done   chan struct{}
	once   sync.Once
	closed func(*queue)
}

// put hands a connection over, unless too many wait.
func (q *queue) put(conn net.Conn) bool {
	select {
	case <-q.done:
		return false
	case q.conns <- conn:
		return true
	default:
		return false
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
func (q *queue) Close() error {
	q.once.Do(func() {
		close(q.done)
		q.closed(q)
	})
	return nil
}

// Addr is where the host listens.
func (q *queue) Addr() net.Addr { return net.TCPAddrFromAddrPort(q.at.Address) }

// Listener gives a listener to whose socket the daemon brings connections for as long as it is open and the daemon is there.
func (h *Hub) Listener(at dataplane.Socket) (net.Listener, error) {
	q := &queue{at: at, conns: make(chan net.Conn, backlog), done: make(chan struct{})}
	h.mu.Lock()
	h.listeners[at] = q
	h.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // until it is closed
	q.closed = func(q *queue) {
		cancel()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.listeners[at] == q {
			delete(h.listeners, at)
		}
	}
	conn, _, _, err := h.begin(ctx, request{Op: opListen, Socket: &at})
	if err != nil {
		return nil, errors.Join(err, q.Close())
	}
	go func() { // the stream ends when the listener is closed, or with the daemon
		_, _ = io.Copy(io.Discard, conn)
		_ = q.Close()
	}()
	return q, nil
}

// Packets gives a packet socket whose packets come and go as frames on a stream.
func (h *Hub) Packets(at dataplane.Socket) (net.PacketConn, error) {
	conn, _, _, err := h.begin(context.Background(), request{Op: opPackets, Socket: &at}) //nolint:forbidigo // until it is closed
	if err != nil {
		return nil, err
	}
	return &packets{Conn: conn, at: at.Address}, nil
}

// Dial makes a connection through the daemon.
func (h *Hub) Dial(ctx context.Context, call dataplane.Call) (net.Conn, error) {
	conn, _, release, err := h.begin(ctx, request{Op: opDial, Call: &call})
	if err != nil {
		return nil, err
	}
	release()
	if call.Network == "udp" {
		return &packetStream{conn}, nil
	}
	return conn, nil
}

// packets is a packet socket on a stream. A frame is a length, an address, a port and the packet.
type packets struct {
	net.Conn
	at      netip.AddrPort
	writing sync.Mutex
}

// LocalAddr is the socket's own address.
func (p *packets) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.at) }

// ReadFrom reads a packet.
func (p *packets) ReadFrom(b []byte) (int, net.Addr, error) {
	from, text, err := readPacket(p.Conn)
	return copy(b, text), net.UDPAddrFromAddrPort(from), err
}

// WriteTo writes a packet.
func (p *packets) WriteTo(b []byte, to net.Addr) (int, error) {
	udp, ok := to.(*net.UDPAddr)
	if !ok {
		return 0, fmt.Errorf("%v is no address of a packet", to)
	}
	p.writing.Lock()
	defer p.writing.Unlock()
	return len(b), writePacket(p.Conn, udp.AddrPort(), b)
}

// readPacket reads a packet's frame.
func readPacket(r io.Reader) (netip.AddrPort, []byte, error) {
	var head [10]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return netip.AddrPort{}, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > mostPacket {
		return netip.AddrPort{}, nil, fmt.Errorf("a packet of %d bytes is too long", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(head[4:8])), binary.BigEndian.Uint16(head[8:])), b, err
}

// writePacket writes a packet's frame at once.
func writePacket(w io.Writer, peer netip.AddrPort, b []byte) error {
	if !peer.Addr().Unmap().Is4() || len(b) > mostPacket {
		return fmt.Errorf("a packet of %d bytes for %s cannot go", len(b), peer)
	}
	a := peer.Addr().Unmap().As4()
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 10+len(b)), uint32(len(b)))
	frame = binary.BigEndian.AppendUint16(append(frame, a[:]...), peer.Port())
	_, err := w.Write(append(frame, b...))
	return err
}

// nowhere stands in frames whose peer is known.
var nowhere = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)

// packetStream is a connected packet socket on a stream.
type packetStream struct{ net.Conn }

// Read reads a packet.
func (p *packetStream) Read(b []byte) (int, error) {
	_, text, err := readPacket(p.Conn)
	return copy(b, text), err
}

// Write writes a packet.
func (p *packetStream) Write(b []byte) (int, error) { return len(b), writePacket(p.Conn, nowhere, b) }
