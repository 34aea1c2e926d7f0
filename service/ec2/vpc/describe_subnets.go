package vpc

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// searchSubnets is DescribeSubnets. Some filters have two names. source: userguide, the operation's page
var searchSubnets = resource.Search[resource.Subnet]{
	Kind: resource.Subnets, Operation: "DescribeSubnets", Complete: count,
	Filters: resource.Filters[resource.Subnet]{
		"availability-zone":          zoneName,
		"availabilityZone":           zoneName,
		"availability-zone-id":       zoneID,
		"availabilityZoneId":         zoneID,
		"available-ip-address-count": func(s *subnet) []string { return resource.One(resource.Int(s.Data.AvailableIpAddressCount)) },
		"cidr-block":                 subnetRange,
		"cidr":                       subnetRange,
		"cidrBlock":                  subnetRange,
		"customer-owned-ipv4-pool":   none[resource.Subnet],
		"default-for-az":             isDefault,
		"defaultForAz":               isDefault,
		"enable-dns64":               func(s *subnet) []string { return resource.Bool(s.Data.EnableDns64) },
		"enable-lni-at-device-index": none[resource.Subnet],
		"ipv6-cidr-block-association.ipv6-cidr-block": none[resource.Subnet],
		"ipv6-cidr-block-association.association-id":  none[resource.Subnet],
		"ipv6-cidr-block-association.state":           none[resource.Subnet],
		"ipv6-native":                                 func(s *subnet) []string { return resource.Bool(s.Data.Ipv6Native) },
		"map-customer-owned-ip-on-launch":             func(s *subnet) []string { return resource.Bool(s.Data.MapCustomerOwnedIpOnLaunch) },
		"map-public-ip-on-launch":                     func(s *subnet) []string { return resource.Bool(s.Data.MapPublicIpOnLaunch) },
		"outpost-arn":                                 none[resource.Subnet],
		"owner-id":                                    func(s *subnet) []string { return []string{s.Account} },
		"private-dns-name-options-on-launch.hostname-type": func(s *subnet) []string {
			return resource.One(s.Data.PrivateDnsNameOptionsOnLaunch.HostnameType)
		},
		"private-dns-name-options-on-launch.enable-resource-name-dns-a-record": func(s *subnet) []string {
			return resource.Bool(s.Data.PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsARecord)
		},
		"private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record": func(s *subnet) []string {
			return resource.Bool(s.Data.PrivateDnsNameOptionsOnLaunch.EnableResourceNameDnsAAAARecord)
		},
		"state":      func(s *subnet) []string { return resource.One(s.Data.State) },
		"subnet-arn": func(s *subnet) []string { return resource.One(s.Data.SubnetArn) },
		"subnet-id":  func(s *subnet) []string { return []string{s.ID} },
		"vpc-id":     func(s *subnet) []string { return []string{s.VPC} },
	},
}

// zoneName is the name of a subnet's zone.
func zoneName(s *subnet) []string { return resource.One(s.Data.AvailabilityZone) }

// zoneID is the id of a subnet's zone.
func zoneID(s *subnet) []string { return resource.One(s.Data.AvailabilityZoneId) }

// subnetRange is a subnet's range.
func subnetRange(s *subnet) []string { return resource.One(s.Data.CidrBlock) }

// isDefault says whether a subnet is its zone's default one.
func isDefault(s *subnet) []string { return resource.Bool(s.Data.DefaultForAz) }

// reserved is how many addresses of a subnet nobody can have: the first four and the last. source: userguide, "Subnet sizing
// for IPv4"
const reserved = 5

// count works out how many addresses of subnets are free.
func count(ctx context.Context, tx *store.Tx, list []*subnet) error {
	used, counted := map[string]int64{}, map[string]bool{}
	for _, s := range list {
		if counted[s.VPC] {
			continue
		}
		counted[s.VPC] = true
		interfaces, err := resource.NetworkInterfaces.Of(ctx, tx, s.VPC)
		if err != nil {
			return err
		}
		for _, n := range interfaces {
			used[api.Or(n.Data.SubnetId, "")] += int64(len(n.Data.PrivateIpAddresses))
		}
	}
	for _, s := range list {
		s.Data.AvailableIpAddressCount = new(int64(1)<<(32-resource.Prefix(s.Data.CidrBlock).Bits()) - reserved - used[s.ID])
	}
	return nil
}

// answerSubnets gives subnets as answers have them.
func answerSubnets(ctx context.Context, tx *store.Tx, list []*subnet) ([]ec2.Subnet, error) {
	if err := count(ctx, tx, list); err != nil {
		return nil, err
	}
	return answers(list), nil
}

// answers gives subnets, which have been counted, as answers have them.
func answers(list []*subnet) []ec2.Subnet {
	subnets := make([]ec2.Subnet, len(list))
	for i, s := range list {
		subnets[i] = s.Data.Subnet
		subnets[i].Tags = resource.TagList(s.Tags)
		subnets[i].Ipv6CidrBlockAssociationSet = []ec2.SubnetIpv6CidrBlockAssociation{}
	}
	return subnets
}

// DescribeSubnets lists subnets.
func (v *VPCs) DescribeSubnets(ctx context.Context, in *ec2.DescribeSubnetsInput) (*ec2.DescribeSubnetsOutput, error) {
	page, next, err := searchSubnets.Run(ctx, v.db, resource.Query{DryRun: in.DryRun, IDs: in.SubnetIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken})
	return &ec2.DescribeSubnetsOutput{Subnets: answers(page), NextToken: next}, err
}
