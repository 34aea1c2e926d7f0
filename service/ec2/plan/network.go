package plan

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/instance"
	"github.com/vennel/vennel/service/ec2/resource"
)

// index is the State by what belongs together, while a plan is made of it.
type index struct {
	*State
	o *Options

	subnets     map[string][]*resource.Record[resource.Subnet]
	tables      map[string][]*resource.Record[resource.RouteTable]
	acls        map[string][]*resource.Record[resource.NetworkAcl]
	groups      map[string][]*resource.Record[resource.SecurityGroup]
	interfaces  map[string][]*resource.Record[resource.NetworkInterface]
	endpoints   map[string][]*resource.Record[resource.Endpoint]
	rules       map[string][]*resource.Record[resource.SecurityGroupRule] // by group
	enis        map[string]*resource.Record[resource.NetworkInterface]
	vpcs        map[string]*resource.Record[resource.VPC]
	instances   map[string]*resource.Record[resource.Instance]
	prefixLists map[string][]netip.Prefix
	members     map[string][]netip.Addr // addresses by group
	groupVPC    map[string]string       // VPC by group
	natENI      map[string]string       // interface by NAT gateway
	firstENI    map[string]string       // primary interface by instance
}

// newIndex makes the index.
func (s *State) newIndex(o *Options) *index {
	x := &index{
		State: s, o: o, subnets: byVPC(s.Subnets), tables: byVPC(s.RouteTables), acls: byVPC(s.ACLs), groups: byVPC(s.Groups),
		interfaces: byVPC(s.Interfaces), endpoints: byVPC(s.Endpoints), enis: byID(s.Interfaces), vpcs: byID(s.VPCs),
		instances: byID(s.Instances), rules: map[string][]*resource.Record[resource.SecurityGroupRule]{}, prefixLists: map[string][]netip.Prefix{},
		members: map[string][]netip.Addr{}, groupVPC: map[string]string{}, natENI: map[string]string{}, firstENI: map[string]string{},
	}
	for _, r := range s.Rules {
		id := api.Or(r.Data.GroupId, "")
		x.rules[id] = append(x.rules[id], r)
	}
	for _, g := range s.Groups {
		x.groupVPC[g.ID] = g.VPC
	}
	for _, n := range s.Interfaces {
		for _, g := range n.Data.Groups {
			x.members[*g.GroupId] = append(x.members[*g.GroupId], addresses(&n.Data)...)
		}
		switch n.Data.Holder {
		case dataplane.NAT:
			x.natENI[n.Data.Owner] = n.ID
		case dataplane.Guest:
			if a := n.Data.Attachment; a != nil && a.InstanceId != nil && api.Or(a.DeviceIndex, 0) == 0 {
				x.firstENI[*a.InstanceId] = n.ID
			}
		}
	}
	for _, p := range s.PrefixLists {
		if n := len(p.Data.Versions); n > 0 {
			for _, e := range p.Data.Versions[n-1] {
				x.prefixLists[p.ID] = append(x.prefixLists[p.ID], resource.Prefix(e.Cidr))
			}
		}
	}
	for _, region := range s.regions(o) {
		for _, p := range resource.AWSPrefixLists(region) {
			x.prefixLists[p.ID] = p.CIDRs
		}
	}
	return x
}

// addresses are all of an interface, the primary one first.
func addresses(n *resource.NetworkInterface) []netip.Addr {
	list := []netip.Addr{resource.Addr(n.PrivateIpAddress)}
	for _, a := range n.PrivateIpAddresses {
		if !api.Or(a.Primary, false) {
			list = append(list, resource.Addr(a.PrivateIpAddress))
		}
	}
	return list
}

// Network is what the host carries.
func (s *State) Network(o *Options) *dataplane.Config {
	x := s.newIndex(o)
	c := &dataplane.Config{Sites: o.Sites, Machines: slices.Clone(o.Hosts)}
	for _, region := range s.regions(o) {
		for _, service := range resource.EndpointServices {
			if a := resource.ServiceAddress(region, service); !slices.Contains(c.Services, a) {
				c.Services = append(c.Services, a)
			}
		}
	}
	slices.SortFunc(c.Services, netip.Addr.Compare)
	for _, v := range s.VPCs {
		c.VPCs = append(c.VPCs, x.vpc(v))
	}
	for _, p := range s.Peerings {
		if code := peeringCode(&p.Data); code != ec2.VpcPeeringConnectionStateReasonCodeActive && code != ec2.VpcPeeringConnectionStateReasonCodeProvisioning {
			continue
		}
		c.Peerings = append(c.Peerings, dataplane.Peering{
			ID: p.ID, Number: p.Data.Number, A: *p.Data.RequesterVpcInfo.VpcId, B: *p.Data.AccepterVpcInfo.VpcId,
		})
	}
	c.Tunnels = x.tunnels()
	c.Machines = append(c.Machines, x.machines()...)
	return c
}

// peeringCode is the status of a peering connection.
func peeringCode(p *resource.Peering) string {
	if p.Status == nil {
		return ""
	}
	return api.Or(p.Status.Code, "")
}

// vpc is one VPC.
func (x *index) vpc(v *resource.Record[resource.VPC]) dataplane.VPC {
	out := dataplane.VPC{ID: v.ID, Number: v.Data.Number, CIDRs: cidrs(&v.Data), DNS: v.Data.DNSSupport}
	main := ""
	tableOf, aclOf := map[string]string{}, map[string]string{}
	for _, t := range x.tables[v.ID] {
		for _, a := range t.Data.Associations {
			if api.Or(a.Main, false) {
				main = t.ID
			} else if a.SubnetId != nil {
				tableOf[*a.SubnetId] = t.ID
			}
		}
		out.RouteTables = append(out.RouteTables, dataplane.RouteTable{ID: t.ID, Number: t.Data.Number, Routes: x.routes(v, t)})
	}
	for _, a := range x.acls[v.ID] {
		for _, s := range a.Data.Associations {
			aclOf[*s.SubnetId] = a.ID
		}
		out.ACLs = append(out.ACLs, acl(a))
	}
	for _, s := range x.subnets[v.ID] {
		table := tableOf[s.ID]
		if table == "" {
			table = main
		}
		out.Subnets = append(out.Subnets, dataplane.Subnet{ID: s.ID, CIDR: resource.Prefix(s.Data.CidrBlock), RouteTable: table, ACL: aclOf[s.ID]})
	}
	out.Groups = x.securityGroups(v.ID)
	for _, n := range x.interfaces[v.ID] {
		out.Interfaces = append(out.Interfaces, networkInterface(n))
	}
	for _, e := range x.endpoints[v.ID] {
		if api.Or(e.Data.VpcEndpointType, "") != ec2.VpcEndpointTypeGateway || gone(e.Data.State) {
			continue
		}
		out.Gateways = append(out.Gateways, dataplane.Gateway{ID: e.ID, Prefixes: x.gatewayPrefixes(e)})
	}
	for _, g := range x.InternetGateways {
		if g.VPC == v.ID {
			out.InternetGateway = g.ID
		}
	}
	out.Publics = x.publics(v.ID)
	return out
}

// gone says whether a state is that of something on its way out.
func gone(state *string) bool {
	switch api.Or(state, "") {
	case "deleting", "deleted", "failed", "rejected", "expired", "Deleting", "Deleted", "Failed":
		return true
	}
	return false
}

// cidrs are a VPC's ranges, the primary one first.
func cidrs(v *resource.VPC) []netip.Prefix {
	list := []netip.Prefix{resource.Prefix(v.CidrBlock)}
	for _, a := range v.CidrBlockAssociationSet {
		p := resource.Prefix(a.CidrBlock)
		if p != list[0] && a.CidrBlockState != nil && (*a.CidrBlockState.State == "associated" || *a.CidrBlockState.State == "associating") {
			list = append(list, p)
		}
	}
	return list
}

// gatewayPrefixes are the addresses that a gateway endpoint routes.
func (x *index) gatewayPrefixes(e *resource.Record[resource.Endpoint]) []netip.Prefix {
	for _, p := range resource.AWSPrefixLists(e.Region) {
		if p.Name == api.Or(e.Data.ServiceName, "") {
			return p.CIDRs
		}
	}
	return nil
}

// routes are the routes of a table, one to a destination: those to ranges come before those to prefix lists, of which the first wins,
// gateway endpoints' among them, and both before those of VPN connections. source: userguide, "Route priority for prefix lists"
func (x *index) routes(v *resource.Record[resource.VPC], t *resource.Record[resource.RouteTable]) []dataplane.Route {
	list, taken := []dataplane.Route{}, map[netip.Prefix]bool{}
	add := func(target dataplane.Target, id string, destinations ...netip.Prefix) {
		for _, d := range destinations {
			if d.IsValid() && d.Addr().Is4() && !taken[d] {
				taken[d] = true
				list = append(list, dataplane.Route{Destination: d, Target: target, ID: id})
			}
		}
	}
	for _, lists := range []bool{false, true} {
		for _, r := range t.Data.Routes {
			target, id := x.target(v.ID, &r)
			switch {
			case target == "", lists != (r.DestinationPrefixListId != nil): // local, or not now
			case lists:
				add(target, id, x.prefixLists[*r.DestinationPrefixListId]...)
			default:
				add(target, id, resource.Prefix(r.DestinationCidrBlock))
			}
		}
	}
	for _, e := range x.endpoints[v.ID] {
		if !slices.Contains(e.Data.RouteTableIds, t.ID) || gone(e.Data.State) {
			continue
		}
		add(dataplane.ToGateway, e.ID, x.gatewayPrefixes(e)...)
	}
	for _, g := range t.Data.PropagatingVgws {
		for _, c := range x.VpnConnections {
			if api.Or(c.Data.VpnGatewayId, "") != api.Or(g.GatewayId, "-") || gone(c.Data.State) {
				continue
			}
			for _, s := range c.Data.Routes {
				add(dataplane.ToTunnel, c.ID, resource.Prefix(s.DestinationCidrBlock))
			}
		}
	}
	return list
}

// target is what a route leads to; "" for the VPC itself.
func (x *index) target(vpc string, r *ec2.Route) (dataplane.Target, string) {
	switch {
	case r.GatewayId != nil && *r.GatewayId == "local":
		return "", ""
	case r.GatewayId != nil && len(*r.GatewayId) > 4 && (*r.GatewayId)[:4] == "igw-":
		return dataplane.ToInternet, *r.GatewayId
	case r.GatewayId != nil && len(*r.GatewayId) > 4 && (*r.GatewayId)[:4] == "vgw-":
		return x.tunnelOf(vpc, *r.GatewayId, resource.Prefix(r.DestinationCidrBlock))
	case r.NatGatewayId != nil && x.natENI[*r.NatGatewayId] != "":
		return dataplane.ToInterface, x.natENI[*r.NatGatewayId]
	case r.NetworkInterfaceId != nil:
		return dataplane.ToInterface, *r.NetworkInterfaceId
	case r.InstanceId != nil && x.firstENI[*r.InstanceId] != "":
		return dataplane.ToInterface, x.firstENI[*r.InstanceId]
	case r.VpcPeeringConnectionId != nil:
		return dataplane.ToPeering, *r.VpcPeeringConnectionId
	}
	return dataplane.ToNowhere, ""
}

// tunnelOf is the VPN connection of a virtual private gateway that leads to a destination.
func (x *index) tunnelOf(vpc, gateway string, to netip.Prefix) (dataplane.Target, string) {
	for _, g := range x.VpnGateways {
		if g.ID != gateway || g.VPC != vpc {
			continue
		}
		for _, c := range x.VpnConnections {
			if api.Or(c.Data.VpnGatewayId, "") != gateway || gone(c.Data.State) {
				continue
			}
			for _, s := range c.Data.Routes {
				if p := resource.Prefix(s.DestinationCidrBlock); p.IsValid() && p.Overlaps(to) {
					return dataplane.ToTunnel, c.ID
				}
			}
		}
	}
	return dataplane.ToNowhere, ""
}

// acl is one network ACL.
func acl(a *resource.Record[resource.NetworkAcl]) dataplane.ACL {
	out := dataplane.ACL{ID: a.ID, Ingress: []dataplane.Entry{}, Egress: []dataplane.Entry{}}
	for _, e := range a.Data.Entries {
		cidr := resource.Prefix(e.CidrBlock)
		if !cidr.IsValid() {
			continue
		}
		entry := dataplane.Entry{
			Number: int(api.Or(e.RuleNumber, 0)), Protocol: protocol(api.Or(e.Protocol, "-1")), From: 0, To: 65535, CIDR: cidr,
			Allow: api.Or(e.RuleAction, "") == ec2.RuleActionAllow,
		}
		switch {
		case e.IcmpTypeCode != nil && entry.Protocol == icmp:
			entry.From, entry.To = int(api.Or(e.IcmpTypeCode.Type, -1)), int(api.Or(e.IcmpTypeCode.Code, -1))
		case entry.Protocol == icmp:
			entry.From, entry.To = -1, -1
		case e.PortRange != nil:
			entry.From, entry.To = int(api.Or(e.PortRange.From, 0)), int(api.Or(e.PortRange.To, 65535))
		}
		if api.Or(e.Egress, false) {
			out.Egress = append(out.Egress, entry)
		} else {
			out.Ingress = append(out.Ingress, entry)
		}
	}
	byNumber := func(a, b dataplane.Entry) int { return a.Number - b.Number }
	slices.SortStableFunc(out.Ingress, byNumber)
	slices.SortStableFunc(out.Egress, byNumber)
	return out
}

// icmp is ICMP's protocol number.
const icmp = 1

// protocols are the names that EC2 gives to protocol numbers.
var protocols = map[string]int{"tcp": 6, "udp": 17, "icmp": icmp, "icmpv6": 58, "all": dataplane.AllProtocols}

// protocol reads a protocol's name or number.
func protocol(name string) int {
	if n, ok := protocols[name]; ok {
		return n
	}
	n, err := strconv.Atoi(name)
	if err != nil {
		return dataplane.AllProtocols
	}
	return n
}

// securityGroups are a VPC's groups, and the members of those elsewhere that its rules name.
func (x *index) securityGroups(vpc string) []dataplane.Group {
	list := []dataplane.Group{}
	elsewhere := map[string]bool{}
	for _, g := range x.groups[vpc] {
		out := dataplane.Group{ID: g.ID}
		for _, r := range x.rules[g.ID] {
			for _, rule := range x.rule(&r.Data.SecurityGroupRule) {
				if rule.Group != "" && x.groupVPC[rule.Group] != vpc {
					if !x.peered(vpc, x.groupVPC[rule.Group]) {
						continue
					}
					elsewhere[rule.Group] = true
				}
				if api.Or(r.Data.IsEgress, false) {
					out.Egress = append(out.Egress, rule)
				} else {
					out.Ingress = append(out.Ingress, rule)
				}
			}
		}
		list = append(list, out)
	}
	for id := range elsewhere {
		members := slices.Clone(x.members[id])
		slices.SortFunc(members, netip.Addr.Compare)
		list = append(list, dataplane.Group{ID: id, Members: members})
	}
	slices.SortFunc(list, func(a, b dataplane.Group) int { return compare(a.ID, b.ID) })
	return list
}

// compare orders texts.
func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// peered says whether rules of one VPC may name groups of the other: over an active peering inside a Region.
func (x *index) peered(a, b string) bool {
	if x.vpcs[a] == nil || x.vpcs[b] == nil || x.vpcs[a].Region != x.vpcs[b].Region {
		return false
	}
	return slices.ContainsFunc(x.Peerings, func(p *resource.Record[resource.Peering]) bool {
		from, to := *p.Data.RequesterVpcInfo.VpcId, *p.Data.AccepterVpcInfo.VpcId
		return peeringCode(&p.Data) == ec2.VpcPeeringConnectionStateReasonCodeActive && (from == a && to == b || from == b && to == a)
	})
}

// rule is a security group's rule, one for each range of a prefix list.
func (x *index) rule(r *ec2.SecurityGroupRule) (list []dataplane.Rule) {
	out := dataplane.Rule{Protocol: protocol(api.Or(r.IpProtocol, "-1")), From: int(api.Or(r.FromPort, -1)), To: int(api.Or(r.ToPort, -1))}
	if out.Protocol != icmp && out.From < 0 {
		out.From, out.To = 0, 65535
	}
	switch {
	case r.ReferencedGroupInfo != nil:
		out.Group = api.Or(r.ReferencedGroupInfo.GroupId, "")
		return []dataplane.Rule{out}
	case r.PrefixListId != nil:
		for _, p := range x.prefixLists[*r.PrefixListId] {
			out.CIDR = p
			list = append(list, out)
		}
	case r.CidrIpv4 != nil:
		out.CIDR = resource.Prefix(r.CidrIpv4)
		return []dataplane.Rule{out}
	}
	return list
}

// networkInterface is one interface.
func networkInterface(n *resource.Record[resource.NetworkInterface]) dataplane.Interface {
	out := dataplane.Interface{
		ID: n.ID, Subnet: *n.Data.SubnetId, Kind: n.Data.Holder, MAC: api.Or(n.Data.MacAddress, ""), Addresses: addresses(&n.Data),
		Unchecked: !api.Or(n.Data.SourceDestCheck, true), Owner: n.Data.Owner,
	}
	if out.Kind == "" {
		out.Kind = dataplane.Guest
	}
	for _, g := range n.Data.Groups {
		out.Groups = append(out.Groups, *g.GroupId)
	}
	if a := n.Data.Attachment; a != nil && out.Kind == dataplane.Guest {
		out.Machine, out.Device = api.Or(a.InstanceId, ""), int(api.Or(a.DeviceIndex, 0))
	}
	return out
}

// publics are the public addresses of a VPC: Elastic IP addresses and those given at launch.
func (x *index) publics(vpc string) []dataplane.Public {
	list := []dataplane.Public{}
	for _, a := range x.Addresses {
		n := x.enis[api.Or(a.Data.NetworkInterfaceId, "")]
		if n != nil && n.VPC == vpc && a.Data.AssociationId != nil {
			list = append(list, dataplane.Public{Public: resource.Addr(a.Data.PublicIp), Private: resource.Addr(a.Data.PrivateIpAddress)})
		}
	}
	slices.SortFunc(list, func(a, b dataplane.Public) int { return a.Public.Compare(b.Public) })
	return list
}

// tunnels are the VPN connections whose both ends are there.
func (x *index) tunnels() (list []dataplane.Tunnel) {
	gateways, customers := byID(x.VpnGateways), byID(x.CustomerGateways)
	for _, c := range x.VpnConnections {
		g, cgw := gateways[api.Or(c.Data.VpnGatewayId, "")], customers[api.Or(c.Data.CustomerGatewayId, "")]
		if g == nil || g.VPC == "" || cgw == nil || gone(c.Data.State) {
			continue
		}
		for _, s := range x.o.Sites {
			if s.Internet != resource.Addr(cgw.Data.IpAddress) {
				continue
			}
			t := dataplane.Tunnel{ID: c.ID, Number: c.Data.Number, Site: s.ID, VPC: g.VPC}
			for _, r := range c.Data.Routes {
				t.Prefixes = append(t.Prefixes, resource.Prefix(r.DestinationCidrBlock))
			}
			list = append(list, t)
		}
	}
	return list
}

// machines are the instances that have a disk.
func (x *index) machines() (list []dataplane.Machine) {
	dhcp := byID(x.Dhcp)
	for _, i := range x.Instances {
		v := x.vpcs[i.VPC]
		if v == nil {
			continue // it is terminated
		}
		m, image := instance.Machine(i), x.o.Images[api.Or(i.Data.ImageId, "")]
		m.Name, m.Init, m.Env, m.Mounts = hostName(i), image.Init, image.Env, image.Mounts
		m.Nameservers, m.Search = resolvers(v, dhcp[api.Or(v.Data.DhcpOptionsId, "")])
		list = append(list, m)
	}
	return list
}

// hostName is the first label of an instance's private name.
func hostName(i *resource.Record[resource.Instance]) string {
	a := resource.Addr(i.Data.Instance.PrivateIpAddress)
	if !a.Is4() {
		return i.ID
	}
	return ipName(a)
}

// resolvers are what a VPC's DHCP options make its instances ask: its own resolver, unless they name others. source:
// userguide, "DHCP option sets in Amazon VPC"
func resolvers(v *resource.Record[resource.VPC], options *resource.Record[resource.Dhcp]) (servers []netip.Addr, search []string) {
	base2 := (&dataplane.VPC{CIDRs: cidrs(&v.Data)}).Base2()
	if options == nil { // the VPC's are the default ones, or none
		if api.Or(v.Data.DhcpOptionsId, "") == "default" {
			return nil, nil
		}
		return []netip.Addr{base2}, []string{internalDomain(v.Region)}
	}
	for _, c := range options.Data.DhcpConfigurations {
		for _, value := range c.Values {
			text := api.Or(value.Value, "")
			switch api.Or(c.Key, "") {
			case "domain-name-servers":
				if text == "AmazonProvidedDNS" {
					servers = append(servers, base2)
				} else if a, err := netip.ParseAddr(text); err == nil {
					servers = append(servers, a)
				}
			case "domain-name":
				search = append(search, strings.Fields(text)...) // Linux takes several for as many. source: userguide, "DHCP option set concepts"
			}
		}
	}
	return servers, search
}
