package resource

import (
	"net/netip"
	"strings"
)

// Range reads an IPv4 address range of a request, in its canonical form: the host's bits are cleared. The parameter is named
// as AWS's errors do. source: userguide, "IPv4 VPC CIDR blocks"
func Range(cidr, parameter string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(cidr)
	if err != nil || !p.Addr().Is4() {
		return netip.Prefix{}, Errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. This is not a valid CIDR block.", cidr, parameter) // source: aws
	}
	return p.Masked(), nil
}

// Contains says whether all addresses of one range are in the other.
func Contains(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// NoIPv6 is the error for what needs IPv6, which networks here do not have.
func NoIPv6() error { return Unsupported("IPv6") }

// Unsupported is the error for what AWS offers and nothing here would do.
func Unsupported(what string) error {
	return Errorf("UnsupportedOperation", "%s is not supported", what) // source: guess
}

// ZoneID is the id of an Availability Zone: use1-az1 of us-east-1a. AWS deals the ids out to the names of each account anew;
// here a is az1, b az2, and so on.
func ZoneID(zone string) string {
	region, letter := zone[:len(zone)-1], zone[len(zone)-1]
	parts := strings.Split(region, "-")
	var short strings.Builder
	for i, part := range parts {
		switch {
		case part == "": // a Region of one's own may be called anything
		case i == 0 || i == len(parts)-1:
			short.WriteString(part)
		case len(part) > 5 && strings.HasPrefix(part, "north"), len(part) > 5 && strings.HasPrefix(part, "south"):
			short.WriteString(part[:1] + part[5:6]) // northeast
		default:
			short.WriteString(part[:1])
		}
	}
	return short.String() + "-az" + string('1'+letter-'a')
}
