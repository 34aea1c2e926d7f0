package nft

import (
	"net/netip"
	"slices"

	"github.com/vennel/vennel/dataplane"
)

// span is an inclusive range of numbers.
type span struct{ lo, hi int }

// matcher is the part of a rule or entry that is not about addresses.
type matcher struct {
	protocols span // all of these, or,
	protocol  int  // when this is not 0, this one with
	numbers   span // these ports or, of ICMP,
	icmp      int  // of this type, these codes
}

// match understands a protocol with ports, or types and codes. It is false for numbers that mean nothing.
func match(protocol, from, to int) (matcher, bool) {
	const icmp, tcp, udp = 1, 6, 17
	whole := matcher{protocols: span{protocol, protocol}}
	switch {
	case protocol == dataplane.AllProtocols:
		return matcher{protocols: span{0, 255}}, true
	case protocol < 0 || protocol > 255:
		return matcher{}, false
	case protocol == icmp && from == -1:
		return whole, true
	case protocol == icmp:
		m := matcher{protocol: icmp, icmp: from, numbers: span{to, to}}
		if to == -1 {
			m.numbers = span{0, 255}
		}
		return m, from >= 0 && from <= 255 && m.numbers.lo >= 0 && m.numbers.hi <= 255
	case protocol != tcp && protocol != udp, from == 0 && to == 65535:
		return whole, true
	}
	return matcher{protocol: protocol, numbers: span{from, to}}, from >= 0 && from <= to && to <= 65535
}

// box is an element of a set of ranges: addresses, a number (protocol or ICMP type), and a range (ports, codes, or protocols).
type box struct {
	prefix netip.Prefix
	key    int
	span   span
}

// plane is what boxes have in common that can be in each other's way.
type plane struct {
	prefix netip.Prefix
	key    int
}

// tidy gives boxes that cover what the given ones do, such that no first or last corner of one is in another. The kernel
// refuses elements where that is so, and rules of a group may overlap as they like.
//
// Prefixes are in each other or apart. So it is enough to look from each at those that contain it: what they have, too, is cut
// off at the ends of a range, and is cut out of it when the prefixes begin or end with the same address, since the corners
// of the larger could be within then. Cutting everything out would be simpler, but could make a square of a number of rules.
func tidy(in []box) []box {
	spans := map[plane][]span{}
	var lengths [33]bool // of the prefixes that there are
	for _, b := range in {
		lengths[b.prefix.Bits()] = true
		p := plane{b.prefix, b.key}
		spans[p] = append(spans[p], b.span)
	}
	for p := range spans {
		spans[p] = merge(spans[p])
	}
	var out []box
	for p, own := range spans {
		var above, aligned []span
		for bits := range p.prefix.Bits() {
			if !lengths[bits] {
				continue
			}
			q := plane{netip.PrefixFrom(p.prefix.Addr(), bits).Masked(), p.key}
			above = append(above, spans[q]...)
			if len(spans[q]) > 0 && (q.prefix.Addr() == p.prefix.Addr() || last(q.prefix) == last(p.prefix)) {
				aligned = append(aligned, spans[q]...)
			}
		}
		above = merge(above)
		for _, s := range subtract(own, merge(aligned)) {
			for _, a := range above {
				if a.lo <= s.lo && s.lo <= a.hi {
					s.lo = a.hi + 1
				}
				if a.lo <= s.hi && s.hi <= a.hi {
					s.hi = a.lo - 1
				}
			}
			if s.lo <= s.hi {
				out = append(out, box{p.prefix, p.key, s})
			}
		}
	}
	return out
}

// merge gives the same numbers in ranges that neither overlap nor touch, in order.
func merge(in []span) []span {
	in = slices.Clone(in)
	slices.SortFunc(in, func(a, b span) int { return a.lo - b.lo })
	var out []span
	for _, s := range in {
		if n := len(out); n > 0 && s.lo <= out[n-1].hi+1 {
			out[n-1].hi = max(out[n-1].hi, s.hi)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// subtract gives the numbers in one list that are not in the other. Both are merged.
func subtract(from, what []span) []span {
	if len(what) == 0 {
		return from
	}
	var out []span
	for _, s := range from {
		for _, w := range what {
			if w.hi < s.lo || w.lo > s.hi {
				continue
			}
			if s.lo < w.lo {
				out = append(out, span{s.lo, w.lo - 1})
			}
			s.lo = w.hi + 1
		}
		if s.lo <= s.hi {
			out = append(out, s)
		}
	}
	return out
}

// last is the last address of a prefix.
func last(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(a)
}

// apart leaves out the prefixes that are in others, and those that are not of IPv4.
func apart(in []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range in {
		if !ipv4(p) {
			continue
		}
		p = p.Masked()
		if slices.ContainsFunc(in, func(q netip.Prefix) bool {
			return ipv4(q) && q.Bits() < p.Bits() && q.Contains(p.Addr())
		}) || slices.Contains(out, p) {
			continue
		}
		out = append(out, p)
	}
	return out
}

// ipv4 says whether a prefix is one of IPv4 at all.
func ipv4(p netip.Prefix) bool { return p.IsValid() && p.Addr().Is4() }
