package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/dns"
	"github.com/vennel/vennel/service/ec2/resource"
)

// ttl is how long answers may be kept, in seconds. source: aws, as seen for endpoints and instances
const ttl = 60

// ipName is the name that an address gives to an instance. source: userguide, "Amazon EC2 instance hostnames"
func ipName(a netip.Addr) string { return "ip-" + strings.ReplaceAll(a.String(), ".", "-") }

// internalDomain is the domain of instances' private names. source: as above
func internalDomain(region string) string {
	if region == "us-east-1" {
		return "ec2.internal"
	}
	return region + ".compute.internal"
}

// externalDomain is the domain of instances' public names. source: as above
func externalDomain(region string) string {
	if region == "us-east-1" {
		return "compute-1.amazonaws.com"
	}
	return region + ".compute.amazonaws.com"
}

// zone collects the records of a zone by name.
type zone map[string]*dns.Record

// add adds addresses to a name. A name without any is not there: an endpoint may have no subnet.
func (z zone) add(name string, list ...netip.Addr) {
	name = whole(name)
	for _, a := range list {
		if !a.IsValid() {
			continue
		}
		if z[name] == nil {
			z[name] = &dns.Record{Name: name, TTL: ttl}
		}
		if r := z[name]; !slices.Contains(r.Addresses, a) {
			r.Addresses = append(r.Addresses, a)
		}
	}
}

// done is the zone in the order of its names. A name without addresses, as that of an endpoint without subnets, has no record.
func (z zone) done(name string) dns.Zone {
	out := dns.Zone{Name: whole(name)}
	for _, n := range slices.Sorted(maps.Keys(z)) {
		if len(z[n].Addresses) > 0 {
			out.Records = append(out.Records, *z[n])
		}
	}
	return out
}

// whole is a name in lower case, with its dot.
func whole(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) + "." }

// Names is what is answered.
func (s *State) Names(o *Options) dns.Config {
	x := s.newIndex(o)
	c := dns.Config{Public: x.public()}
	for _, v := range s.VPCs {
		if !v.Data.DNSSupport {
			continue
		}
		c.Views = append(c.Views, x.view(v, v.ID))
		if slices.ContainsFunc(x.interfaces[v.ID], func(n *resource.Record[resource.NetworkInterface]) bool { return n.Data.Holder == dataplane.Inbound }) {
			c.Views = append(c.Views, x.view(v, InboundView(v.ID)))
		}
	}
	return c
}

// public are the names that everybody sees: the services', those of endpoints, which lead to private addresses, and those of
// instances with a public address.
func (x *index) public() []dns.Zone {
	aws, dual := zone{}, zone{}
	for _, region := range x.regions(x.o) {
		for _, service := range resource.EndpointServices {
			a := resource.ServiceAddress(region, service)
			if service == "s3" {
				for _, name := range []string{"s3." + region, "s3-" + region, "s3.dualstack." + region, "s3"} {
					aws.add(name+".amazonaws.com", a)
					aws.add("*."+name+".amazonaws.com", a)
				}
				continue
			}
			aws.add(service+"."+region+".amazonaws.com", a)
			aws.add(service+"-fips."+region+".amazonaws.com", a)
			dual.add(service+"."+region+".api.aws", a)
			if service == "iam" || service == "sts" {
				aws.add(service+".amazonaws.com", a)
			}
		}
	}
	for _, e := range x.Endpoints {
		if gone(e.Data.State) {
			continue
		}
		for name, list := range x.endpointNames(e) {
			aws.add(name, list...)
		}
	}
	for _, v := range x.VPCs {
		if !v.Data.DNSHostnames {
			continue
		}
		for _, p := range x.publics(v.ID) {
			aws.add(publicName(v.Region, p.Public), p.Public)
		}
	}
	return []dns.Zone{aws.done("amazonaws.com"), dual.done("api.aws")}
}

// publicName is the name of a public address.
func publicName(region string, a netip.Addr) string {
	return "ec2-" + strings.ReplaceAll(a.String(), ".", "-") + "." + externalDomain(region)
}

// endpointNames are the names of an interface endpoint's own, with the addresses of each: the Regional one has all, a zonal
// one that zone's. Those of S3 have a label of any kind before them.
func (x *index) endpointNames(e *resource.Record[resource.Endpoint]) map[string][]netip.Addr {
	names := map[string][]netip.Addr{}
	if api.Or(e.Data.VpcEndpointType, "") != ec2.VpcEndpointTypeInterface {
		return names
	}
	for _, d := range e.Data.DnsEntries {
		name := api.Or(d.DnsName, "")
		if !strings.Contains(name, "vpce-") {
			continue
		}
		for _, id := range e.Data.NetworkInterfaceIds {
			n := x.enis[id]
			if n == nil {
				continue
			}
			zone := api.Or(n.Data.AvailabilityZone, "")
			first, _, _ := strings.Cut(strings.TrimPrefix(name, "*."), ".")
			if regional := !endsInZone(first, e.Region); regional || strings.HasSuffix(first, "-"+zone) {
				names[name] = append(names[name], addresses(&n.Data)[0])
			}
		}
	}
	return names
}

// endsInZone says whether a label ends with a zone of a Region.
func endsInZone(label, region string) bool {
	return slices.ContainsFunc(resource.Zones(region), func(z string) bool { return strings.HasSuffix(label, "-"+z) })
}

// InboundView is the name of what those see who ask a VPC's inbound Resolver endpoints: the same, and the private names of the
// endpoints that are for them only.
func InboundView(vpc string) string { return vpc + "/inbound" }

// view is what one VPC sees, under a name.
func (x *index) view(v *resource.Record[resource.VPC], name string) dns.View {
	out := dns.View{VPC: name}
	for _, e := range x.endpoints[v.ID] {
		only := e.Data.DnsOptions != nil && api.Or(e.Data.DnsOptions.PrivateDnsOnlyForInboundResolverEndpoint, false)
		if !api.Or(e.Data.PrivateDnsEnabled, false) || gone(e.Data.State) || !v.Data.DNSHostnames || only && name == v.ID {
			continue
		}
		var list []netip.Addr
		for _, id := range e.Data.NetworkInterfaceIds {
			if n := x.enis[id]; n != nil {
				list = append(list, addresses(&n.Data)[0])
			}
		}
		for _, d := range e.Data.DnsEntries {
			name := api.Or(d.DnsName, "")
			if name == "" || strings.Contains(name, "vpce-") {
				continue
			}
			apex, z := strings.TrimPrefix(name, "*."), zone{}
			z.add(name, list...)
			i := slices.IndexFunc(out.Zones, func(o dns.Zone) bool { return o.Name == whole(apex) })
			if i < 0 {
				out.Zones = append(out.Zones, z.done(apex))
			} else {
				out.Zones[i].Records = append(out.Zones[i].Records, z.done(apex).Records...)
			}
		}
	}
	out.Zones = append(out.Zones, x.hosts(v)...)
	slices.SortFunc(out.Zones, func(a, b dns.Zone) int { return compare(a.Name, b.Name) })
	for _, l := range x.ResolverLinks {
		if api.Or(l.Data.VPCId, "") == v.ID && !gone(l.Data.Status) {
			out.Rules = append(out.Rules, x.forward(api.Or(l.Data.ResolverRuleId, ""))...)
		}
	}
	if len(out.Rules) > 0 && v.Data.DNSHostnames {
		for _, name := range autodefined(v.Region) {
			if !slices.ContainsFunc(out.Rules, func(r dns.Rule) bool { return r.Name == name }) {
				out.Rules = append(out.Rules, dns.Rule{Name: name})
			}
		}
	}
	slices.SortFunc(out.Rules, func(a, b dns.Rule) int { return compare(a.Name, b.Name) })
	return out
}

// autodefined are the names that a VPC with DNS host names keeps from the rules of shorter ones. source: userguide, "Domain
// names that Resolver creates autodefined system rules for"
func autodefined(region string) []string {
	list := []string{
		"localhost.", "localdomain.", "127.in-addr.arpa.", "10.in-addr.arpa.", "168.192.in-addr.arpa.", "254.169.254.169.in-addr.arpa.",
		whole(internalDomain(region)), whole(externalDomain(region)),
	}
	for i := 16; i < 32; i++ {
		list = append(list, fmt.Sprintf("%d.172.in-addr.arpa.", i))
	}
	return list
}

// hosts are the names of a VPC's interfaces, and the way back from addresses to names. With the attribute enableDnsHostnames
// public names lead to private addresses inside, too. Peered VPCs see each other's by the option of the peering.
func (x *index) hosts(v *resource.Record[resource.VPC]) []dns.Zone {
	forward, back := zone{}, map[string]*dns.Record{}
	domain := internalDomain(v.Region)
	out := []dns.Zone{}
	for _, n := range x.interfaces[v.ID] {
		for _, a := range addresses(&n.Data) {
			if !a.IsValid() {
				continue
			}
			name := ipName(a) + "." + domain
			forward.add(name, a)
			reverse := reverseName(a)
			back[reverse] = &dns.Record{Name: reverse, Pointer: whole(name), TTL: ttl}
		}
	}
	out = append(out, forward.done(domain))
	for _, c := range cidrs(&v.Data) {
		z := dns.Zone{Name: reverseZone(c)}
		for _, name := range slices.Sorted(maps.Keys(back)) {
			if strings.HasSuffix(name, "."+z.Name) {
				z.Records = append(z.Records, *back[name])
			}
		}
		if !slices.ContainsFunc(out, func(o dns.Zone) bool { return o.Name == z.Name }) {
			out = append(out, z)
		}
	}
	if v.Data.DNSHostnames {
		for _, p := range x.publics(v.ID) {
			name := publicName(v.Region, p.Public)
			z := zone{}
			z.add(name, p.Private)
			out = append(out, z.done(name))
		}
	}
	for _, other := range x.resolvable(v.ID) {
		for _, p := range x.publics(other.ID) {
			name := publicName(other.Region, p.Public)
			z := zone{}
			z.add(name, p.Private)
			out = append(out, z.done(name))
		}
	}
	return out
}

// resolvable are the peered VPCs whose public names lead to private addresses in a VPC, by the options of the peering. source:
// userguide, "Enable DNS resolution for a VPC peering connection"
func (x *index) resolvable(vpc string) (list []*resource.Record[resource.VPC]) {
	for _, p := range x.Peerings {
		if peeringCode(&p.Data) != ec2.VpcPeeringConnectionStateReasonCodeActive {
			continue
		}
		for _, side := range [][2]*ec2.VpcPeeringConnectionVpcInfo{
			{p.Data.RequesterVpcInfo, p.Data.AccepterVpcInfo}, {p.Data.AccepterVpcInfo, p.Data.RequesterVpcInfo},
		} {
			here, there := side[0], side[1]
			if *here.VpcId != vpc || there.PeeringOptions == nil || !api.Or(there.PeeringOptions.AllowDnsResolutionFromRemoteVpc, false) {
				continue
			}
			if other := x.vpcs[*there.VpcId]; other != nil && other.Data.DNSHostnames {
				list = append(list, other)
			}
		}
	}
	return list
}

// reverseName is the name that leads from an address to its name.
func reverseName(a netip.Addr) string {
	b := a.As4()
	return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa.", b[3], b[2], b[1], b[0])
}

// reverseZone is the zone of a range's addresses, by its whole bytes.
func reverseZone(p netip.Prefix) string {
	b := p.Masked().Addr().As4()
	name := "in-addr.arpa."
	for i := range p.Bits() / 8 {
		name = fmt.Sprintf("%d.%s", b[i], name)
	}
	return name
}

// forward is a rule of Resolver.
func (x *index) forward(id string) []dns.Rule {
	for _, r := range x.ResolverRules {
		if r.ID != id || gone(r.Data.Status) {
			continue
		}
		out := dns.Rule{Name: whole(api.Or(r.Data.DomainName, ""))}
		if api.Or(r.Data.RuleType, "") != "FORWARD" {
			return []dns.Rule{out}
		}
		for _, t := range r.Data.TargetIps {
			if a := resource.Addr(t.Ip); a.IsValid() {
				out.Targets = append(out.Targets, netip.AddrPortFrom(a, uint16(api.Or(t.Port, 53))))
			}
		}
		for _, n := range x.Interfaces {
			if n.Data.Holder == dataplane.Outbound && n.Data.Owner == api.Or(r.Data.ResolverEndpointId, "-") {
				out.From, out.VPC = append(out.From, addresses(&n.Data)[0]), n.VPC
			}
		}
		if len(out.Targets) == 0 {
			return nil
		}
		return []dns.Rule{out}
	}
	return nil
}
