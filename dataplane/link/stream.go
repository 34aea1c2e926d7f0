package link

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// The bounds of links. A peer whose machine has lost its power is missed within alive and patience.
const (
	backlog     = 1024      // connections that wait to be accepted
	mostCarried = 1 << 14   // connections that one link carries at once
	window      = 256 << 10 // bytes of a stream under way: more makes bulk delay everybody else
	alive       = 10 * time.Second
	patience    = 30 * time.Second // for a write to get through a link on which much is under way
)

// How long a stream that this side has closed waits for the other side to close it, too; then it is reset. What a control plane has
// sent last may be on its way to a slow client. What a daemon or gateway has closed, nobody reads any more, and a control plane that
// still writes is to hear of it.
const (
	planeLingers  = 5 * time.Minute
	diallerLeaves = 15 * time.Second
)

// over makes the streams of a connection. Either side may open some; which it was decides who numbers how.
func over(conn net.Conn, log *slog.Logger, lingering time.Duration, side func(io.ReadWriteCloser, *yamux.Config) (*yamux.Session, error)) (*yamux.Session, error) {
	c := yamux.DefaultConfig()
	c.MaxStreamWindowSize, c.AcceptBacklog, c.StreamCloseTimeout = window, backlog, lingering
	c.KeepAliveInterval, c.ConnectionWriteTimeout = alive, patience
	c.LogOutput, c.Logger = nil, slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	return side(&pipe{Conn: conn}, c)
}

// headerSize is the length of yamux's headers: version, type, flags, stream, and the length of what follows. source: yamux's spec.md
const headerSize = 12

// pipe is the connection under a link. yamux writes the header and the data of a frame one after the other; here the header waits
// for its data, so that both are one record and one packet.
type pipe struct {
	net.Conn
	waiting []byte
}

// Write writes a header, or data with its header. yamux writes from one goroutine.
func (p *pipe) Write(b []byte) (int, error) {
	if len(p.waiting) == 0 && len(b) == headerSize && b[1] == 0 && binary.BigEndian.Uint32(b[8:]) > 0 {
		p.waiting = append(p.waiting, b...)
		return len(b), nil
	}
	if len(p.waiting) == 0 {
		return p.Conn.Write(b)
	}
	p.waiting = append(p.waiting, b...)
	_, err := p.Conn.Write(p.waiting)
	p.waiting = p.waiting[:0]
	return len(b), err
}

// Close breaks the connection off, and waits for nobody as TLS would.
func (p *pipe) Close() error {
	if secure, ok := p.Conn.(*tls.Conn); ok {
		return secure.NetConn().Close()
	}
	return p.Conn.Close()
}

// chunk is the longest piece in which a stream is written, its length included.
const chunk = 32 << 10

// small is as many bytes as an idle connection has room for; a chunk when more comes.
const small = 2 << 10

// chunks are room for pieces.
var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// stream is a connection among those of a link. Of a connection each direction ends by itself; yamux's streams only seem to, and
// are reset after a while when one direction has. So everything is written in pieces with their length before them: one without
// bytes ends a direction, and when a stream ends without one, the other side has closed both.
type stream struct {
	*yamux.Stream

	reading sync.Mutex
	head    [2]byte // of the piece that is being read; guarded by reading
	have    int     // bytes of it that have come, when a deadline interrupted; guarded by reading
	size    int     // of the piece; guarded by reading
	left    int     // bytes of the piece that are to come; guarded by reading
	ended   bool    // guarded by reading

	writing sync.Mutex
	failed  error // why nothing more can be written; guarded by writing
}

// Read reads what has come.
func (s *stream) Read(b []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if len(b) == 0 {
		return 0, nil
	}
	for s.left == 0 {
		if s.ended {
			return 0, io.EOF
		}
		if s.size < small {
			s.Shrink() // yamux would keep the room of the largest burst for ever
		}
		n, err := s.Stream.Read(s.head[s.have:])
		if s.have += n; s.have < len(s.head) {
			if err != nil {
				return 0, whole(err)
			}
			continue
		}
		s.have, s.left = 0, int(binary.BigEndian.Uint16(s.head[:]))
		s.size, s.ended = s.left, s.left == 0
	}
	n, err := s.Stream.Read(b[:min(len(b), s.left)])
	s.left -= n
	return n, whole(err)
}

// await waits, when one direction has ended, until both have: the other side may close a stream that it does not read any more,
// and yamux would let us write to it for a while.
func (s *stream) await() {
	_, _ = s.Stream.Read(make([]byte, 1)) // nothing comes
}

// whole is an error of yamux's as one of a connection: the end of both directions is not that of one, and what a deadline has
// interrupted may go on, which TLS believes of the system's error alone.
func whole(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case errors.Is(err, yamux.ErrTimeout):
		return os.ErrDeadlineExceeded
	}
	return err
}

// Write writes in pieces. After an error nothing more is written: nobody knows where a piece has ended.
func (s *stream) Write(b []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	room := chunks.Get().(*[chunk]byte)
	defer chunks.Put(room)
	for n < len(b) && s.failed == nil {
		size := copy(room[2:], b[n:])
		binary.BigEndian.PutUint16(room[:], uint16(size))
		_, err := s.Stream.Write(room[:2+size])
		if s.failed = whole(err); err == nil {
			n += size
		}
	}
	return n, s.failed
}

// CloseWrite ends the direction to the other side.
func (s *stream) CloseWrite() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.failed != nil {
		return s.failed
	}
	_, err := s.Stream.Write([]byte{0, 0})
	s.failed = net.ErrClosed
	return err
}

// Close ends both directions. Who reads is told: yamux would have them wait for the other side.
func (s *stream) Close() error {
	_ = s.SetReadDeadline(time.Unix(1, 0)) // it has no error
	return s.Stream.Close()
}

// splice carries bytes both ways until both directions have ended or one has failed, and closes both sides.
func splice(a, b net.Conn) {
	end := func() {
		_ = a.Close()
		_ = b.Close()
	}
	var both, watch sync.WaitGroup
	pass := func(to, from net.Conn) {
		half, ok := to.(interface{ CloseWrite() error })
		if transfer(to, from) != nil || !ok || half.CloseWrite() != nil {
			end()
		}
		if s, ok := from.(*stream); ok {
			watch.Go(func() {
				s.await()
				end()
			})
		}
	}
	both.Go(func() { pass(a, b) })
	pass(b, a)
	both.Wait()
	end()
	watch.Wait()
}

// transfer carries bytes one way until they end. It has much room only while much comes: most connections are idle most of the time.
func transfer(to io.Writer, from io.Reader) error {
	few := make([]byte, small)
	b := few
	var many *[chunk]byte
	defer func() {
		if many != nil {
			chunks.Put(many)
		}
	}()
	for {
		n, err := from.Read(b)
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case many == nil && n == len(few):
			many = chunks.Get().(*[chunk]byte)
			b = many[:]
		case many != nil && n < small:
			chunks.Put(many)
			many, b = nil, few
		}
	}
}
