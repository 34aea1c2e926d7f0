package nft

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/dataplane"
)

var update = flag.Bool("update", false, "write the golden files anew")

// pfx and ip are short for the tests' many addresses.
var (
	pfx = netip.MustParsePrefix
	ip  = netip.MustParseAddr
)

// everyone is a rule about all addresses.
func everyone(protocol, from, to int) dataplane.Rule {
	return dataplane.Rule{Protocol: protocol, From: from, To: to, CIDR: pfx("0.0.0.0/0")}
}

// seed is the VPC of the seed page: a private subnet with an instance, an endpoint and no way out.
func seed() (*dataplane.VPC, []Link) {
	return &dataplane.VPC{
		ID: "vpc-0123456789abcdef0", Number: 1, CIDRs: []netip.Prefix{pfx("10.0.0.0/16")}, DNS: true,
		Subnets:     []dataplane.Subnet{{ID: "subnet-1", CIDR: pfx("10.0.1.0/24"), RouteTable: "rtb-1", ACL: "acl-1"}},
		RouteTables: []dataplane.RouteTable{{ID: "rtb-1", Number: 1}},
		Groups: []dataplane.Group{
			{ID: "sg-1", Egress: []dataplane.Rule{everyone(dataplane.AllProtocols, -1, -1)}},
			{ID: "sg-2", Ingress: []dataplane.Rule{{Protocol: 6, From: 443, To: 443, CIDR: pfx("10.0.0.0/16")}}},
		},
		ACLs: []dataplane.ACL{{
			ID:      "acl-1",
			Ingress: []dataplane.Entry{{Number: 100, Protocol: dataplane.AllProtocols, CIDR: pfx("0.0.0.0/0"), Allow: true}},
			Egress:  []dataplane.Entry{{Number: 100, Protocol: dataplane.AllProtocols, CIDR: pfx("0.0.0.0/0"), Allow: true}},
		}},
		Interfaces: []dataplane.Interface{
			{ID: "eni-00000000000000011", Subnet: "subnet-1", Kind: dataplane.Guest, Addresses: []netip.Addr{ip("10.0.1.10")}, Groups: []string{"sg-1"}},
			{ID: "eni-00000000000000012", Subnet: "subnet-1", Kind: dataplane.Endpoint, Addresses: []netip.Addr{ip("10.0.1.20")}, Groups: []string{"sg-2"}},
		},
	}, nil
}

// everything is a VPC that has at least one of each thing.
func everything() (*dataplane.VPC, []Link) {
	v, _ := seed()
	v.CIDRs = append(v.CIDRs, pfx("10.1.0.0/16"))
	v.InternetGateway = "igw-1"
	v.Subnets = append(v.Subnets,
		dataplane.Subnet{ID: "subnet-2", CIDR: pfx("10.0.2.0/24"), RouteTable: "rtb-2", ACL: "acl-2"},
		dataplane.Subnet{ID: "subnet-3", CIDR: pfx("10.1.0.0/24"), RouteTable: "rtb-1", ACL: "acl-none"})
	v.RouteTables = append(v.RouteTables, dataplane.RouteTable{ID: "rtb-2", Number: 3000})
	v.Groups = append(v.Groups,
		dataplane.Group{
			ID: "sg-3",
			Ingress: []dataplane.Rule{
				{Protocol: dataplane.AllProtocols, Group: "sg-3"},
				{Protocol: 6, From: 22, To: 22, Group: "sg-peer"},
				{Protocol: 1, From: 8, To: -1, Group: "sg-1"},
				{Protocol: 6, From: 22, To: 22, Group: "sg-none"},
				{Protocol: 1, From: 8, To: 0, CIDR: pfx("10.0.0.0/8")},
				{Protocol: 1, From: -1, To: -1, CIDR: pfx("192.0.2.0/24")},
				{Protocol: 50, CIDR: pfx("192.0.2.1/32")},
				{Protocol: 17, From: 0, To: 65535, CIDR: pfx("10.0.0.0/8")},
				{Protocol: 6, From: 80, To: 90, CIDR: pfx("10.0.0.0/8")},
				{Protocol: 6, From: 85, To: 100, CIDR: pfx("10.0.0.0/16")},
				{Protocol: 6, From: 100, To: 90, CIDR: pfx("10.0.0.0/16")},
				{Protocol: 6, From: 1, To: 2, CIDR: pfx("2001:db8::/32")},
			},
			Egress: []dataplane.Rule{everyone(6, 443, 443)},
		},
		dataplane.Group{ID: "sg-peer", Members: []netip.Addr{ip("10.9.0.5"), ip("10.9.0.4")}},
		dataplane.Group{ID: "sg-dns", Ingress: []dataplane.Rule{everyone(17, 53, 53), everyone(6, 53, 53)}, Egress: []dataplane.Rule{everyone(17, 53, 53)}})
	v.ACLs = append(v.ACLs, dataplane.ACL{
		ID: "acl-2",
		Ingress: []dataplane.Entry{
			{Number: 200, Protocol: 6, From: 1024, To: 65535, CIDR: pfx("0.0.0.0/0"), Allow: true},
			{Number: 100, Protocol: 6, From: 443, To: 443, CIDR: pfx("10.0.0.0/16"), Allow: true},
			{Number: 90, Protocol: dataplane.AllProtocols, CIDR: pfx("10.0.1.66/32")},
			{Number: 300, Protocol: 1, From: 3, To: 4, CIDR: pfx("0.0.0.0/0"), Allow: true},
			{Number: 310, Protocol: 1, From: 8, To: -1, CIDR: pfx("0.0.0.0/0"), Allow: true},
			{Number: 320, Protocol: 47, CIDR: pfx("0.0.0.0/0"), Allow: true},
			{Number: 330, Protocol: 6, From: 9, To: 1, CIDR: pfx("0.0.0.0/0"), Allow: true},
			{Number: 340, Protocol: 6, From: 9, To: 1, CIDR: pfx("0.0.0.0/0")},
		},
	})
	v.Interfaces = append(v.Interfaces,
		dataplane.Interface{ID: "eni-00000000000000021", Subnet: "subnet-2", Kind: dataplane.Guest,
			Addresses: []netip.Addr{ip("10.0.2.10"), ip("10.0.2.11")}, Groups: []string{"sg-3", "sg-1", "sg-3", "sg-none"}, Unchecked: true},
		dataplane.Interface{ID: "eni-00000000000000022", Subnet: "subnet-2", Kind: dataplane.Guest, Addresses: []netip.Addr{ip("10.0.2.12")}},
		dataplane.Interface{ID: "eni-00000000000000023", Subnet: "subnet-none", Kind: dataplane.Guest, Addresses: []netip.Addr{ip("10.0.2.13")}, Groups: []string{"sg-1"}},
		dataplane.Interface{ID: "eni-00000000000000024", Subnet: "subnet-2", Kind: dataplane.NAT, Addresses: []netip.Addr{ip("10.0.2.14")}},
		dataplane.Interface{ID: "eni-00000000000000031", Subnet: "subnet-3", Kind: dataplane.Inbound, Addresses: []netip.Addr{ip("10.1.0.53")}, Groups: []string{"sg-dns"}},
		dataplane.Interface{ID: "eni-00000000000000032", Subnet: "subnet-2", Kind: dataplane.Outbound, Addresses: []netip.Addr{ip("10.0.2.54")}, Groups: []string{"sg-dns"}},
		dataplane.Interface{ID: "drop table \"x\"; {", Subnet: "subnet-2", Kind: dataplane.Guest, Addresses: []netip.Addr{ip("10.0.2.15"), ip("10.0.2.12")}, Groups: []string{"sg-none"}})
	v.Groups = append(v.Groups, dataplane.Group{ID: "}; flush ruleset"})
	v.Gateways = []dataplane.Gateway{{ID: "vpce-1", Prefixes: []netip.Prefix{pfx("52.216.0.0/15"), pfx("52.217.1.0/24"), pfx("3.5.0.0/19")}}}
	v.Publics = []dataplane.Public{{Public: ip("198.51.100.7"), Private: ip("10.0.2.14")}, {Public: ip("198.51.100.8"), Private: ip("10.0.2.14")}}
	return v, []Link{
		{Device: PeeringDevice(7), CIDRs: []netip.Prefix{pfx("10.9.0.0/16"), pfx("10.9.1.0/24")}},
		{Device: TunnelDevice(8), CIDRs: []netip.Prefix{pfx("192.168.0.0/16")}},
		{Device: "p1\" accept", CIDRs: []netip.Prefix{pfx("0.0.0.0/0")}},
	}
}

// examples are VPCs whose tables are in testdata.
var examples = map[string]func() (*dataplane.VPC, []Link){
	"empty":      func() (*dataplane.VPC, []Link) { return &dataplane.VPC{ID: "vpc-1"}, nil },
	"seed":       seed,
	"everything": everything,
}

// TestText compares tables with the files in testdata. source: the data plane's facts, whose rules were proved with packets
func TestText(t *testing.T) {
	for name, example := range examples {
		t.Run(name, func(t *testing.T) {
			have := New(example()).Text()
			if again := New(example()).Text(); have != again {
				t.Fatal("the same VPC has two tables")
			}
			file := filepath.Join("testdata", name+".nft")
			if *update {
				if err := os.WriteFile(file, []byte("# source: the data plane's facts\n"+have), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, text, _ := strings.Cut(string(want), "\n")
			if diff := cmp.Diff(text, have); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDevice gives names that the kernel takes, whatever the id.
func TestDevice(t *testing.T) {
	hashed := Device("eni-ABC/..")
	for id, want := range map[string]string{
		"eni-0123456789abcdef0": "e3456789abcdef0",
		"eni-1":                 "e1",
		"eni-ABC/..":            hashed,
	} {
		if have := Device(id); have != want || len(have) > 15 {
			t.Errorf("%s: %s, not %s", id, have, want)
		}
	}
	if strings.Trim(hashed[1:], "0123456789abcdef") != "" || len(hashed) != 15 || Device("eni-") == hashed {
		t.Errorf("%s is no hash", hashed)
	}
}
