package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

const (
	// maxPacket is the longest message that goes through every network in one piece, and so the longest query that is read
	// and the longest answer by UDP.
	maxPacket = 1232
	// readers is how many goroutines read one UDP socket.
	readers = 2
	// maxConns is how many connections one TCP socket has at once, and maxConnsOf how many of them one address may hold.
	maxConns, maxConnsOf = 256, 16
	// idle is how long a connection may take to say a query, and to take the answer.
	idle = 10 * time.Second
)

// Options is what a Server needs beside its Config.
type Options struct {
	Log *slog.Logger
	// Dial opens a connection to a server of a rule, from an address of an outbound endpoint, in the network of the VPC whose rule it
	// is. The address from is not valid when the rule names none. The network is udp or tcp.
	Dial func(ctx context.Context, vpc string, from netip.Addr, network string, to netip.AddrPort) (net.Conn, error)
}

// Server answers on the sockets that it is given. Until the first Set, and to VPCs without a View, it says nothing.
type Server struct {
	options Options
	table   atomic.Pointer[Table]

	mu    sync.Mutex
	lanes map[lane]*traffic // guarded by mu
}

// New makes a server that answers nothing yet.
func New(options Options) *Server {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{options: options, lanes: map[lane]*traffic{}}
}

// Set makes a Config true at once, as far as it can, and says what is wrong with the rest.
func (s *Server) Set(config Config) error {
	t, err := Compile(config)
	s.table.Store(t)
	s.forget(t)
	return err
}

// Lookup says what a VPC's resolver answers now.
func (s *Server) Lookup(vpc, name, qtype string) Answer {
	return s.table.Load().Lookup(vpc, name, qtype)
}

// Packets answers on a UDP socket of a VPC, bound to the address that is asked, until ctx ends or the socket fails, and closes it.
func (s *Server) Packets(ctx context.Context, vpc string, pc net.PacketConn) error {
	defer pc.Close() //nolint:errcheck // it is closed already, or nothing can be done
	group, inner := errgroup.WithContext(ctx)
	defer context.AfterFunc(inner, func() { _ = pc.Close() })()
	for range readers {
		group.Go(func() error {
			in, out := make([]byte, maxPacket+1), make([]byte, maxPacket)
			for {
				n, from, err := pc.ReadFrom(in)
				if err != nil {
					return err
				}
				if n > maxPacket {
					continue
				}
				q := s.understand(vpc, in[:n], false)
				switch {
				case q == nil:
				case q.finding.place.rule == nil:
					_, _ = pc.WriteTo(q.pack(out), from) // who gets no answer asks again
				case s.enter(lane{vpc: vpc}):
					group.Go(func() error {
						defer s.leave(lane{vpc: vpc})
						s.forward(inner, q)
						_, _ = pc.WriteTo(q.pack(nil), from)
						return nil
					})
				}
			}
		})
	}
	if err := group.Wait(); ctx.Err() == nil {
		return err
	}
	return nil
}

// Listen answers on a TCP socket of a VPC until ctx ends or the socket fails, and closes it.
func (s *Server) Listen(ctx context.Context, vpc string, l net.Listener) error {
	defer l.Close()
	group, inner := errgroup.WithContext(ctx)
	defer context.AfterFunc(inner, func() { _ = l.Close() })()
	g := gate{of: map[netip.Addr]int{}}
	group.Go(func() error {
		for {
			conn, err := l.Accept()
			switch {
			case err == nil && g.enter(conn):
				group.Go(func() error {
					defer g.leave(conn)
					s.converse(inner, vpc, conn)
					return nil
				})
			case err == nil:
				_ = conn.Close()
			case inner.Err() == nil && passing(err):
				wait(inner, 50*time.Millisecond)
			default:
				return err
			}
		}
	})
	if err := group.Wait(); ctx.Err() == nil {
		return err
	}
	return nil
}

// passing reports whether a listener may work again after an error.
func passing(err error) bool {
	for _, e := range []error{syscall.ECONNABORTED, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// wait lets time pass, at most until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// gate counts the connections of a socket.
type gate struct {
	mu  sync.Mutex
	all int                // guarded by mu
	of  map[netip.Addr]int // guarded by mu, by the address of who is connected
}

// enter reports whether a connection finds room, and takes it.
func (g *gate) enter(conn net.Conn) bool {
	from := peer(conn)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= maxConns || g.of[from] >= maxConnsOf {
		return false
	}
	g.all++
	g.of[from]++
	return true
}

// leave gives back what a connection has taken.
func (g *gate) leave(conn net.Conn) {
	from := peer(conn)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if g.of[from]--; g.of[from] == 0 {
		delete(g.of, from)
	}
}

// peer is the address of who is connected.
func peer(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// converse answers on one connection, one query after the other, and closes it.
func (s *Server) converse(ctx context.Context, vpc string, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	for {
		if conn.SetDeadline(time.Now().Add(idle)) != nil {
			return
		}
		packet, err := readFrame(conn, maxPacket)
		if err != nil {
			return
		}
		q := s.understand(vpc, packet, true)
		if q == nil {
			return
		}
		if q.finding.place.rule != nil {
			if !s.enter(lane{vpc: vpc}) {
				return
			}
			s.forward(ctx, q)
			s.leave(lane{vpc: vpc})
		}
		if _, err := conn.Write(frame(q.pack(nil))); err != nil {
			return
		}
	}
}

// readFrame reads a message of TCP, if it is no longer than most.
func readFrame(r io.Reader, most int) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(size[:]))
	if n > most {
		return nil, errors.New("the message is too long")
	}
	packet := make([]byte, n)
	_, err := io.ReadFull(r, packet)
	return packet, err
}

// frame makes a message one of TCP.
func frame(packet []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(packet)), uint16(len(packet))), packet...)
}

// query is what somebody asks, and the reply as far as it is known.
type query struct {
	view    *view
	finding finding
	reply   dns.Msg
	size    int // the longest reply that who asks takes
	tcp     bool
	edns    bool
}

// The shape of a message's header.
const (
	headerSize = 12
	isResponse = 0x80 // of the third byte
)

// understand reads a query and answers it, unless the finding has a rule: then others have to be asked. It gives nil for what
// gets no answer at all.
func (s *Server) understand(vpc string, packet []byte, tcp bool) *query {
	v := s.table.Load().view(vpc)
	if v == nil || len(packet) < headerSize || packet[2]&isResponse != 0 {
		return nil
	}
	var m dns.Msg
	err := m.Unpack(packet)
	q := &query{view: v, tcp: tcp, size: dns.MinMsgSize}
	if tcp {
		q.size = dns.MaxMsgSize
	}
	q.reply.Id, q.reply.Opcode, q.reply.Response = binary.BigEndian.Uint16(packet), int(packet[2]>>3&0xf), true
	q.reply.RecursionDesired, q.reply.CheckingDisabled = packet[2]&1 != 0, packet[3]&0x10 != 0
	q.reply.RecursionAvailable = true
	if q.reply.Opcode != dns.OpcodeQuery {
		return q.refuse(dns.RcodeNotImplemented)
	}
	count := func(section int) int { return int(binary.BigEndian.Uint16(packet[4+2*section:])) }
	if err != nil || count(0) != 1 || len(m.Question) != 1 || count(1) != 0 || count(2) != 0 {
		return q.refuse(dns.RcodeFormatError)
	}
	version := uint8(0)
	for _, extra := range m.Extra {
		opt, ok := extra.(*dns.OPT)
		switch {
		case !ok:
			continue
		case q.edns:
			return q.refuse(dns.RcodeFormatError) // there is at most one (RFC 6891, 6.1.1)
		}
		q.edns = true
		if !tcp {
			q.size = min(max(int(opt.UDPSize()), dns.MinMsgSize), maxPacket)
		}
		version = opt.Version()
	}
	if version != 0 {
		return q.refuse(dns.RcodeBadVers)
	}
	q.reply.Question = m.Question
	asked := &q.reply.Question[0]
	switch {
	case !q.reply.RecursionDesired, asked.Qclass != dns.ClassINET:
		return q.refuse(dns.RcodeRefused)
	case asked.Qtype == dns.TypeAXFR, asked.Qtype == dns.TypeIXFR, asked.Qtype == dns.TypeMAILA, asked.Qtype == dns.TypeMAILB:
		return q.refuse(dns.RcodeRefused)
	case asked.Qtype == dns.TypeNone, asked.Qtype == dns.TypeOPT:
		return q.refuse(dns.RcodeFormatError)
	}
	q.finding = v.find(strings.ToLower(asked.Name), asked.Qtype)
	q.say()
	return q
}

// refuse makes the reply one without an answer.
func (q *query) refuse(rcode int) *query {
	q.finding = finding{}
	q.reply.Answer, q.reply.Ns, q.reply.Extra = nil, nil, nil
	q.reply.Rcode = rcode
	if rcode > 0xf {
		q.edns = true // the upper bits travel in the OPT record
	}
	return q
}

// say puts the finding into the reply. Names are said as they were asked, in upper and lower case.
func (q *query) say() {
	asked, f := &q.reply.Question[0], &q.finding
	owner := asked.Name
	for i, l := range f.aliases {
		q.reply.Answer = append(q.reply.Answer, &dns.CNAME{Hdr: header(owner, dns.TypeCNAME, l.ttl), Target: l.to})
		owner = f.aliases[i].to
	}
	if f.place.rule != nil {
		return
	}
	q.reply.Rcode = f.rcode()
	if f.circle {
		q.reply.Answer = nil
		return
	}
	if n := f.node; n != nil {
		before := len(q.reply.Answer)
		q.reply.Answer = n.records(q.reply.Answer, owner, asked.Qtype)
		if asked.Qtype == dns.TypeSOA && f.name == f.place.zone.name {
			q.reply.Answer = append(q.reply.Answer, authority(f.place.zone.name))
		}
		if len(q.reply.Answer) > before {
			return
		}
	}
	end := "."
	if f.place.zone != nil {
		end = f.place.zone.name
	}
	q.reply.Ns = []dns.RR{authority(end)}
}

// records appends a node's records of a type, its addresses in a random order.
func (n *node) records(to []dns.RR, owner string, qtype uint16) []dns.RR {
	from := len(to)
	switch qtype = n.holds(qtype); qtype {
	case dns.TypeA:
		for _, a := range n.v4 {
			to = append(to, &dns.A{Hdr: header(owner, qtype, n.ttl), A: a.AsSlice()})
		}
	case dns.TypeAAAA:
		for _, a := range n.v6 {
			to = append(to, &dns.AAAA{Hdr: header(owner, qtype, n.ttl), AAAA: a.AsSlice()})
		}
	case dns.TypeCNAME:
		to = append(to, &dns.CNAME{Hdr: header(owner, qtype, n.ttl), Target: n.alias})
	case dns.TypePTR:
		for _, p := range n.pointers {
			to = append(to, &dns.PTR{Hdr: header(owner, qtype, n.ttl), Ptr: p})
		}
	}
	if set := to[from:]; len(set) > 1 {
		rand.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
	}
	return to
}

// header begins a record.
func header(name string, qtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: qtype, Class: dns.ClassINET, Ttl: ttl}
}

// authority is the SOA record of a zone, with Route 53's values but for the time that its last one gives.
func authority(zone string) *dns.SOA {
	return &dns.SOA{Hdr: header(zone, dns.TypeSOA, negative), Ns: "ns-0.awsdns-00.com.", Mbox: "awsdns-hostmaster.amazon.com.",
		Serial: 1, Refresh: 7200, Retry: 900, Expire: 1209600, Minttl: negative}
}

// pack writes the reply, into buf if it fits there, and says when not all of it was taken.
func (q *query) pack(buf []byte) []byte {
	if q.edns {
		q.reply.SetEdns0(maxPacket, false)
	}
	q.reply.Compress = true
	out, err := q.reply.PackBuffer(buf)
	if err == nil && len(out) > q.size {
		q.reply.Truncate(q.size)
		out, err = q.reply.PackBuffer(buf)
	}
	if err != nil { // only what others have said can be beyond words
		q.refuse(dns.RcodeServerFailure)
		q.reply.Question = nil
		out, _ = q.reply.PackBuffer(buf)
	}
	return out
}
