package nft

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// kind is a type of nftables'.
type kind struct {
	name string
	size int
}

// The kinds that keys and values are made of.
var (
	kindDevice   = kind{"ifname", 16}
	kindAddress  = kind{"ipv4_addr", 4}
	kindProtocol = kind{"inet_proto", 1}
	kindPort     = kind{"inet_service", 2}
	kindType     = kind{"icmp_type", 1}
	kindCode     = kind{"icmp_code", 1}
	kindMark     = kind{"mark", 4}
	kindVerdict  = kind{"verdict", 0} // to jump to a chain
)

// set is a set or map of nftables'.
type set struct {
	name     string
	key      []kind
	value    kind // the zero one for sets
	ranges   bool // keys are ranges
	fixed    bool // its elements change with the whole table only
	dynamic  bool // the kernel fills it
	elements []element
	sum      [sha256.Size]byte // of the elements
}

// element is an element as the kernel has it.
type element struct {
	key, end string // end is the last key of a range
	value    string
}

// field is one part of a key.
type field struct {
	device string
	lo, hi uint32
}

// device is the field of a device.
func device(name string) field { return field{device: name} }

// address is the field of an address.
func address(a netip.Addr) field { return prefix(netip.PrefixFrom(a, 32)) }

// prefix is the field of a range of addresses.
func prefix(p netip.Prefix) field {
	lo, hi := p.Masked().Addr().As4(), last(p).As4()
	return field{lo: binary.BigEndian.Uint32(lo[:]), hi: binary.BigEndian.Uint32(hi[:])}
}

// number is the field of a number.
func number(n int) field { return numbers(span{n, n}) }

// numbers is the field of a range of numbers.
func numbers(s span) field { return field{lo: uint32(s.lo), hi: uint32(s.hi)} }

// encode puts a field into bytes.
func (k kind) encode(b []byte, device string, n uint32) {
	switch k.size {
	case 16:
		copy(b, device)
	case 4:
		binary.BigEndian.PutUint32(b, n)
	case 2:
		binary.BigEndian.PutUint16(b, uint16(n))
	case 1:
		b[0] = byte(n)
	}
}

// add puts an element into the set.
func (s *set) add(value string, fields ...field) {
	size := 0
	for _, k := range s.key {
		size += s.width(k)
	}
	e := element{key: s.bytes(size, fields, false), value: value}
	if s.ranges {
		e.end = s.bytes(size, fields, true)
	}
	s.elements = append(s.elements, e)
}

// bytes is a key as the kernel has it, the first or the last of a range.
func (s *set) bytes(size int, fields []field, last bool) string {
	var room [64]byte
	at := 0
	for i, k := range s.key {
		n := fields[i].lo
		if last {
			n = fields[i].hi
		}
		k.encode(room[at:], fields[i].device, n)
		at += s.width(k)
	}
	return string(room[:size])
}

// width is the number of bytes that a part of the key takes: whole words when there are several.
func (s *set) width(k kind) int {
	if len(s.key) == 1 {
		return k.size
	}
	return (k.size + 3) &^ 3
}

// finish puts the elements in order, and leaves the first of those with the same key.
func (s *set) finish() {
	slices.SortStableFunc(s.elements, element.compare)
	s.elements = slices.CompactFunc(s.elements, func(a, b element) bool { return a.compare(b) == 0 })
	sum := sha256.New()
	var size [4]byte
	for _, e := range s.elements {
		for _, part := range []string{e.key, e.end, e.value} {
			binary.BigEndian.PutUint32(size[:], uint32(len(part)))
			sum.Write(size[:])
			sum.Write([]byte(part))
		}
	}
	sum.Sum(s.sum[:0])
}

// compare orders elements by their keys.
func (e element) compare(f element) int {
	return cmp.Or(strings.Compare(e.key, f.key), strings.Compare(e.end, f.end))
}

// header is everything of the set but its elements, as text.
func (s *set) header(b *strings.Builder) {
	kinds := make([]string, len(s.key))
	for i, k := range s.key {
		kinds[i] = k.name
	}
	what, of := "set", strings.Join(kinds, " . ")
	if s.value.name != "" {
		what, of = "map", of+" : "+s.value.name
	}
	fmt.Fprintf(b, "\t%s %s {\n\t\ttype %s\n", what, s.name, of)
	switch {
	case s.dynamic:
		b.WriteString("\t\tsize 65535\n\t\tflags dynamic,timeout\n\t\ttimeout 1m\n")
	case s.ranges:
		b.WriteString("\t\tflags interval\n")
	}
}

// text is the set as text.
func (s *set) text(b *strings.Builder) {
	s.header(b)
	for i, e := range s.elements {
		if i == 0 {
			b.WriteString("\t\telements = {\n")
		}
		b.WriteString("\t\t\t")
		at := 0
		for j, k := range s.key {
			if j > 0 {
				b.WriteString(" . ")
			}
			lo := e.key[at : at+k.size]
			hi := lo
			if s.ranges {
				hi = e.end[at : at+k.size]
			}
			k.text(b, lo, hi)
			at += s.width(k)
		}
		switch s.value {
		case kind{}:
		case kindVerdict:
			b.WriteString(" : jump " + e.value)
		case kindMark:
			b.WriteString(" : " + strconv.Itoa(int(binary.NativeEndian.Uint32([]byte(e.value)))))
		default:
			b.WriteString(" : ")
			s.value.text(b, e.value, e.value)
		}
		b.WriteString(",\n")
	}
	if len(s.elements) > 0 {
		b.WriteString("\t\t}\n")
	}
	b.WriteString("\t}\n")
}

// text is a range of a part of a key as text.
func (k kind) text(b *strings.Builder, lo, hi string) {
	switch k.size {
	case 16:
		b.WriteString(`"` + strings.TrimRight(lo, "\x00") + `"`)
	case 4:
		first, _ := netip.AddrFromSlice([]byte(lo)) // of four bytes
		bits := 32
		for i := range 4 {
			for same := lo[i] ^ hi[i]; same != 0; same >>= 1 {
				bits--
			}
		}
		b.WriteString(first.String())
		if bits < 32 {
			b.WriteString("/" + strconv.Itoa(bits))
		}
	default:
		n := func(s string) (n int) {
			for i := range len(s) {
				n = n<<8 | int(s[i])
			}
			return n
		}
		b.WriteString(strconv.Itoa(n(lo)))
		if lo != hi {
			b.WriteString("-" + strconv.Itoa(n(hi)))
		}
	}
}
