package linux_test

import (
	"net/netip"
	"testing"

	"github.com/vennel/vennel/dataplane"
)

func px(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ip(s string) netip.Addr   { return netip.MustParseAddr(s) }

func setForever() {}

func TestSmoke(t *testing.T) {
	all := []dataplane.Rule{{Protocol: dataplane.AllProtocols, To: 65535, CIDR: px("0.0.0.0/0")}}
	acl := []dataplane.Entry{{Number: 100, Protocol: dataplane.AllProtocols, To: 65535, CIDR: px("0.0.0.0/0"), Allow: true}}
	c := &dataplane.Config{
		VPCs: []dataplane.VPC{{
			ID: "vpc-0a", Number: 1, CIDRs: []netip.Prefix{px("10.10.0.0/16")}, DNS: true,
			Subnets: []dataplane.Subnet{
				{ID: "subnet-1", CIDR: px("10.10.1.0/24"), RouteTable: "rtb-1", ACL: "acl-1"},
				{ID: "subnet-2", CIDR: px("10.10.2.0/24"), RouteTable: "rtb-1", ACL: "acl-1"},
			},
			RouteTables: []dataplane.RouteTable{{ID: "rtb-1", Number: 1}},
			Groups:      []dataplane.Group{{ID: "sg-1", Ingress: all, Egress: all}},
			ACLs:        []dataplane.ACL{{ID: "acl-1", Ingress: acl, Egress: acl}},
			Interfaces: []dataplane.Interface{
				{ID: "eni-00000000000000001", Subnet: "subnet-1", Kind: dataplane.Guest, Addresses: []netip.Addr{ip("10.10.1.10")}, Groups: []string{"sg-1"}, Machine: "i-1"},
				{ID: "eni-00000000000000002", Subnet: "subnet-1", Kind: dataplane.Guest, Addresses: []netip.Addr{ip("10.10.1.11")}, Groups: []string{"sg-1"}, Machine: "i-2"},
				{ID: "eni-00000000000000003", Subnet: "subnet-2", Kind: dataplane.Guest, Addresses: []netip.Addr{ip("10.10.2.11")}, Groups: []string{"sg-1"}, Machine: "i-3"},
				{ID: "eni-00000000000000004", Subnet: "subnet-2", Kind: dataplane.Endpoint, Addresses: []netip.Addr{ip("10.10.2.20")}, Groups: []string{"sg-1"}, Owner: "vpce-1"},
			},
		}},
		Machines: []dataplane.Machine{{ID: "i-1"}, {ID: "i-2"}, {ID: "i-3"}},
	}
	l := newLab(t, c)
	l.expect(
		check{"same subnet", "i-1", "10.10.1.11:7000", "10.10.1.10"},
		check{"other subnet", "i-1", "10.10.2.11:7000", "10.10.1.10"},
		check{"nobody", "i-1", "10.10.2.12:7000", timeout},
		check{"nobody near", "i-1", "10.10.1.12:7000", timeout},
		check{"endpoint", "i-1", "10.10.2.20:443", "front vpc-0a 10.10.2.20 from 10.10.1.10 mark 1"},
		check{"dns", "i-1", "udp 10.10.0.2:53", "10.10.1.10"},
		check{"dns", "i-1", "tcp 169.254.169.253:53", "dns vpc-0a 169.254.169.253 from 10.10.1.10 mark 1"},
		check{"imds", "i-1", "169.254.169.254:80", "metadata vpc-0a 169.254.169.254 from 10.10.1.10 mark 1"},
	)
}
