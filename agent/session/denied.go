package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// denied are the addresses to which nothing is forwarded: an instance's metadata, its DNS, time and licence services. source: agent
var denied = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("169.254.169.253"), netip.MustParseAddr("fd00:ec2::253"),
	netip.MustParseAddr("169.254.169.123"), netip.MustParseAddr("fd00:ec2::123"),
	netip.MustParseAddr("169.254.169.250"), netip.MustParseAddr("169.254.169.251"), netip.MustParseAddr("fd00:ec2::240"),
}

// The prefixes of IPv4 addresses that a NAT64 reaches: the well-known one, and that from which networks choose their own, of one of
// several lengths. source: RFC 6052, RFC 8215
var (
	translation      = netip.MustParsePrefix("64:ff9b::/96")
	localTranslation = netip.MustParsePrefix("64:ff9b:1::/48")
)

// meanings are all the addresses, in their simplest form, that an address may reach, so that no other form of one gets past a list.
func meanings(a netip.Addr) []netip.Addr {
	a = a.Unmap().WithZone("")
	all := []netip.Addr{a}
	embedded := func(at ...int) {
		b := a.As16()
		all = append(all, netip.AddrFrom4([4]byte{b[at[0]], b[at[1]], b[at[2]], b[at[3]]}))
	}
	switch {
	case translation.Contains(a):
		embedded(12, 13, 14, 15)
	case localTranslation.Contains(a):
		embedded(6, 7, 9, 10) // byte 8 is never part of it
		embedded(7, 9, 10, 11)
		embedded(9, 10, 11, 12)
		embedded(12, 13, 14, 15)
	}
	return all
}

// Reserved are the addresses that Amazon reserves in a VPC's block: the first four, of which one is its DNS, and the last. source: agent
func Reserved(block netip.Prefix) []netip.Addr {
	block = block.Masked()
	var all []netip.Addr
	at := block.Addr()
	for range 4 {
		all = append(all, at)
		at = at.Next()
	}
	last := block.Addr().AsSlice()
	for i := block.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	end, _ := netip.AddrFromSlice(last) // of the same length
	return append(all, end)
}

// errForbidden says that nothing is forwarded to an address.
var errForbidden = errors.New("is forbidden")

// target finds the addresses of a remote host. It is asked for each connection, and the addresses that it gives are those that are
// dialled: a name cannot be made to mean something else in between. The error is errForbidden when any of them is denied.
func target(ctx context.Context, host string, more []netip.Addr) ([]netip.Addr, error) {
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for i, a := range found {
		found[i] = a.Unmap()
		if slices.ContainsFunc(meanings(a), func(m netip.Addr) bool { return slices.Contains(denied, m) || slices.Contains(more, m) }) {
			return nil, fmt.Errorf("Forwarding to IP address %s %w.", host, errForbidden) //nolint:staticcheck,revive // the official agent's words, which the user is shown
		}
	}
	return found, nil
}
