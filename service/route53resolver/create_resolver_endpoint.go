package route53resolver

import (
	"context"
	"net/netip"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// What there may be of endpoints. source: userguide, "Quotas on Route 53 VPC Resolver endpoints"
const (
	mostEndpoints  = 4
	mostAddresses  = 6
	leastAddresses = 2
)

// prefixes are those of endpoints' ids. source: aws
var prefixes = map[string]string{
	route53resolver.ResolverEndpointDirectionINBOUND: "rslvr-in", route53resolver.ResolverEndpointDirectionOUTBOUND: "rslvr-out",
}

// CreateResolverEndpoint makes an endpoint with addresses in a VPC.
func (r *Resolver) CreateResolverEndpoint(ctx context.Context, in *route53resolver.CreateResolverEndpointInput) (*route53resolver.CreateResolverEndpointOutput, error) {
	tags, err := readTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if err := iam.Allow(ctx, "route53resolver:CreateResolverEndpoint", arn(ctx, kindEndpoint, "*"), iam.RequestTags(tags)); err != nil {
		return nil, err
	}
	if err := checkEndpoint(in); err != nil {
		return nil, err
	}
	id, ids, out := resource.NewID(prefixes[in.Direction]), newAddressIDs(len(in.IpAddresses)), new(route53resolver.CreateResolverEndpointOutput)
	err = r.db.Update(ctx, func(tx *store.Tx) error {
		list, err := resource.ResolverEndpoints.List(ctx, tx)
		if err != nil {
			return err
		}
		for _, e := range list {
			if *e.Data.CreatorRequestId == in.CreatorRequestId {
				// source: aws
				return route53resolver.ErrResourceExistsException("Resolver endpoint with creator request ID '%s' already exists", in.CreatorRequestId).
					With("ResourceType", kindEndpoint)
			}
		}
		switch {
		case len(list) >= mostEndpoints:
			return exceeded(ctx, "max-endpoints", kindEndpoint)
		case len(in.IpAddresses) > mostAddresses:
			return exceeded(ctx, "max-ip-addresses-per-endpoint", kindEndpoint)
		}
		e := resource.ResolverEndpoints.New(ctx, id, "", resource.ResolverEndpoint{ResolverEndpoint: route53resolver.ResolverEndpoint{
			Id: &id, CreatorRequestId: &in.CreatorRequestId, Arn: new(arn(ctx, kindEndpoint, id)), Name: in.Name, SecurityGroupIds: in.SecurityGroupIds,
			Direction: &in.Direction, Status: new(route53resolver.ResolverEndpointStatusCREATING), StatusMessage: new("Creating the Resolver Endpoint"),
			CreationTime: now(ctx), ModificationTime: now(ctx), ResolverEndpointType: new(route53resolver.ResolverEndpointTypeIPV4),
			Protocols: []string{route53resolver.ProtocolDo53}, RniEnhancedMetricsEnabled: new(false), TargetNameServerMetricsEnabled: new(false),
		}})
		e.Tags = tags
		for i, a := range in.IpAddresses {
			if err := addAddress(ctx, tx, e, ids[i], a.SubnetId, a.Ip, a.Ipv6); err != nil {
				return err
			}
		}
		out.ResolverEndpoint = &e.Data.ResolverEndpoint
		return resource.ResolverEndpoints.Create(ctx, tx, e)
	})
	return out, err
}

// checkEndpoint refuses what is wrong with a request, and what would not be done.
func checkEndpoint(in *route53resolver.CreateResolverEndpointInput) error {
	switch {
	case prefixes[in.Direction] == "":
		return unsupported("The direction " + in.Direction)
	case in.OutpostArn != nil, in.PreferredInstanceType != nil:
		return unsupported("An Outpost")
	case len(in.SecurityGroupIds) == 0:
		return badParameter("SecurityGroupIds", "At least one security group must be specified") // source: guess
	}
	return checkOptions(in.ResolverEndpointType, in.Protocols, in.RniEnhancedMetricsEnabled, in.TargetNameServerMetricsEnabled, in.Dns64Enabled, in.Ipv6InternetAccessEnabled)
}

// checkOptions refuses the options that no endpoint here has.
func checkOptions(kind *string, protocols []string, flags ...*bool) error {
	switch {
	case api.Or(kind, route53resolver.ResolverEndpointTypeIPV4) != route53resolver.ResolverEndpointTypeIPV4:
		return unsupported("IPv6")
	case slices.ContainsFunc(protocols, func(p string) bool { return p != route53resolver.ProtocolDo53 }):
		return unsupported("DNS over HTTPS")
	case slices.ContainsFunc(flags, func(f *bool) bool { return api.Or(f, false) }):
		return unsupported("A feature of IPv6 or of CloudWatch metrics")
	}
	return nil
}

// addressIDs are the ids of an address and what it needs. They are made outside of closures.
type addressIDs struct{ address, network, attachment string }

// newAddressIDs makes the ids of addresses.
func newAddressIDs(n int) []addressIDs {
	ids := make([]addressIDs, n)
	for i := range ids {
		ids[i] = addressIDs{resource.NewID("rni"), resource.NetworkInterfaces.NewID(), networkinterface.NewAttachment(true)}
	}
	return ids
}

// addAddress gives an endpoint an address in a subnet of its VPC, with an interface of its own.
func addAddress(ctx context.Context, tx *store.Tx, e *endpoint, ids addressIDs, subnetID string, ip, ip6 *string) error {
	if ip6 != nil {
		return unsupported("IPv6")
	}
	subnet, err := resource.Subnets.Get(ctx, tx, subnetID)
	if err != nil {
		return err
	}
	if !mine(ctx, subnet) {
		return badParameter("SubnetId", "The subnet ID '%s' does not exist", subnetID) // source: aws
	}
	if e.VPC == "" {
		e.VPC, e.Data.HostVPCId = subnet.VPC, &subnet.VPC
	}
	if e.VPC != subnet.VPC {
		return invalid("The subnet '%s' is not in the VPC '%s' of the other subnets", subnetID, e.VPC) // source: guess
	}
	spec := &networkinterface.Spec{
		ID: ids.network, Attachment: ids.attachment, Subnet: subnet, Groups: e.Data.SecurityGroupIds, Kind: dataplane.Outbound, Owner: e.ID,
		Description: "Route 53 Resolver: " + e.ID + ":" + ids.address,
	}
	if *e.Data.Direction == route53resolver.ResolverEndpointDirectionINBOUND {
		spec.Kind = dataplane.Inbound
	}
	if ip != nil {
		a, err := netip.ParseAddr(*ip)
		if err != nil || !a.Is4() || !resource.Prefix(subnet.Data.CidrBlock).Contains(a) {
			return invalid("IP address '%s' is either not in subnet '%s' CIDR range or is reserved", *ip, subnetID) // source: aws
		}
		spec.Addresses = []netip.Addr{a}
	}
	n, err := networkinterface.Make(ctx, tx, spec)
	if err != nil {
		return own(err)
	}
	e.Data.Addresses = append(e.Data.Addresses, route53resolver.IpAddressResponse{
		IpId: &ids.address, SubnetId: &subnetID, Ip: n.Data.PrivateIpAddress, Status: new(route53resolver.IpAddressStatusCREATING),
		StatusMessage: new("This IP address is being created."), CreationTime: now(ctx), ModificationTime: now(ctx),
	})
	e.Data.IpAddressCount = new(int64(len(e.Data.Addresses)))
	return nil
}

// settle says that the addresses of an operational endpoint are carried: only what is made from now on is not.
func settle(e *endpoint) {
	if *e.Data.Status != route53resolver.ResolverEndpointStatusOPERATIONAL {
		return
	}
	for i := range e.Data.Addresses {
		e.Data.Addresses[i].Status = new(route53resolver.IpAddressStatusATTACHED)
		e.Data.Addresses[i].StatusMessage = new("This IP address is operational.")
	}
}

// touch says that an endpoint is being changed.
func touch(ctx context.Context, e *endpoint) {
	e.Data.ModificationTime = now(ctx)
	if *e.Data.Status == route53resolver.ResolverEndpointStatusOPERATIONAL {
		e.Data.Status, e.Data.StatusMessage = new(route53resolver.ResolverEndpointStatusUPDATING), new("Updating the Resolver Endpoint")
	}
}
