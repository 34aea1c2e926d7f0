package link

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
)

// mostPacket is the longest packet.
const mostPacket = 64 << 10

// packets is a packet socket on a stream. A frame is a length, an address, a port and the packet. A deadline that interrupts one
// ends the socket for good.
type packets struct {
	net.Conn
	at      netip.AddrPort
	reading sync.Mutex
	writing sync.Mutex
}

// LocalAddr is the socket's own address.
func (p *packets) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.at) }

// ReadFrom reads a packet.
func (p *packets) ReadFrom(b []byte) (int, net.Addr, error) {
	p.reading.Lock()
	defer p.reading.Unlock()
	from, text, err := readPacket(p.Conn)
	if err != nil {
		return 0, nil, err
	}
	return copy(b, text), net.UDPAddrFromAddrPort(from), nil
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

// exchange carries the packets of a socket and of a stream both ways until either side ends, and closes both.
func exchange(conn net.Conn, socket net.PacketConn) {
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
			return
		}
		_, _ = socket.WriteTo(b, net.UDPAddrFromAddrPort(to)) // packets may be lost
	}
}

// relay carries the packets of a connected socket, likewise. It has no end of its own direction as a connection has.
func relay(conn net.Conn, socket net.Conn) {
	var out sync.WaitGroup
	defer out.Wait()
	out.Go(func() {
		defer func() { _ = conn.Close() }() // ends the other direction
		b := make([]byte, mostPacket)
		for {
			n, err := socket.Read(b)
			if err != nil || writePacket(conn, nowhere, b[:n]) != nil {
				return
			}
		}
	})
	defer func() { _ = socket.Close() }() // ends the goroutine
	for {
		_, b, err := readPacket(conn)
		if err != nil {
			return
		}
		_, _ = socket.Write(b) // packets may be lost
	}
}
