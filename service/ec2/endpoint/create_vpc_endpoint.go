package endpoint

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/securitygroup"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// CreateVpcEndpoint makes an endpoint: a way from a VPC to a service, through an interface in each of some subnets, or
// through routes of some tables. It is available when the network carries it.
func (e *Endpoints) CreateVpcEndpoint(ctx context.Context, in *ec2.CreateVpcEndpointInput) (*ec2.CreateVpcEndpointOutput, error) {
	const action, operation = "ec2:CreateVpcEndpoint", "CreateVpcEndpoint"
	call := api.CallFrom(ctx)
	tags, err := resource.TagsFor(in.TagSpecifications, resource.Endpoints.Name)
	if err != nil {
		return nil, err
	}
	if err := resource.Endpoints.AllowNew(ctx, action, tags, iam.Key("ec2:vpceservicename", api.Or(in.ServiceName, "")),
		iam.Key("ec2:vpceserviceowner", owner), iam.Key("ec2:vpceserviceregion", call.Region)); err != nil {
		return nil, err
	}
	id, label, interfaces := resource.Endpoints.NewID(), newLabel(), newInterfaces(len(in.SubnetIds)+len(in.SubnetConfigurations))
	var r *record
	err = e.db.Update(ctx, func(tx *store.Tx) error {
		vpc, err := resource.VPCs.FindFor(ctx, tx, action, in.VpcId)
		if err != nil {
			return err
		}
		if err := allowAll(ctx, tx, action, in.SubnetIds, in.SecurityGroupIds, in.RouteTableIds); err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		made, err := resource.Once(ctx, tx, operation, in.ClientToken, in)
		if err != nil {
			return err
		}
		if made == "" {
			made = id
			if err := create(ctx, tx, vpc, in, id, label, tags, interfaces); err != nil {
				return err
			}
			if err := resource.Made(ctx, tx, operation, in.ClientToken, in, id); err != nil {
				return err
			}
		}
		if r, err = resource.Endpoints.Find(ctx, tx, made); err != nil {
			return err
		}
		return complete(ctx, tx, []*record{r})
	})
	if err != nil {
		return nil, err
	}
	return &ec2.CreateVpcEndpointOutput{VpcEndpoint: &r.Data.VpcEndpoint, ClientToken: in.ClientToken}, nil
}

// allowAll asks whether the caller may use subnets, groups and route tables for an endpoint.
func allowAll(ctx context.Context, tx *store.Tx, action string, subnets, groups, tables []string) error {
	for _, id := range subnets {
		if _, err := networkinterface.SubnetFor(ctx, tx, action, id); err != nil {
			return err
		}
	}
	for _, id := range groups {
		if _, err := resource.SecurityGroups.FindFor(ctx, tx, action, id); err != nil {
			return err
		}
	}
	for _, id := range tables {
		if _, err := resource.RouteTables.FindFor(ctx, tx, action, id); err != nil {
			return err
		}
	}
	return nil
}

// create makes an endpoint of a checked request.
func create(ctx context.Context, tx *store.Tx, vpc *resource.Record[resource.VPC], in *ec2.CreateVpcEndpointInput, id, label string, tags map[string]string, interfaces []spare) error {
	call := api.CallFrom(ctx)
	s, kind, err := readKind(in, call.Region)
	if err != nil {
		return err
	}
	gateway := kind == ec2.VpcEndpointTypeGateway
	document, err := readPolicy(in.PolicyDocument, gateway)
	if err != nil {
		return err
	}
	r := resource.Endpoints.New(ctx, id, vpc.ID, resource.Endpoint{Label: label, VpcEndpoint: ec2.VpcEndpoint{
		VpcEndpointId: &id, VpcEndpointType: &kind, VpcId: &vpc.ID, ServiceName: in.ServiceName, ServiceRegion: &call.Region, State: new(pending),
		PolicyDocument: &document, CreationTimestamp: new(call.Time.UTC()), OwnerId: &call.Account, RequesterManaged: new(false),
		RouteTableIds: []string{}, SubnetIds: []string{}, NetworkInterfaceIds: []string{}, Groups: []ec2.SecurityGroupIdentifier{},
		PrivateDnsEnabled: new(!gateway && api.Or(in.PrivateDnsEnabled, !s.gateway)), IpAddressType: new(ec2.IpAddressTypeIpv4),
		DnsOptions: &ec2.DnsOptions{DnsRecordIpType: new(ec2.DnsRecordIpTypeIpv4)},
	}})
	r.Tags = tags
	if gateway {
		err = makeGateway(ctx, tx, r, s, in)
	} else {
		err = makeInterface(ctx, tx, r, s, in, interfaces)
	}
	if err != nil {
		return err
	}
	return resource.Endpoints.Create(ctx, tx, r)
}

// readKind reads which service a request is about, through which type of endpoint, and refuses what does not go with it.
func readKind(in *ec2.CreateVpcEndpointInput, region string) (*service, string, error) {
	if in.ServiceName == nil {
		return nil, "", resource.Errorf("MissingParameter", "The request must contain the parameter serviceName") // source: aws
	}
	if in.ServiceNetworkArn != nil || in.ResourceConfigurationArn != nil {
		return nil, "", resource.Unsupported("VPC Lattice")
	}
	if other := api.Or(in.ServiceRegion, region); other != region {
		return nil, "", resource.Unsupported("A service of another Region")
	}
	s, err := findService(region, *in.ServiceName)
	if err != nil {
		return nil, "", err
	}
	kind := api.Or(in.VpcEndpointType, ec2.VpcEndpointTypeGateway) // source: model, "CreateVpcEndpointRequest"
	gateway := kind == ec2.VpcEndpointTypeGateway
	switch {
	case gateway && len(in.SubnetIds)+len(in.SubnetConfigurations) > 0:
		return nil, "", invalid("Subnet IDs are only supported for Interface and GatewayLoadBalancer type VPC Endpoints.") // source: aws
	case !gateway && len(in.RouteTableIds) > 0:
		return nil, "", invalid("Route table IDs are only supported for Gateway type VPC Endpoint.") // source: aws
	case gateway && len(in.SecurityGroupIds) > 0:
		return nil, "", invalid("Security group IDs are only supported for Interface type VPC Endpoint.") // source: guess
	case gateway && api.Or(in.PrivateDnsEnabled, false):
		return nil, "", invalid("Private DNS is only supported for Interface type VPC Endpoints.") // source: guess
	case !slices.Contains(s.types(), kind):
		return nil, "", invalid("Endpoint type (%s) does not match available service types (%s).", kind, s.types()) // source: aws
	}
	return s, kind, checkFamily(in.IpAddressType, in.DnsOptions)
}

// checkFamily refuses IPv6.
func checkFamily(family *string, options *ec2.DnsOptionsSpecification) error {
	if api.Or(family, ec2.IpAddressTypeIpv4) != ec2.IpAddressTypeIpv4 {
		return resource.NoIPv6()
	}
	if options == nil {
		return nil
	}
	switch api.Or(options.DnsRecordIpType, ec2.DnsRecordIpTypeIpv4) {
	case ec2.DnsRecordIpTypeIpv4, ec2.DnsRecordIpTypeServiceDefined:
	default:
		return resource.NoIPv6()
	}
	if options.PrivateDnsPreference != nil || len(options.PrivateDnsSpecifiedDomains) > 0 {
		return resource.Unsupported("The preference of private DNS")
	}
	return nil
}

// makeGateway gives a gateway endpoint its route tables.
func makeGateway(ctx context.Context, tx *store.Tx, r *record, s *service, in *ec2.CreateVpcEndpointInput) error {
	all, err := resource.Endpoints.List(ctx, tx)
	if err != nil {
		return err
	}
	n := 0
	for _, o := range all {
		if isGateway(o) && !isGone(o) {
			n++
		}
	}
	if err := perRegion.Check(n); err != nil {
		return err
	}
	name(r, s, nil)
	return addTables(ctx, tx, r, in.RouteTableIds)
}

// addTables lets more route tables lead to a gateway endpoint.
func addTables(ctx context.Context, tx *store.Tx, r *record, tables []string) error {
	id := listOf(r)
	for _, table := range tables {
		t, err := resource.RouteTables.Find(ctx, tx, table)
		if err != nil {
			return err
		}
		if t.VPC != r.VPC {
			return invalid("Route table %s and VPC %s belong to different networks", table, r.VPC) // source: guess
		}
		taken := slices.ContainsFunc(t.Data.Routes, func(route ec2.Route) bool { return api.Or(route.DestinationPrefixListId, "") == id })
		same, err := others(ctx, tx, r.VPC, r.ID)
		if err != nil {
			return err
		}
		for _, o := range append(same, r) {
			taken = taken || isGateway(o) && *o.Data.ServiceName == *r.Data.ServiceName && slices.Contains(o.Data.RouteTableIds, table)
		}
		if taken {
			return resource.Errorf("RouteAlreadyExists", "route table %s already has a route with destination-prefix-list-id %s", table, id) // source: aws
		}
		r.Data.RouteTableIds = append(r.Data.RouteTableIds, table)
	}
	return nil
}

// listOf is the id of the prefix list that a gateway endpoint routes.
func listOf(r *record) string {
	for _, l := range resource.AWSPrefixLists(r.Region) {
		if l.Name == *r.Data.ServiceName {
			return l.ID
		}
	}
	return ""
}

// spare are the ids of an interface that may be made.
type spare struct{ id, attachment string }

// newInterfaces makes the ids of interfaces. They are made outside of closures.
func newInterfaces(n int) []spare {
	list := make([]spare, n)
	for i := range list {
		list[i] = spare{resource.NetworkInterfaces.NewID(), networkinterface.NewAttachment(true)}
	}
	return list
}

// makeInterface gives an interface endpoint its interfaces, groups and names.
func makeInterface(ctx context.Context, tx *store.Tx, r *record, s *service, in *ec2.CreateVpcEndpointInput, interfaces []spare) error {
	list, err := others(ctx, tx, r.VPC, r.ID)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, isGateway)
	if err := perVPC.Check(len(list)); err != nil {
		return err
	}
	groups := in.SecurityGroupIds
	if len(groups) == 0 {
		id, err := securitygroup.Default(ctx, tx, r.VPC)
		if err != nil {
			return err
		}
		groups = []string{id}
	}
	if err := setGroups(ctx, tx, r, groups); err != nil {
		return err
	}
	setOptions(r, s, in.DnsOptions)
	if *r.Data.PrivateDnsEnabled {
		if err := checkPrivate(ctx, tx, r, s); err != nil {
			return err
		}
	}
	return addSubnets(ctx, tx, r, s, in.SubnetIds, in.SubnetConfigurations, interfaces)
}

// setOptions reads the options of an endpoint's names. Where there are gateway endpoints, private names are for those who
// ask from outside, unless the request says otherwise. source: aws, as told by those who were refused
func setOptions(r *record, s *service, options *ec2.DnsOptionsSpecification) {
	if options == nil {
		options = &ec2.DnsOptionsSpecification{}
	}
	d := r.Data.DnsOptions
	d.DnsRecordIpType = new(api.Or(options.DnsRecordIpType, *d.DnsRecordIpType))
	d.PrivateDnsOnlyForInboundResolverEndpoint = nil
	if s.gateway && api.Or(r.Data.PrivateDnsEnabled, false) {
		d.PrivateDnsOnlyForInboundResolverEndpoint = new(api.Or(options.PrivateDnsOnlyForInboundResolverEndpoint, true))
	}
}

// setGroups gives an interface endpoint, and the interfaces that it has, groups.
func setGroups(ctx context.Context, tx *store.Tx, r *record, ids []string) error {
	groups, err := securitygroup.Check(ctx, tx, r.VPC, ids)
	if err != nil {
		return err
	}
	r.Data.Groups = []ec2.SecurityGroupIdentifier{}
	for _, g := range groups {
		r.Data.Groups = append(r.Data.Groups, ec2.SecurityGroupIdentifier{GroupId: &g.ID, GroupName: g.Data.GroupName})
	}
	list, err := networkinterface.OfOwner(ctx, tx, r.VPC, r.ID)
	if err != nil {
		return err
	}
	for _, n := range list {
		if err := networkinterface.SetGroups(ctx, tx, n, ids); err != nil {
			return err
		}
	}
	return nil
}

// addSubnets makes an interface of an endpoint in each of some subnets, one a zone at most, and names them. The address of
// each is the configuration's, where there is one for the subnet.
func addSubnets(ctx context.Context, tx *store.Tx, r *record, s *service, ids []string, configured []ec2.SubnetConfiguration, interfaces []spare) error {
	wanted := map[string]netip.Addr{}
	ids = slices.Clone(ids)
	for _, c := range configured {
		id := api.Or(c.SubnetId, "")
		if c.Ipv6 != nil {
			return resource.NoIPv6()
		}
		if c.Ipv4 != nil {
			a, err := netip.ParseAddr(*c.Ipv4)
			if err != nil || !a.Is4() {
				return resource.Errorf("InvalidParameterValue", "Invalid IPv4 address: %s", *c.Ipv4) // source: guess
			}
			wanted[id] = a
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	zones, err := zonesOf(ctx, tx, r)
	if err != nil {
		return err
	}
	for i, id := range ids {
		sub, err := resource.Subnets.Find(ctx, tx, id)
		if err != nil {
			return err
		}
		zone := *sub.Data.AvailabilityZone
		switch {
		case sub.VPC != r.VPC:
			return invalid("Subnet %s and VPC %s belong to different networks", id, r.VPC) // source: guess
		case zones[zone]:
			// source: aws
			return resource.Errorf("DuplicateSubnetsInSameZone", "Found another VPC endpoint subnet in the availability zone of %s. VPC endpoint subnets should be in different availability zones supported by the VPC endpoint service.", id)
		}
		zones[zone] = true
		spec := &networkinterface.Spec{
			ID: interfaces[i].id, Attachment: interfaces[i].attachment, Subnet: sub, Kind: dataplane.Endpoint, Owner: r.ID,
			Description: "VPC Endpoint Interface " + r.ID,
		}
		for _, g := range r.Data.Groups {
			spec.Groups = append(spec.Groups, *g.GroupId)
		}
		if a, ok := wanted[id]; ok {
			spec.Addresses = []netip.Addr{a}
		}
		if _, err := networkinterface.Make(ctx, tx, spec); err != nil {
			return err
		}
		r.Data.SubnetIds = append(r.Data.SubnetIds, id)
		r.Data.NetworkInterfaceIds = append(r.Data.NetworkInterfaceIds, spec.ID)
	}
	name(r, s, slices.Collect(maps.Keys(zones)))
	return nil
}

// zonesOf are the zones in which an endpoint has interfaces.
func zonesOf(ctx context.Context, tx *store.Tx, r *record) (map[string]bool, error) {
	list, err := networkinterface.OfOwner(ctx, tx, r.VPC, r.ID)
	zones := map[string]bool{}
	for _, n := range list {
		zones[*n.Data.AvailabilityZone] = true
	}
	return zones, err
}
