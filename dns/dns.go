// Package dns answers names in private networks: each VPC has a view of its own, with the private names of its endpoints,
// its instances' names, its Resolver rules, and behind them the names that everybody sees.
//
// A [Config] is the whole truth and [Server.Set] may be called twice with the same value. Names are in lower case, whole,
// with a dot at the end. Sockets are given to the server; it opens none.
//
// AWS calls it the Amazon DNS server, or Route 53 VPC Resolver: base+2 and 169.254.169.253 of each VPC, and the addresses of
// inbound Resolver endpoints, which answer as their VPC's resolver does. It differs in this: there is no internet behind it, so a
// name that nobody was given does not exist, and it remembers nothing that other servers have said.
package dns

import "net/netip"

// Config is everything that is answered.
type Config struct {
	Public []Zone `json:",omitempty"` // what everybody sees
	Views  []View `json:",omitempty"`
}

// View is what one VPC sees.
type View struct {
	VPC   string
	Zones []Zone `json:",omitempty"` // seen by nobody else; the longest name that fits wins
	Rules []Rule `json:",omitempty"` // of Resolver
}

// Zone holds all names at and under its own: what it has not is NXDOMAIN, or, where the name has records of another type, an
// empty answer. A private zone hides the public names under it.
type Zone struct {
	Name    string
	Records []Record `json:",omitempty"`
}

// Record is an answer. Several addresses are given in a random order.
type Record struct {
	Name      string       // may begin with a label *
	Addresses []netip.Addr `json:",omitempty"` // A, and AAAA for IPv6
	Alias     string       `json:",omitempty"` // CNAME, followed within the view
	Pointer   string       `json:",omitempty"` // PTR
	TTL       uint32       // seconds
}

// Rule sends queries for a name, and all under it, to other servers; the longest name that fits wins. A rule without targets
// is of type SYSTEM: it takes its name back from a shorter rule. Where a rule and a private zone fit equally well, the rule wins.
type Rule struct {
	Name    string
	Targets []netip.AddrPort `json:",omitempty"`
	From    []netip.Addr     `json:",omitempty"` // the addresses of the outbound endpoint that asks
	VPC     string           `json:",omitempty"` // where that endpoint is, when it is not in the view's own
}
