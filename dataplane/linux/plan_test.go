package linux

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dataplane/linux/nft"
)

// text is what a plan comes to, in words much like those of `ip`. Settings are left out, and black holes have the type 6.
func (p *plan) text() string {
	var b strings.Builder
	for _, s := range p.order {
		fmt.Fprintf(&b, "%s\n", s.id)
		for _, l := range s.state.links[1:] {
			fmt.Fprintf(&b, "\tlink %s mtu %d address %s alias %q quick %v\n", l.Name, l.MTU, l.MAC, l.Alias, l.Quick)
		}
		for _, a := range s.state.addresses {
			fmt.Fprintf(&b, "\taddr %s dev %s\n", a.Prefix, a.Dev)
		}
		for _, n := range s.state.neighbours {
			fmt.Fprintf(&b, "\tneigh %s lladdr %s dev %s\n", n.IP, n.MAC, n.Dev)
		}
		for _, r := range s.state.rules {
			fmt.Fprintf(&b, "\trule %d from %v to %v iif %q mark %d table %d\n", r.Pref, r.From, r.To, r.Iif, r.Mark, r.Table)
		}
		for _, r := range s.state.routes {
			fmt.Fprintf(&b, "\troute table %d to %v type %d via %v dev %q\n", r.Table, r.To, r.Type, r.Via, r.Dev)
		}
	}
	for _, c := range p.cables {
		fmt.Fprintf(&b, "cable %s %s -- %s %s\n", c.a.space, c.a.dev, c.b.space, c.b.dev)
	}
	return strings.NewReplacer("invalid Prefix", "any", "invalid IP", "nobody").Replace(b.String())
}

// small is a VPC with one of everything that a plan is about.
func small() *dataplane.Config {
	px, ip := netip.MustParsePrefix, netip.MustParseAddr
	return &dataplane.Config{
		Services: []netip.Addr{ip("192.0.2.1")},
		VPCs: []dataplane.VPC{{
			ID: "vpc-1", Number: 7, CIDRs: []netip.Prefix{px("10.0.0.0/16")}, DNS: true, InternetGateway: "igw-1",
			Subnets:  []dataplane.Subnet{{ID: "subnet-1", CIDR: px("10.0.1.0/24"), RouteTable: "rtb-1"}},
			Gateways: []dataplane.Gateway{{ID: "vpce-2", Prefixes: []netip.Prefix{px("198.51.100.0/24")}}},
			RouteTables: []dataplane.RouteTable{{ID: "rtb-1", Number: 3, Routes: []dataplane.Route{
				{Destination: px("0.0.0.0/0"), Target: dataplane.ToInternet}, {Destination: px("198.51.100.0/24"), Target: dataplane.ToGateway, ID: "vpce-2"},
				{Destination: px("10.9.0.0/16"), Target: dataplane.ToPeering, ID: "pcx-gone"}, {Destination: px("10.0.9.0/24"), Target: dataplane.ToInterface, ID: "eni-0000000000000001f"},
			}}},
			Interfaces: []dataplane.Interface{
				{ID: "eni-0000000000000001f", Subnet: "subnet-1", Kind: dataplane.Guest, MAC: "02:00:00:00:00:05", Addresses: []netip.Addr{ip("10.0.1.5")}, Machine: "i-1"},
				{ID: "eni-0000000000000002f", Subnet: "subnet-1", Kind: dataplane.Endpoint, Addresses: []netip.Addr{ip("10.0.1.6")}},
			},
			Publics: []dataplane.Public{{Public: ip("203.0.113.5"), Private: ip("10.0.1.5")}},
		}},
		Machines: []dataplane.Machine{{ID: "i-1"}},
	}
}

// TestPlan states a Config and what it comes to.
func TestPlan(t *testing.T) {
	p := newPlan(small(), nil)
	if len(p.failures) > 0 {
		t.Error(p.failures)
	}
	const want = `vpc-1
	link e0000000000001f mtu 9001 address 06:01:00:00:00:01 alias "vpc-1/eni-0000000000000001f" quick true
	link igw0 mtu 1500 address 06:02:00:00:07:01 alias "igw-1" quick false
	addr 10.0.0.2/32 dev lo
	addr 10.0.1.1/32 dev lo
	addr 169.254.169.253/32 dev lo
	addr 169.254.169.254/32 dev lo
	addr 10.0.1.6/32 dev lo
	neigh 10.0.1.5 lladdr 02:00:00:00:00:05 dev e0000000000001f
	neigh 169.254.255.1 lladdr 06:02:00:00:07:02 dev igw0
	rule 0 from any to any iif "" mark 0 table 255
	rule 100 from any to any iif "" mark 0 table 50
	rule 32000 from any to any iif "" mark 0 table 0
	rule 1000 from any to any iif "" mark 3 table 10003
	rule 90 from any to any iif "" mark 3 table 20003
	rule 2000 from 10.0.1.0/24 to any iif "lo" mark 0 table 10003
	rule 80 from 10.0.1.0/24 to 10.0.1.0/24 iif "" mark 0 table 50
	rule 90 from 10.0.1.0/24 to any iif "lo" mark 0 table 20003
	route table 50 to 10.0.0.0/16 type 6 via nobody dev ""
	route table 50 to 10.0.1.5/32 type 1 via nobody dev "e0000000000001f"
	route table 10003 to 0.0.0.0/0 type 1 via 169.254.255.1 dev "igw0"
	route table 10003 to 198.51.100.0/24 type 2 via nobody dev "lo"
	route table 10003 to 10.9.0.0/16 type 6 via nobody dev ""
	route table 20003 to 10.0.9.0/24 type 1 via 10.0.1.5 dev "e0000000000001f"
internet
	link u7 mtu 1500 address 06:02:00:00:07:02 alias "igw-1" quick false
	addr 192.0.2.1/32 dev lo
	neigh 169.254.255.1 lladdr 06:02:00:00:07:01 dev u7
	rule 0 from any to any iif "" mark 0 table 255
	rule 32766 from any to any iif "" mark 0 table 254
	rule 32767 from any to any iif "" mark 0 table 253
	route table 254 to 0.0.0.0/0 type 6 via nobody dev ""
	route table 254 to 203.0.113.5/32 type 1 via 169.254.255.1 dev "u7"
i-1
	link eth0 mtu 9001 address 02:00:00:00:00:05 alias "" quick false
	addr 10.0.1.5/24 dev eth0
	route table 254 to 0.0.0.0/0 type 1 via 10.0.1.1 dev "eth0"
cable vpc-1 e0000000000001f -- i-1 eth0
cable vpc-1 igw0 -- internet u7
`
	if diff := cmp.Diff(want, p.text()); diff != "" {
		t.Error(diff)
	}
	if newPlan(small(), nil).text() != p.text() {
		t.Error("the same Config comes to something else")
	}
	absent := newPlan(small(), map[string]bool{"i-1": true})
	if s := absent.text(); strings.Contains(s, "e0000000000001f") || !strings.Contains(s, "table 20003 to 10.0.9.0/24 type 6") {
		t.Errorf("without the machine:\n%s", s)
	}
}

// FuzzPlan plans what anybody may send. Whatever it is, ids in names are harmless, and what is planned hangs together.
func FuzzPlan(f *testing.F) {
	for _, c := range []*dataplane.Config{small(), {}} {
		b, err := json.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"VPCs":[{"ID":"vpc-1","Number":1,"CIDRs":["10.0.0.0/31"]},{"ID":"../x","Number":2,"CIDRs":["10.0.0.0/8"]}],"Peerings":[{"A":"vpc-1","B":"vpc-1"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c dataplane.Config
		if json.Unmarshal(b, &c) != nil {
			return
		}
		p := newPlan(&c, nil)
		p.config.Sockets()
		for id, s := range p.spaces {
			if strings.ContainsAny(id, "/\x00") || id == "" || id[0] == '.' {
				t.Errorf("%q would be a file's name", id)
			}
			if s.vpc != nil {
				nft.New(s.vpc, s.beside)
			}
			names := map[string]bool{"": true}
			for _, l := range s.state.links {
				if names[l.Name] || len(l.Name) > 15 || strings.ContainsAny(l.Name, "/ ") {
					t.Errorf("%s has a link %q", id, l.Name)
				}
				names[l.Name] = true
			}
			for _, r := range s.state.routes {
				if !names[r.Dev] {
					t.Errorf("%s has a route over %s, which it lacks", id, r.Dev)
				}
			}
		}
		for _, e := range p.cables {
			if p.spaces[e.a.space] == nil || p.spaces[e.b.space] == nil {
				t.Errorf("a cable hangs loose: %+v", e)
			}
		}
	})
}
