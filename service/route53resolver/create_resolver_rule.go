package route53resolver

import (
	"context"
	"net/netip"
	"regexp"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// What there may be of rules. source: userguide, "Quotas on Route 53 VPC Resolver endpoints"
const (
	mostRules   = 1000
	mostTargets = 6
)

// CreateResolverRule makes a rule: questions about a domain are forwarded through an outbound endpoint, or they are answered as
// without any rule.
func (r *Resolver) CreateResolverRule(ctx context.Context, in *route53resolver.CreateResolverRuleInput) (*route53resolver.CreateResolverRuleOutput, error) {
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if err := iam.Allow(ctx, "route53resolver:CreateResolverRule", arn(ctx, kindRule, "*"), iam.RequestTags(tags)); err != nil {
		return nil, err
	}
	domain, err := domainOf(in)
	if err != nil {
		return nil, err
	}
	id, out := resource.ResolverRules.NewID(), new(route53resolver.CreateResolverRuleOutput)
	err = r.db.Update(ctx, func(tx *store.Tx) error {
		list, err := resource.ResolverRules.List(ctx, tx)
		if err != nil {
			return err
		}
		for _, l := range list {
			if *l.Data.CreatorRequestId == in.CreatorRequestId {
				// source: aws
				return route53resolver.ErrResourceExistsException("Resolver rule with creator request ID '%s' already exists", in.CreatorRequestId).
					With("ResourceType", kindRule)
			}
		}
		if len(list) >= mostRules {
			return exceeded(ctx, "max-rules", kindRule)
		}
		l := resource.ResolverRules.New(ctx, id, "", resource.ResolverRule{ResolverRule: route53resolver.ResolverRule{
			Id: &id, CreatorRequestId: &in.CreatorRequestId, Arn: new(arn(ctx, kindRule, id)), DomainName: &domain, RuleType: &in.RuleType, Name: in.Name,
			Status: new(route53resolver.ResolverRuleStatusCOMPLETE), StatusMessage: new("Successfully created Resolver Rule."),
			OwnerId: new(api.CallFrom(ctx).Account), ShareStatus: new(route53resolver.ShareStatusNOTSHARED), CreationTime: now(ctx), ModificationTime: now(ctx),
		}})
		if err := direct(ctx, tx, l, in.TargetIps, in.ResolverEndpointId); err != nil {
			return err
		}
		l.Tags = tags
		out.ResolverRule = &l.Data.ResolverRule
		return resource.ResolverRules.Create(ctx, tx, l)
	})
	return out, err
}

// label is what is between the dots of a domain's name.
var label = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

// mostName is how long a domain's name may be without its last dot: with the lengths of its labels it has 255 bytes (RFC 1035, 3.1).
const mostName = 253

// domainOf reads the domain of a request, in small letters and with a dot at the end. It refuses rules that nobody can make.
func domainOf(in *route53resolver.CreateResolverRuleInput) (string, error) {
	switch {
	case in.RuleType == route53resolver.RuleTypeOptionDELEGATE, in.DelegationRecord != nil:
		return "", unsupported("The rule type DELEGATE")
	case in.RuleType != route53resolver.RuleTypeOptionFORWARD && in.RuleType != route53resolver.RuleTypeOptionSYSTEM:
		return "", badParameter("RuleType", "A rule of type %s cannot be created", in.RuleType) // source: userguide
	case in.DomainName == nil:
		return "", badParameter("DomainName", "The domain name must be specified") // source: guess
	}
	name := strings.TrimSuffix(strings.ToLower(*in.DomainName), ".")
	if name == "" {
		return ".", nil
	}
	for l := range strings.SplitSeq(name, ".") {
		if !label.MatchString(l) || len(name) > mostName {
			return "", badParameter("DomainName", "The domain name '%s' is invalid", *in.DomainName) // source: guess
		}
	}
	return name + ".", nil
}

// direct says where a rule forwards questions to, and through which endpoint.
func direct(ctx context.Context, tx *store.Tx, l *rule, targets []route53resolver.TargetAddress, endpointID *string) error {
	if *l.Data.RuleType == route53resolver.RuleTypeOptionSYSTEM {
		if len(targets) > 0 || endpointID != nil {
			return invalid("A rule of type SYSTEM has no target IP addresses and no Resolver endpoint") // source: guess
		}
		return nil
	}
	switch {
	case endpointID == nil:
		return badParameter("ResolverEndpointId", "A rule of type FORWARD needs a Resolver endpoint") // source: guess
	case len(targets) == 0:
		return badParameter("TargetIps", "A rule of type FORWARD needs target IP addresses") // source: guess
	case len(targets) > mostTargets:
		return exceeded(ctx, "max-ip-addresses-per-rule", kindRule)
	}
	e, err := resource.ResolverEndpoints.Get(ctx, tx, *endpointID)
	if err != nil {
		return err
	}
	switch {
	case !mine(ctx, e):
		return missing(kindEndpoint, "Resolver endpoint with ID '%s' does not exist", *endpointID) // source: aws
	case *e.Data.Direction != route53resolver.ResolverEndpointDirectionOUTBOUND:
		return invalid("Resolver endpoint '%s' is not an outbound endpoint", *endpointID) // source: guess
	case *e.Data.Status == route53resolver.ResolverEndpointStatusDELETING:
		return route53resolver.ErrResourceUnavailableException("Resolver endpoint '%s' is being deleted", *endpointID).With("ResourceType", kindEndpoint) // source: guess
	}
	l.Data.ResolverEndpointId, l.Data.TargetIps = endpointID, nil
	for _, t := range targets {
		to, err := target(t)
		if err != nil {
			return err
		}
		l.Data.TargetIps = append(l.Data.TargetIps, to)
	}
	return nil
}

// dnsPort is the port of a name server when a request does not say.
const dnsPort = 53

// target reads an address to which questions are forwarded.
func target(t route53resolver.TargetAddress) (route53resolver.TargetAddress, error) {
	switch {
	case t.Ipv6 != nil:
		return t, unsupported("IPv6")
	case api.Or(t.Protocol, route53resolver.ProtocolDo53) != route53resolver.ProtocolDo53, t.ServerNameIndication != nil:
		return t, unsupported("DNS over HTTPS")
	case t.Ip == nil:
		return t, badParameter("TargetIps", "The IP address of a target must be specified") // source: guess
	}
	a, err := netip.ParseAddr(*t.Ip)
	if err != nil || !a.Is4() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
		return t, badParameter("TargetIps", "The IP address '%s' is invalid", *t.Ip) // source: guess
	}
	port := api.Or(t.Port, dnsPort)
	if port == 0 {
		return t, badParameter("TargetIps", "The port of a target cannot be 0") // source: guess
	}
	return route53resolver.TargetAddress{Ip: new(a.String()), Port: &port, Protocol: new(route53resolver.ProtocolDo53)}, nil
}
