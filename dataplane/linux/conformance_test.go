package linux_test

import (
	"testing"
)

func setForever() {}

// front is what the services say to whoever comes to them.
func front(vpc, local, from, mark string) string {
	return "front " + vpc + " " + local + " from " + from + " mark " + mark
}

// standing are the expectations of a world that nobody has changed.
var standing = []check{
	{"same subnet", "i-a1", "10.10.1.11:7000", "10.10.1.10"},
	{"other subnet", "i-a1", "10.10.2.10:7000", "10.10.1.10"},
	{"other subnet, UDP", "i-a1", "udp 10.10.2.10:7000", "10.10.1.10"},
	{"an address that nobody has, in the subnet", "i-a1", "10.10.1.77:7000", timeout},
	{"an address that nobody has, elsewhere", "i-a1", "10.10.2.77:7000", timeout},
	{"an address that no subnet has", "i-a1", "10.10.200.1:7000", timeout},

	{"group: denies by default", "i-a1", "10.10.6.26:7000", timeout},
	{"group: a range", "i-a1", "10.10.6.23:80", "10.10.1.10"},
	{"group: another port", "i-a1", "10.10.6.23:443", timeout},
	{"group: itself", "i-self2", "10.10.6.21:7000", "10.10.6.22"},
	{"group: not itself", "i-a1", "10.10.6.21:7000", timeout},
	{"group: a reference", "i-client", "10.10.6.20:7000", "10.10.6.10"},
	{"group: a reference, another port", "i-client", "10.10.6.20:7001", timeout},
	{"group: no member of the reference", "i-other", "10.10.6.20:7000", timeout},
	{"group: union, by one", "i-client", "10.10.6.23:7000", "10.10.6.10"},
	{"group: union, by the other", "i-other", "10.10.6.23:80", "10.10.6.11"},
	{"group: egress", "i-narrow", "10.10.1.11:7000", "10.10.6.24"},
	{"group: egress, another port", "i-narrow", "10.10.1.11:7001", timeout},
	{"group: egress, another address", "i-narrow", "10.10.1.10:7000", timeout},
	{"group: who may answer may not ask", "i-ref", "10.10.1.10:7000", timeout},
	{"group: a peer's", "i-b1", "10.10.6.25:7000", "10.20.1.10"},
	{"group: a peer's, no member", "i-b2", "10.10.6.25:7000", timeout},
	{"group: a reference by private address", "i-pubclient", "10.10.0.12:7000", "10.10.0.13"},
	{"group: a reference by public address", "i-pubclient", "203.0.113.12:7000", timeout},

	{"closed to all but DNS", "i-closed", "10.10.1.10:7000", timeout},
	{"DNS at base+2", "i-closed", "udp 10.10.0.2:53", "10.10.7.10"},
	{"DNS at base+2, TCP", "i-closed", "10.10.0.2:53", "dns vpc-a 10.10.0.2 from 10.10.7.10 mark 3"},
	{"DNS at 169.254.169.253", "i-closed", "udp 169.254.169.253:53", "10.10.7.10"},
	{"metadata", "i-closed", "169.254.169.254:80", "metadata vpc-a 169.254.169.254 from 10.10.7.10 mark 3"},
	{"metadata, another port", "i-a1", "169.254.169.254:443", timeout},
	{"no DNS in a VPC without it", "i-c1", "udp 10.30.0.2:53", timeout},
	{"no DNS in a VPC without it, link-local", "i-c1", "udp 169.254.169.253:53", timeout},
	{"metadata of another VPC", "i-c1", "169.254.169.254:80", "metadata vpc-c 169.254.169.254 from 10.30.0.10 mark 1"},
	{"DNS of a peer", "i-b1", "udp 10.10.0.2:53", timeout},
	{"a router is nobody", "i-a1", "10.10.1.1:443", timeout},

	{"endpoint", "i-a1", "10.10.3.20:443", front("vpc-a", "10.10.3.20", "10.10.1.10", "2")},
	{"endpoint, from an isolated subnet", "i-iso", "10.10.3.20:443", front("vpc-a", "10.10.3.20", "10.10.2.10", "3")},
	{"endpoint, a port that its group lacks", "i-a1", "10.10.3.20:80", timeout},
	{"endpoint, a port that it lacks", "i-a1", "10.10.3.20:7000", timeout},
	{"endpoint with an empty group", "i-a1", "10.10.3.21:443", timeout},
	{"endpoint, from a peer", "i-b1", "10.10.3.20:443", front("vpc-a", "10.10.3.20", "10.20.1.10", "0")},
	{"endpoint, from a peer's peer", "i-c1", "10.10.3.20:443", timeout},
	{"endpoint, from a site", "mi-1", "10.10.3.20:443", front("vpc-a", "10.10.3.20", "192.168.0.10", "0")},
	{"endpoint, from a subnet that an ACL closes", "i-closed", "10.10.3.20:443", timeout},
	{"endpoint of the same address in another VPC", "i-d1", "10.10.3.20:443", front("vpc-d", "10.10.3.20", "10.10.1.10", "9")},

	{"gateway endpoint", "i-a1", s3 + ":443", front("vpc-a", s3, "10.10.1.10", "2")},
	{"gateway endpoint, without TLS", "i-a1", s3 + ":80", front("vpc-a", s3, "10.10.1.10", "2")},
	{"gateway endpoint, another address", "i-a1", "198.51.100.200:443", front("vpc-a", "198.51.100.200", "10.10.1.10", "2")},
	{"gateway endpoint, another port", "i-a1", s3 + ":7000", timeout},
	{"gateway endpoint, from a subnet without a route", "i-iso", s3 + ":443", timeout},
	{"gateway endpoint, from a public subnet", "i-web", s3 + ":443", front("internet", s3, webPublic, "0")},
	{"gateway endpoint, from a peer", "i-b1", s3 + ":443", timeout},
	{"gateway endpoint, by a group with its prefixes", "i-narrow", s3 + ":443", front("vpc-a", s3, "10.10.6.24", "2")},
	{"a group with the prefixes of a gateway endpoint", "i-narrow", ssm + ":443", timeout},

	{"internet gateway, out", "i-web", ssm + ":443", front("internet", ssm, webPublic, "0")},
	{"internet gateway, in", "mi-1", webPublic + ":80", outside},
	{"internet gateway, in, a port that the group lacks", "mi-1", webPublic + ":7000", timeout},
	{"internet gateway, without a public address", "i-bare", ssm + ":443", timeout},
	{"NAT gateway", "i-a1", ssm + ":443", front("internet", ssm, natPublic, "0")},
	{"NAT gateway, unsolicited", "mi-1", natPublic + ":443", timeout},
	{"NAT gateway, to a public address of the VPC", "i-a1", webPublic + ":80", natPublic},
	{"NAT gateway, by itself", "i-a1", "10.10.0.30:443", timeout},
	{"no way to the internet", "i-iso", ssm + ":443", timeout},
	{"a route to what is gone", "i-c1", ssm + ":443", timeout},

	{"peering", "i-a1", "10.20.1.10:7000", "10.10.1.10"},
	{"peering, the other way", "i-b1", "10.10.1.10:7000", "10.20.1.10"},
	{"peering, without a route", "i-iso", "10.20.1.10:7000", timeout},
	{"peering, without a route back", "i-b1", "10.10.2.10:7000", timeout},
	{"peering is not transitive", "i-a1", "10.30.0.10:7000", timeout},
	{"peering is not transitive, the other way", "i-c1", "10.10.1.10:7000", timeout},
	{"peering of b and c", "i-c1", "10.20.1.10:7000", "10.30.0.10"},
	{"a peer's internet gateway", "i-b1", ssm + ":443", timeout},

	{"Resolver inbound endpoint, from a peer", "i-b1", "udp 10.10.3.53:53", "10.20.1.10"},
	{"Resolver inbound endpoint, TCP", "i-b1", "10.10.3.53:53", "resolver vpc-a 10.10.3.53 from 10.20.1.10 mark 0"},
	{"Resolver inbound endpoint, from a site", "mi-1", "udp 10.10.3.53:53", "192.168.0.10"},
	{"Resolver inbound endpoint, not by its group", "i-a1", "udp 10.10.3.53:53", timeout},

	{"site", "mi-1", "192.168.0.11:7000", "192.168.0.10"},
	{"site to VPC", "mi-1", "10.10.1.10:7000", "192.168.0.10"},
	{"VPC to site", "i-a1", "192.168.0.10:7000", "10.10.1.10"},
	{"site to a VPC's peer", "mi-1", "10.20.1.10:7000", timeout},
	{"site to the internet", "mi-1", ssm + ":443", front("internet", ssm, outside, "0")},
	{"site to a subnet without a route back", "mi-1", "10.10.2.10:7000", timeout},

	{"middlebox", "i-mid", "10.20.1.10:7000", "10.10.4.10"},
}

func TestConformance(t *testing.T) {
	l := newLab(t, world())
	forward(l, "i-box")
	t.Run("Standing", func(t *testing.T) {
		l.expect(standing...)
	})
}
