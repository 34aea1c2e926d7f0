package dns

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// addrs parses addresses.
func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// world is the network of the tests: a VPC with endpoints, zones and rules of every kind, and its peer, which has nothing of its own.
func world() Config {
	target := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}
	from := addrs("10.0.0.10")
	return Config{
		Public: []Zone{
			{Name: "us-east-1.amazonaws.com.", Records: []Record{
				{Name: "ssm.us-east-1.amazonaws.com.", Addresses: addrs("198.51.100.1", "2001:db8::1"), TTL: 60},
				{Name: "logs.us-east-1.amazonaws.com.", Addresses: addrs("198.51.100.2"), TTL: 60},
			}},
			{Name: "ssm.us-east-1.vpce.amazonaws.com.", Records: []Record{
				{Name: "vpce-1-abc.ssm.us-east-1.vpce.amazonaws.com.", Addresses: addrs("10.0.1.5", "10.0.2.5"), TTL: 60},
				{Name: "vpce-1-abc-us-east-1a.ssm.us-east-1.vpce.amazonaws.com.", Addresses: addrs("10.0.1.5"), TTL: 60},
			}},
			{Name: "example.com.", Records: []Record{
				{Name: "www.example.com.", Addresses: addrs("203.0.113.1"), TTL: 300},
				{Name: "only-public.example.com.", Addresses: addrs("203.0.113.2"), TTL: 300},
			}},
			{Name: "example.net.", Records: []Record{{Name: "www.example.net.", Addresses: addrs("203.0.113.3"), TTL: 300}}},
		},
		Views: []View{
			{VPC: "vpc-1", Zones: []Zone{
				{Name: "ssm.us-east-1.amazonaws.com.", Records: []Record{
					{Name: "ssm.us-east-1.amazonaws.com.", Alias: "vpce-1-abc.ssm.us-east-1.vpce.amazonaws.com.", TTL: 60},
				}},
				{Name: "example.com.", Records: []Record{
					{Name: "www.example.com.", Addresses: addrs("10.0.0.80"), TTL: 300},
					{Name: "deep.a.b.example.com.", Addresses: addrs("10.0.0.81"), TTL: 300},
					{Name: "*.wild.example.com.", Addresses: addrs("10.0.0.82"), TTL: 30},
					{Name: "host.wild.example.com.", Addresses: addrs("10.0.0.83"), TTL: 30},
					{Name: "x.ent.wild.example.com.", Addresses: addrs("10.0.0.84"), TTL: 30},
					{Name: "prod.*.example.com.", Addresses: addrs("10.0.0.85"), TTL: 30},
					{Name: "*.alias.example.com.", Alias: "www.example.com.", TTL: 30},
					{Name: "home.example.com.", Alias: "www.corp.example.com.", TTL: 30},
					{Name: "lost.example.com.", Alias: "nobody.example.com.", TTL: 30},
					{Name: "outside.example.com.", Alias: "www.example.net.", TTL: 30},
					{Name: "ring.example.com.", Alias: "gnir.example.com.", TTL: 30},
					{Name: "gnir.example.com.", Alias: "ring.example.com.", TTL: 30},
				}},
				{Name: "accounting.example.com.", Records: []Record{{Name: "seattle.accounting.example.com.", Addresses: addrs("10.0.0.90"), TTL: 5}}},
				{Name: "deep.corp.example.com.", Records: []Record{{Name: "www.deep.corp.example.com.", Addresses: addrs("10.0.0.91"), TTL: 5}}},
				{Name: "both.example.org.", Records: []Record{{Name: "www.both.example.org.", Addresses: addrs("10.0.0.92"), TTL: 5}}},
				{Name: "0.10.in-addr.arpa.", Records: []Record{{Name: "80.0.0.10.in-addr.arpa.", Pointer: "ip-10-0-0-80.ec2.internal.", TTL: 60}}},
			}, Rules: []Rule{
				{Name: "corp.example.com.", Targets: target, From: from},
				{Name: "www.corp.example.com.", Targets: target, From: from},
				{Name: "acme.corp.example.com."},
				{Name: "back.acme.corp.example.com.", Targets: target, From: from},
				{Name: "both.example.org.", Targets: target, From: from},
				{Name: "example.net.", Targets: target, From: from},
				{Name: "www.example.net."},
			}},
			{VPC: "vpc-2"},
			{VPC: "vpc-dot", Rules: []Rule{{Name: ".", Targets: target, From: from}, {Name: "amazonaws.com."}}},
		},
	}
}

// said writes an answer down in one line.
func said(a Answer) string {
	out := []string{string(a.From)}
	if a.Name != "" {
		out = append(out, a.Name)
	}
	if a.Ask != "" {
		out = append(out, "ask "+a.Ask)
	}
	if a.Code != "" {
		out = append(out, a.Code)
	}
	for _, r := range a.Records {
		switch {
		case r.Alias != "":
			out = append(out, fmt.Sprintf("%s -> %s", r.Name, r.Alias))
		case r.Pointer != "":
			out = append(out, fmt.Sprintf("%s is %s", r.Name, r.Pointer))
		default:
			out = append(out, fmt.Sprintf("%s %d %v", r.Name, r.TTL, r.Addresses))
		}
	}
	return strings.Join(out, "; ")
}

// TestLookup says of each question who answers it, and with what.
func TestLookup(t *testing.T) {
	table, err := Compile(world())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ vpc, name, qtype, want, source string }{
		// Who has the word.
		{"vpc-1", "ssm.us-east-1.amazonaws.com", "A", "public; ssm.us-east-1.vpce.amazonaws.com.; NOERROR; ssm.us-east-1.amazonaws.com. -> vpce-1-abc.ssm.us-east-1.vpce.amazonaws.com.; vpce-1-abc.ssm.us-east-1.vpce.amazonaws.com. 60 [10.0.1.5 10.0.2.5]", "userguide: the private name answers private addresses in the whole VPC"},
		{"vpc-2", "ssm.us-east-1.amazonaws.com", "A", "public; us-east-1.amazonaws.com.; NOERROR; ssm.us-east-1.amazonaws.com. 60 [198.51.100.1]", "userguide: private DNS does not follow the peering"},
		{"vpc-2", "vpce-1-abc-us-east-1a.ssm.us-east-1.vpce.amazonaws.com", "A", "public; ssm.us-east-1.vpce.amazonaws.com.; NOERROR; vpce-1-abc-us-east-1a.ssm.us-east-1.vpce.amazonaws.com. 60 [10.0.1.5]", "userguide: endpoint names are in public DNS with private addresses"},
		{"vpc-1", "logs.us-east-1.amazonaws.com", "A", "public; us-east-1.amazonaws.com.; NOERROR; logs.us-east-1.amazonaws.com. 60 [198.51.100.2]", "userguide: no private zone fits, so the name is resolved publicly"},
		{"vpc-1", "www.example.com", "A", "private; example.com.; NOERROR; www.example.com. 300 [10.0.0.80]", "userguide: split-view DNS"},
		{"vpc-2", "www.example.com", "A", "public; example.com.; NOERROR; www.example.com. 300 [203.0.113.1]", "userguide: split-view DNS"},
		{"vpc-1", "only-public.example.com", "A", "private; example.com.; NXDOMAIN", "userguide: a private zone that fits is never passed over"},
		{"vpc-1", "seattle.accounting.example.com", "A", "private; accounting.example.com.; NOERROR; seattle.accounting.example.com. 5 [10.0.0.90]", "userguide: most specific private zone"},
		{"vpc-1", "tacoma.accounting.example.com", "A", "private; accounting.example.com.; NXDOMAIN", "userguide: most specific private zone"},
		{"vpc-1", "xaccounting.example.com", "A", "private; example.com.; NXDOMAIN", "userguide: identical or a parent"},
		{"vpc-1", "nothing.example", "A", "nobody; NXDOMAIN", "guess: there is no internet"},
		{"vpc-1", "com", "A", "nobody; NXDOMAIN", "guess: there is no internet"},
		{"vpc-1", ".", "A", "nobody; NXDOMAIN", "guess: there is no internet"},
		{"vpc-3", "www.example.com", "A", "", "guess: no view, no answer"},
		// Rules.
		{"vpc-1", "corp.example.com", "A", "forward; corp.example.com.; ask corp.example.com.", "userguide: a rule fits its own name"},
		{"vpc-1", "zenith.corp.example.com", "A", "forward; corp.example.com.; ask zenith.corp.example.com.", "userguide: and all under it; more specific than the zone"},
		{"vpc-1", "www.corp.example.com", "A", "forward; www.corp.example.com.; ask www.corp.example.com.", "userguide: most specific rule"},
		{"vpc-1", "www.deep.corp.example.com", "A", "private; deep.corp.example.com.; NOERROR; www.deep.corp.example.com. 5 [10.0.0.91]", "userguide: autodefined rules keep private zones under a less specific rule"},
		{"vpc-1", "acme.corp.example.com", "A", "private; example.com.; NXDOMAIN", "userguide: a system rule has Resolver resolve the name itself"},
		{"vpc-1", "x.back.acme.corp.example.com", "A", "forward; back.acme.corp.example.com.; ask x.back.acme.corp.example.com.", "userguide: most specific rule"},
		{"vpc-1", "www.both.example.org", "A", "forward; both.example.org.; ask www.both.example.org.", "userguide: of a rule and a zone of one name, the rule"},
		{"vpc-1", "mail.example.net", "MX", "forward; example.net.; ask mail.example.net.", "userguide: a rule is for all types"},
		{"vpc-1", "www.example.net", "A", "public; example.net.; NOERROR; www.example.net. 300 [203.0.113.3]", "userguide: a system rule overrides a less specific rule"},
		{"vpc-dot", "anything.example", "A", "forward; .; ask anything.example.", "userguide: a rule for . takes all"},
		{"vpc-dot", "ssm.us-east-1.amazonaws.com", "A", "public; us-east-1.amazonaws.com.; NOERROR; ssm.us-east-1.amazonaws.com. 60 [198.51.100.1]", "userguide: the recommended system rule beside one for ."},
		{"vpc-2", "zenith.corp.example.com", "A", "public; example.com.; NXDOMAIN", "userguide: rules are for associated VPCs"},
		// Names and types that are not there.
		{"vpc-2", "ssm.us-east-1.amazonaws.com", "AAAA", "public; us-east-1.amazonaws.com.; NOERROR; ssm.us-east-1.amazonaws.com. 60 [2001:db8::1]", "rfc 3596"},
		{"vpc-1", "www.example.com", "AAAA", "private; example.com.; NOERROR", "userguide: NODATA is a name without records of the type"},
		{"vpc-1", "www.example.com", "TXT", "private; example.com.; NOERROR", "userguide: NODATA"},
		{"vpc-1", "b.example.com", "A", "private; example.com.; NOERROR", "userguide: NXDOMAIN means no records at children either"},
		{"vpc-1", "example.com", "A", "private; example.com.; NOERROR", "rfc 1034: a zone's own name exists"},
		{"vpc-1", "a.www.example.com", "A", "private; example.com.; NXDOMAIN", "rfc 1034"},
		{"vpc-1", "WWW.Example.COM.", "a", "private; example.com.; NOERROR; www.example.com. 300 [10.0.0.80]", "rfc 4343"},
		// Wildcards.
		{"vpc-1", "some.wild.example.com", "A", "private; example.com.; NOERROR; some.wild.example.com. 30 [10.0.0.82]", "userguide: the subdomain level that includes the asterisk"},
		{"vpc-1", "some.more.wild.example.com", "A", "private; example.com.; NOERROR; some.more.wild.example.com. 30 [10.0.0.82]", "userguide: and all subdomains of it"},
		{"vpc-1", "wild.example.com", "A", "private; example.com.; NOERROR", "rfc 4592: the name above exists; the guide says NXDOMAIN"},
		{"vpc-1", "host.wild.example.com", "A", "private; example.com.; NOERROR; host.wild.example.com. 30 [10.0.0.83]", "userguide: specific names take precedence"},
		{"vpc-1", "host.wild.example.com", "AAAA", "private; example.com.; NOERROR", "userguide: specific names take precedence, whatever the type"},
		{"vpc-1", "under.host.wild.example.com", "A", "private; example.com.; NXDOMAIN", "rfc 4592: the closest name above has no wildcard"},
		{"vpc-1", "ent.wild.example.com", "A", "private; example.com.; NOERROR", "rfc 4592: names between exist"},
		{"vpc-1", "y.ent.wild.example.com", "A", "private; example.com.; NXDOMAIN", "rfc 4592: names between exist"},
		{"vpc-1", "*.wild.example.com", "A", "private; example.com.; NOERROR; *.wild.example.com. 30 [10.0.0.82]", "rfc 4592: the wildcard itself can be asked"},
		{"vpc-1", "some.wild.example.com", "AAAA", "private; example.com.; NOERROR", "rfc 4592"},
		{"vpc-1", "prod.x.example.com", "A", "private; example.com.; NXDOMAIN", "userguide: an asterisk elsewhere is an asterisk"},
		{"vpc-1", "prod.*.example.com", "A", "private; example.com.; NOERROR; prod.*.example.com. 30 [10.0.0.85]", "userguide: an asterisk elsewhere is an asterisk"},
		{"vpc-1", "q.alias.example.com", "A", "private; example.com.; NOERROR; q.alias.example.com. -> www.example.com.; www.example.com. 300 [10.0.0.80]", "rfc 4592: a wildcard may be an alias"},
		// Aliases.
		{"vpc-1", "home.example.com", "A", "forward; www.corp.example.com.; ask www.corp.example.com.; home.example.com. -> www.corp.example.com.", "guess: each name is decided by itself"},
		{"vpc-1", "outside.example.com", "A", "public; example.net.; NOERROR; outside.example.com. -> www.example.net.; www.example.net. 300 [203.0.113.3]", "guess: each name is decided by itself"},
		{"vpc-1", "home.example.com", "CNAME", "private; example.com.; NOERROR; home.example.com. -> www.corp.example.com.", "rfc 1034: who asks for the alias gets it"},
		{"vpc-1", "home.example.com", "ANY", "private; example.com.; NOERROR; home.example.com. -> www.corp.example.com.", "rfc 8482"},
		{"vpc-2", "ssm.us-east-1.amazonaws.com", "ANY", "public; us-east-1.amazonaws.com.; NOERROR; ssm.us-east-1.amazonaws.com. 60 [198.51.100.1]", "rfc 8482"},
		{"vpc-1", "lost.example.com", "A", "private; example.com.; NXDOMAIN; lost.example.com. -> nobody.example.com.", "rfc 2308: the code is the last name's"},
		{"vpc-1", "lost.example.com", "PTR", "private; example.com.; NXDOMAIN; lost.example.com. -> nobody.example.com.", "rfc 2308"},
		// Addresses.
		{"vpc-1", "80.0.0.10.in-addr.arpa", "PTR", "private; 0.10.in-addr.arpa.; NOERROR; 80.0.0.10.in-addr.arpa. is ip-10-0-0-80.ec2.internal.", "userguide: reverse names of the VPC's range"},
		{"vpc-1", "81.0.0.10.in-addr.arpa", "PTR", "private; 0.10.in-addr.arpa.; NXDOMAIN", "guess"},
		{"vpc-1", "80.0.0.10.in-addr.arpa", "A", "private; 0.10.in-addr.arpa.; NOERROR", "rfc 1034"},
	} {
		if have := said(table.Lookup(row.vpc, row.name, row.qtype)); have != row.want {
			t.Errorf("%s %s %s (%s)\n have %s\n want %s", row.vpc, row.name, row.qtype, row.source, have, row.want)
		}
	}
	circle := table.Lookup("vpc-1", "ring.example.com", "A")
	if circle.Code != "SERVFAIL" || len(circle.Records) != maxAliases {
		t.Errorf("a circle of aliases gives %s", said(circle))
	}
}

// TestFaults leaves out what cannot be answered, and nothing else.
func TestFaults(t *testing.T) {
	here := Record{Name: "here.a.", Addresses: addrs("10.0.0.1"), TTL: 60}
	to := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}
	var many []Record
	for range 2 * mostFaults {
		many = append(many, Record{Name: "nothing.a."})
	}
	table, err := Compile(Config{
		Public: []Zone{{Name: "a..b."}, {Name: "a.", Records: append(many, here)}},
		Views: []View{{VPC: "v", Rules: []Rule{{Name: "b c."}, {Name: "corp.", Targets: to}, {Name: "corp."}}}, {VPC: "v"}, {VPC: "w"},
			{VPC: "x", Zones: []Zone{{Name: "a.", Records: []Record{{Name: "b."}, here, {Name: "here.a.", Alias: "there.a."}, {Name: "half.a.", Addresses: append(addrs("10.0.0.2"), netip.Addr{})}}}}}},
	})
	if err == nil || strings.Count(err.Error(), "\n") != mostFaults-1 {
		t.Errorf("have %v", err)
	}
	for question, want := range map[string]string{"v here.a.": "NOERROR", "w here.a.": "NOERROR", "x here.a.": "NOERROR", "x half.a.": "NXDOMAIN", "v x.corp.": ""} {
		vpc, name, _ := strings.Cut(question, " ")
		if a := table.Lookup(vpc, name, "A"); a.Code != want {
			t.Errorf("%s: %+v", question, a)
		}
	}
	if a := table.Lookup("v", "x.corp.", "A"); a.Rule == nil || len(a.Rule.Targets) != 1 {
		t.Errorf("the first of two rules: %+v", a)
	}
}

// TestCompile refuses what cannot be answered, and takes what only looks odd.
func TestCompile(t *testing.T) {
	zone := func(r ...Record) Config { return Config{Public: []Zone{{Name: "a.", Records: r}}} }
	rule := func(r ...Rule) Config { return Config{Views: []View{{VPC: "v", Rules: r}}} }
	to := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53")}
	for want, c := range map[string]Config{
		`public: zone "": is no whole name in lower case`:                                 {Public: []Zone{{}}},
		`public: zone "a": is no whole name in lower case`:                                {Public: []Zone{{Name: "a"}}},
		`public: zone "A.": is no whole name in lower case`:                               {Public: []Zone{{Name: "A."}}},
		`public: zone "a..b.": is no whole name in lower case`:                            {Public: []Zone{{Name: "a..b."}}},
		`public: zone "a b.": is no whole name in lower case`:                             {Public: []Zone{{Name: "a b."}}},
		`public: zone a.: record "b.": is not of this zone`:                               zone(Record{Name: "b.", Addresses: addrs("10.0.0.1")}),
		`public: zone a.: record "ba.": is not of this zone`:                              zone(Record{Name: "ba.", Addresses: addrs("10.0.0.1")}),
		`public: zone a.: record "a.": says nothing`:                                      zone(Record{Name: "a."}),
		`public: zone a.: record "a.": lives too long`:                                    zone(Record{Name: "a.", Alias: "b.", TTL: 1 << 31}),
		`public: zone a.: record "a.": has two aliases`:                                   zone(Record{Name: "a.", Alias: "b."}, Record{Name: "a.", Alias: "c."}),
		`public: zone a.: record "a.": has an alias beside other records`:                 zone(Record{Name: "a.", Alias: "b.", Addresses: addrs("10.0.0.1")}),
		`public: zone a.: record "a.": alias "B." is no whole name in lower case`:         zone(Record{Name: "a.", Alias: "B."}),
		`public: zone a.: record "a.": pointer "b" is no whole name in lower case`:        zone(Record{Name: "a.", Pointer: "b"}),
		`public: zone a.: record "a.": address "invalid IP" cannot be said`:               zone(Record{Name: "a.", Addresses: make([]netip.Addr, 1)}),
		`public: zone a.: record "a.": address "::ffff:10.0.0.1" cannot be said`:          zone(Record{Name: "a.", Addresses: addrs("::ffff:10.0.0.1")}),
		`public: zone a.: record "a.": address "fe80::1%eth0" cannot be said`:             zone(Record{Name: "a.", Addresses: addrs("fe80::1%eth0")}),
		`view "": wants one view for each VPC`:                                            {Views: []View{{}}},
		`view "v": wants one view for each VPC`:                                           {Views: []View{{VPC: "v"}, {VPC: "v"}}},
		`view v: zone "b": is no whole name in lower case`:                                {Views: []View{{VPC: "v", Zones: []Zone{{Name: "b"}}}}},
		`view v: rule "b": is no whole name in lower case`:                                rule(Rule{Name: "b", Targets: to}),
		`view v: rule "b.": is there twice`:                                               rule(Rule{Name: "b.", Targets: to}, Rule{Name: "b."}),
		`view v: rule "b.": target "192.0.2.1:0" is no address and port`:                  rule(Rule{Name: "b.", Targets: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:0")}}),
		`view v: rule "b.": is asked from no address`:                                     rule(Rule{Name: "b.", Targets: to, From: make([]netip.Addr, 1)}),
		`public: zone "` + strings.Repeat("a", 64) + `.": is no whole name in lower case`: {Public: []Zone{{Name: strings.Repeat("a", 64) + "."}}},
	} {
		if _, err := Compile(c); err == nil || err.Error() != want {
			t.Errorf("have %v\nwant %s", err, want)
		}
	}
	table, err := Compile(Config{Public: []Zone{
		{Name: "a.", Records: []Record{{Name: "x.a.", Addresses: addrs("10.0.0.1"), TTL: 60}}},
		{Name: "a.", Records: []Record{{Name: "x.a.", Addresses: addrs("10.0.0.2"), TTL: 30}, {Name: `dot\.dot.a.`, Alias: "x.a."}}},
		{Name: "."},
	}, Views: []View{{VPC: "v"}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"x.a.":         "public; a.; NOERROR; x.a. 30 [10.0.0.1 10.0.0.2]", // guess: zones of one name are one; rfc 2181, 5.2
		`dot\.dot.a.`:  `public; a.; NOERROR; dot\.dot.a. -> x.a.; x.a. 30 [10.0.0.1 10.0.0.2]`,
		`dot.dot.a.`:   "public; a.; NXDOMAIN",
		"elsewhere.b.": "public; .; NXDOMAIN",
	} {
		if diff := cmp.Diff(want, said(table.Lookup("v", name, "A"))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
