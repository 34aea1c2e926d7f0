// Package plan turns what EC2 and Route 53 Resolver keep into what the hosts carry and the resolvers answer: a pure function
// from rows to [dataplane.Config] and [dns.Config]. What has no meaning for packets or names is left out; what is inconsistent
// leads nowhere.
//
// It uses resource.
package plan

import (
	"context"
	"slices"

	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// Options are what the plan must know beside the rows.
type Options struct {
	Sites   []dataplane.Site    // on-premises networks of the host; a customer gateway with a site's public address stands for it
	Hosts   []dataplane.Machine // machines of the sites
	Images  map[string]Image    // by image id
	Regions []string            // whose services' public names are answered, beside those that the rows name
}

// Image is what a machine that was made of it starts.
type Image struct {
	Init   []string
	Env    []string
	Mounts []dataplane.Mount
}

// State is everything that is kept of the network, by kind.
type State struct {
	VPCs             []*resource.Record[resource.VPC]
	Subnets          []*resource.Record[resource.Subnet]
	RouteTables      []*resource.Record[resource.RouteTable]
	InternetGateways []*resource.Record[resource.InternetGateway]
	NatGateways      []*resource.Record[resource.NatGateway]
	Addresses        []*resource.Record[resource.Address]
	Dhcp             []*resource.Record[resource.Dhcp]
	PrefixLists      []*resource.Record[resource.PrefixList]
	Groups           []*resource.Record[resource.SecurityGroup]
	Rules            []*resource.Record[resource.SecurityGroupRule]
	ACLs             []*resource.Record[resource.NetworkAcl]
	Interfaces       []*resource.Record[resource.NetworkInterface]
	Endpoints        []*resource.Record[resource.Endpoint]
	Peerings         []*resource.Record[resource.Peering]
	Instances        []*resource.Record[resource.Instance]
	VpnGateways      []*resource.Record[resource.VpnGateway]
	CustomerGateways []*resource.Record[resource.CustomerGateway]
	VpnConnections   []*resource.Record[resource.VpnConnection]
	Resolvers        []*resource.Record[resource.ResolverEndpoint]
	ResolverRules    []*resource.Record[resource.ResolverRule]
	ResolverLinks    []*resource.Record[resource.ResolverLink]
}

// Read reads the State. It is one snapshot.
func Read(ctx context.Context, tx *store.Tx) (*State, error) {
	s := new(State)
	r := reader{ctx: ctx, tx: tx}
	read(&r, resource.VPCs, &s.VPCs)
	read(&r, resource.Subnets, &s.Subnets)
	read(&r, resource.RouteTables, &s.RouteTables)
	read(&r, resource.InternetGateways, &s.InternetGateways)
	read(&r, resource.NatGateways, &s.NatGateways)
	read(&r, resource.Addresses, &s.Addresses)
	read(&r, resource.DhcpOptions, &s.Dhcp)
	read(&r, resource.PrefixLists, &s.PrefixLists)
	read(&r, resource.SecurityGroups, &s.Groups)
	read(&r, resource.SecurityGroupRules, &s.Rules)
	read(&r, resource.NetworkAcls, &s.ACLs)
	read(&r, resource.NetworkInterfaces, &s.Interfaces)
	read(&r, resource.Endpoints, &s.Endpoints)
	read(&r, resource.Peerings, &s.Peerings)
	read(&r, resource.Instances, &s.Instances)
	read(&r, resource.VpnGateways, &s.VpnGateways)
	read(&r, resource.CustomerGateways, &s.CustomerGateways)
	read(&r, resource.VpnConnections, &s.VpnConnections)
	read(&r, resource.ResolverEndpoints, &s.Resolvers)
	read(&r, resource.ResolverRules, &s.ResolverRules)
	read(&r, resource.ResolverLinks, &s.ResolverLinks)
	return s, r.err
}

// reader reads kinds until one fails.
type reader struct {
	ctx context.Context //nolint:containedctx // of one call of Read
	tx  *store.Tx
	err error
}

// read reads one kind.
func read[T any](r *reader, k *resource.Kind[T], into *[]*resource.Record[T]) {
	if r.err == nil {
		*into, r.err = k.All(r.ctx, r.tx)
	}
}

// byID is records by their ids.
func byID[T any](list []*resource.Record[T]) map[string]*resource.Record[T] {
	m := make(map[string]*resource.Record[T], len(list))
	for _, r := range list {
		m[r.ID] = r
	}
	return m
}

// byVPC is records by the VPC that they belong to.
func byVPC[T any](list []*resource.Record[T]) map[string][]*resource.Record[T] {
	m := map[string][]*resource.Record[T]{}
	for _, r := range list {
		m[r.VPC] = append(m[r.VPC], r)
	}
	return m
}

// regions are those whose services are answered for, in order.
func (s *State) regions(o *Options) []string {
	all := slices.Clone(o.Regions)
	for _, v := range s.VPCs {
		all = append(all, v.Region)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
