package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
)

// Header is what a PROXY header says of a connection. source: "The PROXY protocol", version 2; AWS's type of the endpoint's id
// is as its load balancers write it
type Header struct {
	From, To netip.AddrPort
	Endpoint string // the VPC endpoint's id; "" for none
	Listener []byte // the listener of a control plane that it is for; of our own links
	Mark     uint32 // the mark of the connection; of our own links
}

// signature begins every header.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// The types of additional values. Those from 0xE0 to 0xEF are everybody's own.
const (
	typeAWS      = 0xEA
	typeEndpoint = 0x01 // of AWS's
	typeListener = 0xE0
	typeMark     = 0xE1
)

// mostHeader is the longest header that is read.
const mostHeader = 2048

// Append writes the header. Addresses of which one is IPv6 are both written as such, and one that is not known as none.
func (h *Header) Append(b []byte) []byte {
	from, to := h.From.Addr().Unmap(), h.To.Addr().Unmap()
	family, addresses := byte(0x11), []byte(nil) // TCP over IPv4
	if from.Is4() && to.Is4() {
		addresses = append(from.AsSlice(), to.AsSlice()...)
	} else {
		family, addresses = 0x21, append(wide(from), wide(to)...)
	}
	b = append(append(b, signature...), 0x21, family) // version 2, a connection of somebody else's
	at := len(b)
	b = append(b, 0, 0)
	b = append(b, addresses...)
	b = binary.BigEndian.AppendUint16(b, h.From.Port())
	b = binary.BigEndian.AppendUint16(b, h.To.Port())
	value := func(kind byte, text []byte) {
		b = append(binary.BigEndian.AppendUint16(append(b, kind), uint16(len(text))), text...)
	}
	if h.Endpoint != "" {
		value(typeAWS, append([]byte{typeEndpoint}, h.Endpoint...))
	}
	if len(h.Listener) > 0 {
		value(typeListener, h.Listener)
	}
	if h.Mark != 0 {
		value(typeMark, binary.BigEndian.AppendUint32(nil, h.Mark))
	}
	binary.BigEndian.PutUint16(b[at:], uint16(len(b)-at-2))
	return b
}

// wide writes an address as one of IPv6.
func wide(a netip.Addr) []byte {
	if !a.IsValid() {
		a = netip.IPv6Unspecified()
	}
	b := a.As16()
	return b[:]
}

// errHeader is the error of what is no header of ours.
var errHeader = errors.New("this is no PROXY header of a connection")

// ReadHeader reads a header and no byte more.
func ReadHeader(r io.Reader) (h Header, err error) {
	var fixed [16]byte
	if _, err := io.ReadFull(r, fixed[:]); err != nil {
		return h, err
	}
	length := int(binary.BigEndian.Uint16(fixed[14:]))
	if !bytes.Equal(fixed[:12], []byte(signature)) || fixed[12] != 0x21 || length > mostHeader {
		return h, errHeader
	}
	size := map[byte]int{0x11: 4, 0x21: 16}[fixed[13]]
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return h, err
	}
	if size == 0 || length < 2*size+4 {
		return h, errHeader
	}
	from, _ := netip.AddrFromSlice(body[:size])
	to, _ := netip.AddrFromSlice(body[size : 2*size])
	h.From = netip.AddrPortFrom(from.Unmap(), binary.BigEndian.Uint16(body[2*size:]))
	h.To = netip.AddrPortFrom(to.Unmap(), binary.BigEndian.Uint16(body[2*size+2:]))
	for rest := body[2*size+4:]; len(rest) > 0; {
		if len(rest) < 3 || len(rest) < 3+int(binary.BigEndian.Uint16(rest[1:])) {
			return h, errHeader
		}
		text := rest[3 : 3+int(binary.BigEndian.Uint16(rest[1:]))]
		switch kind := rest[0]; {
		case kind == typeAWS && len(text) > 1 && text[0] == typeEndpoint:
			h.Endpoint = string(text[1:])
		case kind == typeListener:
			h.Listener = bytes.Clone(text)
		case kind == typeMark && len(text) == 4:
			h.Mark = binary.BigEndian.Uint32(text)
		case kind == typeMark:
			return h, fmt.Errorf("%w: a mark of %d bytes", errHeader, len(text))
		}
		rest = rest[3+len(text):]
	}
	return h, nil
}
