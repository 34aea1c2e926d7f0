package instance

import (
	"context"
	"strconv"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
)

// over says whether a terminated instance is no longer described.
func over(ctx context.Context, r *record) bool {
	return r.Data.Terminated != 0 && api.CallFrom(ctx).Time.UnixMilli()-r.Data.Terminated > visible.Milliseconds()
}

// of is a filter about the interfaces of an instance.
func of(value func(*ec2.InstanceNetworkInterface) []string) func(*record) []string {
	return func(r *record) (values []string) {
		for i := range r.Data.NetworkInterfaces {
			values = append(values, value(&r.Data.NetworkInterfaces[i])...)
		}
		return values
	}
}

// groups are the names or ids of an instance's groups.
func groups(value func(*ec2.GroupIdentifier) *string) func(*record) []string {
	return func(r *record) []string { return resource.Each(r.Data.SecurityGroups, value) }
}

// search is DescribeInstances. source: model, "DescribeInstancesRequest"
var search = &resource.Search[resource.Instance]{
	Kind: resource.Instances, Operation: "DescribeInstances", Complete: complete, Hidden: over,
	Filters: resource.Filters[resource.Instance]{
		"architecture":                           func(r *record) []string { return resource.One(r.Data.Architecture) },
		"availability-zone":                      func(r *record) []string { return resource.One(r.Data.Placement.AvailabilityZone) },
		"client-token":                           func(r *record) []string { return resource.One(r.Data.ClientToken) },
		"dns-name":                               func(r *record) []string { return resource.One(r.Data.PublicDnsName) },
		"group-id":                               groups(func(g *ec2.GroupIdentifier) *string { return g.GroupId }),
		"group-name":                             groups(func(g *ec2.GroupIdentifier) *string { return g.GroupName }),
		"iam-instance-profile.arn":               func(r *record) []string { return resource.One(api.Given(r.Data.Profile)) },
		"image-id":                               func(r *record) []string { return resource.One(r.Data.ImageId) },
		"instance-id":                            func(r *record) []string { return []string{r.ID} },
		"instance-state-code":                    func(r *record) []string { return []string{strconv.FormatInt(*r.Data.State.Code, 10)} },
		"instance-state-name":                    func(r *record) []string { return resource.One(r.Data.State.Name) },
		"instance-type":                          func(r *record) []string { return resource.One(r.Data.InstanceType) },
		"instance.group-id":                      groups(func(g *ec2.GroupIdentifier) *string { return g.GroupId }),
		"instance.group-name":                    groups(func(g *ec2.GroupIdentifier) *string { return g.GroupName }),
		"ip-address":                             func(r *record) []string { return resource.One(r.Data.PublicIpAddress) },
		"key-name":                               func(r *record) []string { return resource.One(r.Data.KeyName) },
		"launch-time":                            func(r *record) []string { return []string{r.Data.LaunchTime.UTC().Format("2006-01-02T15:04:05.000Z")} },
		"network-interface.network-interface-id": of(func(n *ec2.InstanceNetworkInterface) []string { return resource.One(n.NetworkInterfaceId) }),
		"network-interface.private-dns-name":     of(func(n *ec2.InstanceNetworkInterface) []string { return resource.One(n.PrivateDnsName) }),
		"network-interface.addresses.private-ip-address": of(func(n *ec2.InstanceNetworkInterface) []string {
			return resource.Each(n.PrivateIpAddresses, func(a *ec2.InstancePrivateIpAddress) *string { return a.PrivateIpAddress })
		}),
		"network-interface.group-id": of(func(n *ec2.InstanceNetworkInterface) []string {
			return resource.Each(n.Groups, func(g *ec2.GroupIdentifier) *string { return g.GroupId })
		}),
		"network-interface.subnet-id": of(func(n *ec2.InstanceNetworkInterface) []string { return resource.One(n.SubnetId) }),
		"network-interface.vpc-id":    of(func(n *ec2.InstanceNetworkInterface) []string { return resource.One(n.VpcId) }),
		"owner-id":                    func(r *record) []string { return []string{r.Account} },
		"private-dns-name":            func(r *record) []string { return resource.One(r.Data.PrivateDnsName) },
		"private-ip-address":          func(r *record) []string { return resource.One(r.Data.Instance.PrivateIpAddress) },
		"reservation-id":              func(r *record) []string { return []string{r.Data.Reservation} },
		"source-dest-check":           func(r *record) []string { return resource.Bool(r.Data.SourceDestCheck) },
		"subnet-id":                   func(r *record) []string { return resource.One(r.Data.SubnetId) },
		"vpc-id":                      func(r *record) []string { return resource.One(r.Data.VpcId) },
	},
}

// DescribeInstances describes instances, those of one launch together.
func (s *Instances) DescribeInstances(ctx context.Context, in *ec2.DescribeInstancesInput) (*ec2.DescribeInstancesOutput, error) {
	list, next, err := search.Run(ctx, s.db, resource.Query{
		DryRun: in.DryRun, IDs: in.InstanceIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken,
	})
	if err != nil {
		return nil, err
	}
	out := &ec2.DescribeInstancesOutput{Reservations: []ec2.Reservation{}, NextToken: next}
	at := map[string]int{}
	for _, r := range list {
		i, ok := at[r.Data.Reservation]
		if !ok {
			i = len(out.Reservations)
			at[r.Data.Reservation] = i
			out.Reservations = append(out.Reservations, ec2.Reservation{
				ReservationId: &r.Data.Reservation, OwnerId: &r.Account, Groups: []ec2.GroupIdentifier{},
			})
		}
		out.Reservations[i].Instances = append(out.Reservations[i].Instances, r.Data.Instance)
	}
	return out, nil
}
