package securitygroup

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// The protocols that rules have names for.
const (
	all    = "-1"
	tcp    = "tcp"
	udp    = "udp"
	icmp   = "icmp"
	icmpv6 = "icmpv6"
)

// protocols are the names of protocols by what a request may call them; all others are numbers.
var protocols = map[string]string{
	"-1": all, "all": all, "tcp": tcp, "6": tcp, "udp": udp, "17": udp, "icmp": icmp, "1": icmp, "icmpv6": icmpv6, "58": icmpv6,
}

// everything is the start of a rule about every packet.
func everything() ec2.SecurityGroupRule {
	return ec2.SecurityGroupRule{IpProtocol: new(all), FromPort: new(int64(-1)), ToPort: new(int64(-1))}
}

// outward is the rule that a new group has: it lets everything out.
func outward() ec2.SecurityGroupRule {
	r := everything()
	r.CidrIpv4 = new("0.0.0.0/0")
	return r
}

// invalid is the error for most that is wrong with a rule.
func invalid(format string, args ...any) error {
	return resource.Errorf("InvalidParameterValue", format, args...)
}

// bounds reads protocol and ports of a request. Ports mean something to TCP and UDP, and to ICMP types and codes; with other
// protocols they are ignored. source: model, "IpPermission"
func bounds(protocol *string, from, to *int64) (ec2.SecurityGroupRule, error) {
	r := everything()
	if protocol == nil {
		return r, resource.Errorf("MissingParameter", "The request must contain the parameter ipProtocol") // source: guess
	}
	name := strings.ToLower(*protocol)
	if n, err := strconv.Atoi(name); err == nil {
		name = strconv.Itoa(n) // 06 is 6, and has ports
	}
	if known, ok := protocols[name]; ok {
		name = known
	} else if n, err := strconv.Atoi(name); err != nil || n < 0 || n > 255 {
		return r, invalid("Invalid value '%s' for IP protocol. Unknown protocol.", *protocol) // source: aws
	}
	r.IpProtocol = &name
	switch name {
	case tcp, udp:
		if from == nil || to == nil {
			return r, invalid("Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.") // source: aws
		}
		for _, port := range []int64{*from, *to} {
			if port < 0 || port > 65535 {
				return r, resource.Errorf("InvalidPermission.Malformed", "TCP/UDP port (%d) out of range", port) // source: aws
			}
		}
		if *from > *to {
			return r, invalid("Invalid TCP/UDP port range (%d, %d)", *from, *to) // source: guess
		}
	case icmp:
		if from == nil || to == nil {
			return r, invalid("Invalid value 'Must specify both from and to ports with ICMP.' for portRange.") // source: aws
		}
		fallthrough
	case icmpv6:
		for _, n := range []int64{api.Or(from, -1), api.Or(to, -1)} {
			if n < -1 || n > 255 {
				return r, resource.Errorf("InvalidPermission.Malformed", "ICMP type or code (%d) out of range", n) // source: guess
			}
		}
		if api.Or(from, -1) == -1 && api.Or(to, -1) != -1 {
			return r, resource.Errorf("InvalidPermission.Malformed", "ICMP code (%d) needs a type", *to) // source: guess
		}
	default:
		return r, nil
	}
	r.FromPort, r.ToPort = new(api.Or(from, -1)), new(api.Or(to, -1))
	return r, nil
}

// cidr reads a range of a request; host bits are cleared, as AWS does. source: userguide, "CIDR blocks"
func cidr(text string, six bool) (*string, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is6() != six || p.Addr().Is4In6() {
		return nil, invalid("CIDR block %s is malformed", text) // source: aws
	}
	return new(p.Masked().String()), nil
}

// plain are the characters of descriptions.
var plain = regexp.MustCompile(`^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]*$`)

// description reads the description of a rule.
func description(text *string) (*string, error) {
	if text == nil || *text == "" {
		return nil, nil //nolint:nilnil // no description is one
	}
	if len(*text) > 255 || !plain.MatchString(*text) {
		// source: aws
		return nil, invalid("Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*")
	}
	return text, nil
}

// flat are the older members with which a request gives one permission.
type flat struct {
	protocol, cidr, group, owner *string
	from, to                     *int64
}

// permissions gives the permissions of a request, whichever way it gives them. A group's name alone stands for everything
// that TCP, UDP and ICMP carry. source: model, "AuthorizeSecurityGroupIngressRequest"
func (f flat) permissions(list []ec2.IpPermission) []ec2.IpPermission {
	if f == (flat{}) {
		return list
	}
	p := ec2.IpPermission{IpProtocol: f.protocol, FromPort: f.from, ToPort: f.to}
	if f.cidr != nil {
		p.IpRanges = []ec2.IpRange{{CidrIp: f.cidr}}
	}
	if f.group != nil {
		p.UserIdGroupPairs = []ec2.UserIdGroupPair{{GroupName: f.group, UserId: f.owner}}
	}
	if f.group == nil || f.protocol != nil {
		return append(list, p)
	}
	for _, name := range []string{tcp, udp, icmp} {
		q := p
		q.IpProtocol, q.FromPort, q.ToPort = new(name), new(int64(0)), new(int64(65535))
		if name == icmp {
			q.FromPort, q.ToPort = new(int64(-1)), new(int64(-1))
		}
		list = append(list, q)
	}
	return list
}

// count is how many rules permissions stand for.
func count(list []ec2.IpPermission) (n int) {
	for _, p := range list {
		n += len(p.IpRanges) + len(p.Ipv6Ranges) + len(p.PrefixListIds) + len(p.UserIdGroupPairs)
	}
	return n
}

// parse makes rules of a request's permissions for a group. What they refer to is looked up when strict is set, as it must
// be before they are kept.
func parse(ctx context.Context, tx *store.Tx, g *group, list []ec2.IpPermission, strict bool) ([]ec2.SecurityGroupRule, error) {
	var rules []ec2.SecurityGroupRule
	for i := range list {
		p := &list[i]
		base, err := bounds(p.IpProtocol, p.FromPort, p.ToPort)
		if err != nil {
			return nil, err
		}
		if count(list[i:i+1]) == 0 {
			return nil, resource.Errorf("InvalidRequest", "The request received was invalid") // source: guess
		}
		more, err := targets(ctx, tx, g, p, base, strict)
		if err != nil {
			return nil, err
		}
		rules = append(rules, more...)
	}
	for i := range rules {
		if slices.ContainsFunc(rules[:i], func(r ec2.SecurityGroupRule) bool { return same(&r, &rules[i]) }) {
			return nil, invalid("The same permission must not appear multiple times") // source: aws
		}
	}
	return rules, nil
}

// targets makes a rule of each of a permission's targets.
func targets(ctx context.Context, tx *store.Tx, g *group, p *ec2.IpPermission, base ec2.SecurityGroupRule, strict bool) (rules []ec2.SecurityGroupRule, err error) {
	add := func(text *string, set func(*ec2.SecurityGroupRule) error) {
		if err != nil {
			return
		}
		r := base
		if r.Description, err = description(text); err == nil {
			err = set(&r)
		}
		rules = append(rules, r)
	}
	for _, t := range p.IpRanges {
		add(t.Description, func(r *ec2.SecurityGroupRule) (err error) {
			r.CidrIpv4, err = cidr(api.Or(t.CidrIp, ""), false)
			return err
		})
	}
	for _, t := range p.Ipv6Ranges {
		add(t.Description, func(r *ec2.SecurityGroupRule) (err error) {
			r.CidrIpv6, err = cidr(api.Or(t.CidrIpv6, ""), true)
			return err
		})
	}
	for _, t := range p.PrefixListIds {
		add(t.Description, func(r *ec2.SecurityGroupRule) error {
			r.PrefixListId = t.PrefixListId
			if !strict {
				return nil
			}
			_, err := findList(ctx, tx, api.Or(t.PrefixListId, ""))
			return err
		})
	}
	for _, t := range p.UserIdGroupPairs {
		add(t.Description, func(r *ec2.SecurityGroupRule) (err error) {
			r.ReferencedGroupInfo, err = reference(ctx, tx, g, t, strict)
			return err
		})
	}
	return rules, err
}

// reference makes the reference to a group: one of the same VPC, or of one that is peered with it in the same Region.
func reference(ctx context.Context, tx *store.Tx, g *group, t ec2.UserIdGroupPair, strict bool) (*ec2.ReferencedSecurityGroup, error) {
	id := api.Or(t.GroupId, "")
	if t.GroupId == nil && t.GroupName != nil {
		other, err := byName(ctx, tx, *t.GroupName)
		if err != nil {
			return nil, err
		}
		id = other.ID
	}
	if err := resource.SecurityGroups.Check(id); err != nil {
		return nil, err
	}
	if !strict {
		return &ec2.ReferencedSecurityGroup{GroupId: &id}, nil
	}
	other, err := resource.SecurityGroups.Get(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if other == nil || other.Region != g.Region || t.UserId != nil && *t.UserId != other.Account {
		return nil, resource.SecurityGroups.Missing(id)
	}
	r := &ec2.ReferencedSecurityGroup{GroupId: &id, UserId: &other.Account}
	if other.VPC == g.VPC {
		return r, nil
	}
	peers, err := peersOf(ctx, tx, g.VPC)
	if err != nil {
		return nil, err
	}
	for _, p := range peers {
		if p.vpc == other.VPC && p.status == active {
			r.VpcId, r.VpcPeeringConnectionId = &other.VPC, &p.id
			return r, nil
		}
	}
	if other.Account != g.Account {
		return nil, resource.SecurityGroups.Missing(id)
	}
	return nil, resource.Errorf("InvalidGroup.NotFound", "You have specified two resources that belong to different networks.") // source: aws
}

// active is the status of a peering that is in use.
const active = "active"

// peer is a VPC at the other end of a peering.
type peer struct{ id, vpc, status string }

// peersOf lists the peerings of a VPC, of every status.
func peersOf(ctx context.Context, tx *store.Tx, vpc string) ([]peer, error) {
	list, err := resource.Peerings.All(ctx, tx)
	if err != nil {
		return nil, err
	}
	var peers []peer
	for _, r := range list {
		a, b := r.Data.RequesterVpcInfo, r.Data.AccepterVpcInfo
		if a == nil || b == nil || r.Data.Status == nil {
			continue
		}
		status := api.Or(r.Data.Status.Code, "")
		switch vpc {
		case api.Or(a.VpcId, ""):
			peers = append(peers, peer{r.ID, api.Or(b.VpcId, ""), status})
		case api.Or(b.VpcId, ""):
			peers = append(peers, peer{r.ID, api.Or(a.VpcId, ""), status})
		}
	}
	return peers, nil
}

// list is what a rule needs to know of a prefix list.
type list struct {
	weight int  // how many rules it counts for
	six    bool // its entries are IPv6
}

// findList finds a prefix list, the caller's own or one of AWS's.
func findList(ctx context.Context, tx *store.Tx, id string) (list, error) {
	for _, l := range resource.AWSPrefixLists(api.CallFrom(ctx).Region) {
		if l.ID == id {
			return list{weight: len(l.CIDRs)}, nil
		}
	}
	l, err := resource.PrefixLists.Find(ctx, tx, id)
	if err != nil {
		return list{}, err
	}
	return list{int(api.Or(l.Data.MaxEntries, 1)), api.Or(l.Data.AddressFamily, "") == "IPv6"}, nil
}

// checkRules refuses more rules of a direction than a group may have. Those of IPv4 and IPv6 are counted apart; a reference
// to a group counts for both, a prefix list for as many as it may have entries. source: userguide, "Amazon VPC quotas"
func checkRules(ctx context.Context, tx *store.Tx, rules []ec2.SecurityGroupRule) error {
	four, six := 0, 0
	for i := range rules {
		switch r := &rules[i]; {
		case r.CidrIpv4 != nil:
			four++
		case r.CidrIpv6 != nil:
			six++
		case r.PrefixListId != nil:
			l, err := findList(ctx, tx, *r.PrefixListId)
			if err != nil {
				continue // it was deleted since
			}
			if l.six {
				six += l.weight
			} else {
				four += l.weight
			}
		default:
			four, six = four+1, six+1
		}
	}
	if max(four, six) > mostRules {
		// source: aws
		return resource.Errorf("RulesPerSecurityGroupLimitExceeded", "The maximum number of rules per security group has been reached.")
	}
	return nil
}

// direction are the rules of a group in one direction.
func direction(rules []*rule, egress bool) []ec2.SecurityGroupRule {
	var list []ec2.SecurityGroupRule
	for _, r := range rules {
		if api.Or(r.Data.IsEgress, false) == egress {
			list = append(list, r.Data.SecurityGroupRule)
		}
	}
	return list
}

// same says whether two rules let the same packets pass.
func same(a, b *ec2.SecurityGroupRule) bool {
	return *a.IpProtocol == *b.IpProtocol && *a.FromPort == *b.FromPort && *a.ToPort == *b.ToPort && target(a) == target(b)
}

// target is what a rule lets pass to or from.
func target(r *ec2.SecurityGroupRule) string {
	switch {
	case r.CidrIpv4 != nil:
		return *r.CidrIpv4
	case r.CidrIpv6 != nil:
		return *r.CidrIpv6
	case r.PrefixListId != nil:
		return *r.PrefixListId
	case r.ReferencedGroupInfo != nil:
		return api.Or(r.ReferencedGroupInfo.GroupId, "")
	}
	return ""
}

// duplicate is the error for a rule that is there already. source: aws
func duplicate(r *ec2.SecurityGroupRule) error {
	number := func(n int64) string {
		if n < 0 {
			return "ALL"
		}
		return strconv.FormatInt(n, 10)
	}
	about := "protocol: " + *r.IpProtocol
	switch *r.IpProtocol {
	case all:
		about = "ALL"
	case tcp, udp:
		about = strings.ToUpper(*r.IpProtocol) + ", from port: " + number(*r.FromPort) + ", to port: " + number(*r.ToPort)
	case icmp, icmpv6:
		about = strings.ToUpper(*r.IpProtocol) + ", type: " + number(*r.FromPort) + ", code: " + number(*r.ToPort)
	}
	return resource.Errorf("InvalidPermission.Duplicate", `the specified rule "peer: %s, %s, ALLOW" already exists`, target(r), about)
}

// permissionsOf are rules as permissions: those with the same protocol and ports are one.
func permissionsOf(rules []ec2.SecurityGroupRule) []ec2.IpPermission {
	list := []ec2.IpPermission{}
	for i := range rules {
		r := &rules[i]
		at := slices.IndexFunc(list, func(p ec2.IpPermission) bool {
			return *p.IpProtocol == *r.IpProtocol && api.Or(p.FromPort, -1) == *r.FromPort && api.Or(p.ToPort, -1) == *r.ToPort
		})
		if at < 0 {
			at = len(list)
			p := ec2.IpPermission{
				IpProtocol: r.IpProtocol, IpRanges: []ec2.IpRange{}, Ipv6Ranges: []ec2.Ipv6Range{},
				PrefixListIds: []ec2.PrefixListId{}, UserIdGroupPairs: []ec2.UserIdGroupPair{},
			}
			switch *r.IpProtocol {
			case tcp, udp, icmp, icmpv6:
				p.FromPort, p.ToPort = r.FromPort, r.ToPort
			}
			list = append(list, p)
		}
		p := &list[at]
		switch {
		case r.CidrIpv4 != nil:
			p.IpRanges = append(p.IpRanges, ec2.IpRange{CidrIp: r.CidrIpv4, Description: r.Description})
		case r.CidrIpv6 != nil:
			p.Ipv6Ranges = append(p.Ipv6Ranges, ec2.Ipv6Range{CidrIpv6: r.CidrIpv6, Description: r.Description})
		case r.PrefixListId != nil:
			p.PrefixListIds = append(p.PrefixListIds, ec2.PrefixListId{PrefixListId: r.PrefixListId, Description: r.Description})
		case r.ReferencedGroupInfo != nil:
			g := r.ReferencedGroupInfo
			p.UserIdGroupPairs = append(p.UserIdGroupPairs, ec2.UserIdGroupPair{
				GroupId: g.GroupId, UserId: g.UserId, VpcId: g.VpcId, VpcPeeringConnectionId: g.VpcPeeringConnectionId,
				PeeringStatus: g.PeeringStatus, Description: r.Description,
			})
		}
	}
	return list
}

// complete works out what follows of rules.
func complete(ctx context.Context, tx *store.Tx, rules []*rule) error {
	for _, r := range rules {
		r.Data.SecurityGroupRuleArn = new(resource.SecurityGroupRules.ARN(r.Region, r.Account, r.ID))
		r.Data.Tags = resource.TagList(r.Tags)
		g := r.Data.ReferencedGroupInfo
		if g == nil || g.VpcPeeringConnectionId == nil {
			continue
		}
		p, err := resource.Peerings.Get(ctx, tx, *g.VpcPeeringConnectionId)
		if err != nil {
			return err
		}
		g.PeeringStatus = new("deleted")
		if p != nil && p.Data.Status != nil {
			g.PeeringStatus = p.Data.Status.Code
		}
	}
	return nil
}
