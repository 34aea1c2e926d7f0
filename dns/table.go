package dns

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// maxAliases is how many aliases are followed for one query; who needs more is going in a circle.
const maxAliases = 16

// maxTTL is the longest life that a record may have (RFC 2181, 8).
const maxTTL = 1<<31 - 1

// negative is for how many seconds others may remember that a name or a type is not there. It is as short as the life of an
// endpoint's own records, so that a private name is seen a minute after it was made.
const negative = 60

// Table is a Config made ready to be asked. It never changes.
type Table struct {
	views map[string]*view
}

// view is what one VPC sees.
type view struct {
	vpc     string
	places  map[string]place            // of this VPC alone
	public  map[string]place            // of everybody, rules never
	targets map[netip.AddrPort]struct{} // of all rules
}

// place is what begins at a name: a zone, a rule, or both.
type place struct {
	zone *zone
	rule *Rule
}

// zone holds the names at and under its own, and those between them that have no record themselves.
type zone struct {
	name  string
	nodes map[string]*node
}

// node is a name of a zone.
type node struct {
	v4, v6   []netip.Addr
	alias    string
	pointers []string
	ttl      uint32 // the least of its records
	star     *node  // the name * under this one, if it has records: it speaks for names that are not there
}

// Compile makes a Config ready. What cannot be answered is left out, and the error says what that is; the table is good
// nonetheless, because one bad name must not silence all others.
func Compile(config Config) (*Table, error) {
	var wrong faults
	public := make(map[string]place, len(config.Public))
	for i := range config.Public {
		addZone(public, &config.Public[i], func(err error) { wrong.add("public: %w", err) })
	}
	t := &Table{views: make(map[string]*view, len(config.Views))}
	for i := range config.Views {
		in := &config.Views[i]
		if _, twice := t.views[in.VPC]; twice || in.VPC == "" {
			wrong.add("view %q: wants one view for each VPC", in.VPC)
			continue
		}
		v := &view{vpc: in.VPC, public: public, places: make(map[string]place, len(in.Zones)+len(in.Rules)), targets: map[netip.AddrPort]struct{}{}}
		for j := range in.Zones {
			addZone(v.places, &in.Zones[j], func(err error) { wrong.add("view %s: %w", in.VPC, err) })
		}
		for j := range in.Rules {
			if err := v.addRule(in.Rules[j]); err != nil {
				wrong.add("view %s: rule %q: %w", in.VPC, in.Rules[j].Name, err)
			}
		}
		t.views[in.VPC] = v
	}
	return t, errors.Join(wrong...)
}

// faults are what is wrong with a Config. There may be many of a kind, and a few tell enough.
type faults []error

// mostFaults is how many faults are told.
const mostFaults = 10

// add tells one more.
func (f *faults) add(format string, args ...any) {
	if len(*f) < mostFaults {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}

// addRule puts a rule at its name.
func (v *view) addRule(r Rule) error {
	if !proper(r.Name) {
		return errors.New("is no whole name in lower case")
	}
	p := v.places[r.Name]
	if p.rule != nil {
		return errors.New("is there twice")
	}
	for _, to := range r.Targets {
		if !to.IsValid() || to.Port() == 0 {
			return fmt.Errorf("target %q is no address and port", to)
		}
	}
	for _, from := range r.From {
		if !from.IsValid() {
			return errors.New("is asked from no address")
		}
	}
	for _, to := range r.Targets {
		v.targets[to] = struct{}{}
	}
	r.Targets, r.From = slices.Clone(r.Targets), slices.Clone(r.From)
	p.rule = &r
	v.places[r.Name] = p
	return nil
}

// addZone puts a zone at its name; zones of one name are one.
func addZone(places map[string]place, in *Zone, wrong func(error)) {
	if !proper(in.Name) {
		wrong(fmt.Errorf("zone %q: is no whole name in lower case", in.Name))
		return
	}
	p := places[in.Name]
	if p.zone == nil {
		p.zone = &zone{name: in.Name, nodes: map[string]*node{in.Name: {}}}
		places[in.Name] = p
	}
	for i := range in.Records {
		if err := p.zone.add(&in.Records[i]); err != nil {
			wrong(fmt.Errorf("zone %s: record %q: %w", in.Name, in.Records[i].Name, err))
		}
	}
}

// add puts a record at its name, or nothing of it.
func (z *zone) add(r *Record) error {
	switch {
	case !proper(r.Name):
		return errors.New("is no whole name in lower case")
	case !dns.IsSubDomain(z.name, r.Name):
		return errors.New("is not of this zone")
	case len(r.Addresses) == 0 && r.Alias == "" && r.Pointer == "":
		return errors.New("says nothing")
	case r.TTL > maxTTL:
		return errors.New("lives too long")
	case r.Pointer != "" && !proper(r.Pointer):
		return fmt.Errorf("pointer %q is no whole name in lower case", r.Pointer)
	case r.Alias != "" && !proper(r.Alias):
		return fmt.Errorf("alias %q is no whole name in lower case", r.Alias)
	}
	for _, a := range r.Addresses {
		if !a.Is4() && (!a.Is6() || a.Is4In6() || a.Zone() != "") {
			return fmt.Errorf("address %q cannot be said", a)
		}
	}
	n := cmp.Or(z.nodes[r.Name], new(node))
	plain := n.v4 != nil || n.v6 != nil || n.pointers != nil
	switch {
	case r.Alias != "" && n.alias != "" && n.alias != r.Alias:
		return errors.New("has two aliases")
	case (r.Alias != "" || n.alias != "") && (plain || len(r.Addresses) > 0 || r.Pointer != ""):
		return errors.New("has an alias beside other records")
	}
	n = z.grow(r.Name)
	if !plain && n.alias == "" || r.TTL < n.ttl {
		n.ttl = r.TTL
	}
	if strings.HasPrefix(r.Name, "*.") && r.Name != z.name {
		z.grow(parent(r.Name)).star = n
	}
	for _, a := range r.Addresses {
		if a.Is4() {
			n.v4 = append(n.v4, a)
		} else {
			n.v6 = append(n.v6, a)
		}
	}
	if r.Pointer != "" {
		n.pointers = append(n.pointers, r.Pointer)
	}
	if r.Alias != "" {
		n.alias = r.Alias
	}
	return nil
}

// grow gives the node of a name, made with all those between it and the zone's own if need be: a name exists when a longer one does.
func (z *zone) grow(name string) *node {
	if n := z.nodes[name]; n != nil {
		return n
	}
	n := new(node)
	z.nodes[name] = n
	z.grow(parent(name))
	return n
}

// find gives the node that speaks for a name at or under the zone's, or nil when the name does not exist: its own, or else
// that of the name * under the closest name above that exists (RFC 4592).
func (z *zone) find(name string) *node {
	n := z.nodes[name]
	if n != nil {
		return n
	}
	for n == nil {
		name = parent(name)
		n = z.nodes[name]
	}
	return n.star
}

// parent is the name above a name, or the root.
func parent(name string) string {
	if next, end := dns.NextLabel(name, 0); !end {
		return name[next:]
	}
	return "."
}

// proper reports whether a name is whole, in lower case, and escaped as a name read from a message will be.
func proper(name string) bool {
	var wire [255]byte
	n, err := dns.PackDomainName(name, wire[:], 0, nil, false)
	if err != nil || name == "" {
		return false
	}
	back, _, err := dns.UnpackDomainName(wire[:n], 0)
	return err == nil && back == name && strings.ToLower(name) == name
}

// decide says who has the word on a name: a zone or a rule of the VPC, whichever has the longest name that fits, and the rule
// where they are equal; then everybody's zones. A rule of type SYSTEM ends the search for rules, not that for zones.
func (v *view) decide(name string) (Source, place) {
	system := false
	for at := name; ; at = parent(at) {
		p := v.places[at]
		if p.rule != nil && !system {
			if len(p.rule.Targets) > 0 {
				return Forward, place{rule: p.rule}
			}
			system = true
		}
		if p.zone != nil {
			return Private, place{zone: p.zone}
		}
		if at == "." {
			break
		}
	}
	for at := name; ; at = parent(at) {
		if p, ok := v.public[at]; ok {
			return Public, p
		}
		if at == "." {
			return Nobody, place{}
		}
	}
}

// finding is what is known of a name and a type.
type finding struct {
	from    Source
	place   place
	aliases []alias
	name    string // the asked one, or the last alias's
	node    *node  // of place.zone; nil when the name does not exist
	circle  bool   // too many aliases
}

// alias is one that was followed.
type alias struct {
	name, to string
	ttl      uint32
}

// find looks a name in lower case up and follows aliases within the view.
func (v *view) find(name string, qtype uint16) finding {
	var f finding
	for {
		f.name, f.node = name, nil
		f.from, f.place = v.decide(name)
		if f.place.zone == nil {
			return f
		}
		f.node = f.place.zone.find(name)
		if f.node == nil || f.node.alias == "" || qtype == dns.TypeCNAME || qtype == dns.TypeANY {
			return f
		}
		if len(f.aliases) == maxAliases {
			f.circle = true
			return f
		}
		f.aliases = append(f.aliases, alias{name: name, to: f.node.alias, ttl: f.node.ttl})
		name = f.node.alias
	}
}

// rcode is the code of a finding that needs no other server.
func (f *finding) rcode() int {
	switch {
	case f.circle:
		return dns.RcodeServerFailure
	case f.node == nil:
		return dns.RcodeNameError
	}
	return dns.RcodeSuccess
}

// Source says who has the last word on a name.
type Source string

// The sources.
const (
	Silent  Source = ""        // nothing answers in that VPC
	Private Source = "private" // a zone of the VPC
	Forward Source = "forward" // a rule of Resolver: other servers are asked
	Public  Source = "public"  // a zone that everybody sees
	Nobody  Source = "nobody"  // no zone and no rule: the name does not exist
)

// Answer is what a VPC's resolver says to a question, and why.
type Answer struct {
	From    Source
	Name    string   `json:",omitempty"` // of the zone or rule that has the last word
	Code    string   `json:",omitempty"` // NOERROR, NXDOMAIN or SERVFAIL; "" where From is Forward or Silent
	Records []Record `json:",omitempty"` // what is said: first the aliases, in the order in which they are followed
	Ask     string   `json:",omitempty"` // the name for which the servers of Rule are asked
	Rule    *Rule    `json:",omitempty"`
}

// Lookup says what a VPC's resolver answers to a question for a name, whole or not and in any case, and a type like A or PTR.
func (t *Table) Lookup(vpc, name, qtype string) Answer {
	v := t.view(vpc)
	if v == nil {
		return Answer{}
	}
	code := dns.StringToType[strings.ToUpper(qtype)]
	f := v.find(strings.ToLower(dns.Fqdn(name)), code)
	a := Answer{From: f.from}
	for _, l := range f.aliases {
		a.Records = append(a.Records, Record{Name: l.name, Alias: l.to, TTL: l.ttl})
	}
	switch {
	case f.place.rule != nil:
		a.Name, a.Ask, a.Rule = f.place.rule.Name, f.name, f.place.rule
		return a
	case f.place.zone != nil:
		a.Name = f.place.zone.name
	}
	a.Code = dns.RcodeToString[f.rcode()]
	if n := f.node; n != nil && !f.circle {
		r := Record{Name: f.name, TTL: n.ttl}
		switch n.holds(code) {
		case dns.TypeA:
			r.Addresses = n.v4
		case dns.TypeAAAA:
			r.Addresses = n.v6
		case dns.TypeCNAME:
			r.Alias = n.alias
		case dns.TypePTR:
			for _, p := range n.pointers {
				a.Records = append(a.Records, Record{Name: f.name, Pointer: p, TTL: n.ttl})
			}
			return a
		default:
			return a
		}
		a.Records = append(a.Records, r)
	}
	return a
}

// holds gives the type of the records with which a node answers a type, or 0 if it has none. ANY is answered with the records of
// one type (RFC 8482).
func (n *node) holds(qtype uint16) uint16 {
	for _, of := range [...]struct {
		qtype uint16
		has   bool
	}{{dns.TypeA, n.v4 != nil}, {dns.TypeAAAA, n.v6 != nil}, {dns.TypeCNAME, n.alias != ""}, {dns.TypePTR, n.pointers != nil}} {
		if of.has && (of.qtype == qtype || qtype == dns.TypeANY) {
			return of.qtype
		}
	}
	return 0
}

// view is a VPC's, or nil.
func (t *Table) view(vpc string) *view {
	if t == nil {
		return nil
	}
	return t.views[vpc]
}
