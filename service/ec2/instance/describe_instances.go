package instance

import (
	"context"
	"strconv"
	"strings"
	"time"

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

// part is a filter about a member of an instance.
func part(value func(*resource.Instance) *string) func(*record) []string {
	return func(r *record) []string { return resource.One(value(&r.Data)) }
}

// groups are the names or ids of an instance's groups.
func groups(value func(*ec2.GroupIdentifier) *string) func(*record) []string {
	return func(r *record) []string { return resource.Each(r.Data.SecurityGroups, value) }
}

// disks is a filter about the disks of an instance.
func disks(value func(*ec2.InstanceBlockDeviceMapping) string) func(*record) []string {
	return func(r *record) (values []string) {
		for i := range r.Data.BlockDeviceMappings {
			values = append(values, value(&r.Data.BlockDeviceMappings[i]))
		}
		return values
	}
}

// The ids and names of groups.
func groupID(g *ec2.GroupIdentifier) *string   { return g.GroupId }
func groupName(g *ec2.GroupIdentifier) *string { return g.GroupName }

// instant is a time as filters write it.
func instant(t *time.Time) []string {
	if t == nil {
		return nil
	}
	return []string{t.UTC().Format("2006-01-02T15:04:05.000Z")}
}

// profileOf is a filter about the instance profile.
func profileOf(value func(*ec2.IamInstanceProfile) *string) func(*record) []string {
	return func(r *record) []string {
		if r.Data.IamInstanceProfile == nil {
			return nil
		}
		return resource.One(value(r.Data.IamInstanceProfile))
	}
}

// search is DescribeInstances. source: model, "DescribeInstancesRequest"
var search = &resource.Search[resource.Instance]{
	Kind: resource.Instances, Operation: "DescribeInstances", Complete: complete, Hidden: over,
	Filters: resource.Filters[resource.Instance]{
		"architecture":                               part(func(i *resource.Instance) *string { return i.Architecture }),
		"availability-zone":                          part(func(i *resource.Instance) *string { return i.Placement.AvailabilityZone }),
		"availability-zone-id":                       part(func(i *resource.Instance) *string { return i.Placement.AvailabilityZoneId }),
		"block-device-mapping.attach-time":           disks(func(b *ec2.InstanceBlockDeviceMapping) string { return instant(b.Ebs.AttachTime)[0] }),
		"block-device-mapping.delete-on-termination": disks(func(b *ec2.InstanceBlockDeviceMapping) string { return resource.Bool(b.Ebs.DeleteOnTermination)[0] }),
		"block-device-mapping.device-name":           disks(func(b *ec2.InstanceBlockDeviceMapping) string { return *b.DeviceName }),
		"block-device-mapping.status":                disks(func(b *ec2.InstanceBlockDeviceMapping) string { return *b.Ebs.Status }),
		"block-device-mapping.volume-id":             disks(func(b *ec2.InstanceBlockDeviceMapping) string { return *b.Ebs.VolumeId }),
		"client-token":                               part(func(i *resource.Instance) *string { return i.ClientToken }),
		"dns-name":                                   part(func(i *resource.Instance) *string { return i.PublicDnsName }),
		"group-id":                                   groups(groupID),
		"group-name":                                 groups(groupName),
		"hypervisor":                                 part(func(i *resource.Instance) *string { return i.Hypervisor }),
		"iam-instance-profile.arn":                   profileOf(func(p *ec2.IamInstanceProfile) *string { return p.Arn }),
		"iam-instance-profile.id":                    profileOf(func(p *ec2.IamInstanceProfile) *string { return p.Id }),
		"iam-instance-profile.name": profileOf(func(p *ec2.IamInstanceProfile) *string {
			return new((*p.Arn)[strings.LastIndexByte(*p.Arn, '/')+1:])
		}),
		"image-id":                          part(func(i *resource.Instance) *string { return i.ImageId }),
		"instance-id":                       func(r *record) []string { return []string{r.ID} },
		"instance-lifecycle":                func(*record) []string { return nil },
		"instance-state-code":               func(r *record) []string { return []string{strconv.FormatInt(*r.Data.State.Code, 10)} },
		"instance-state-name":               part(func(i *resource.Instance) *string { return i.State.Name }),
		"instance-type":                     part(func(i *resource.Instance) *string { return i.InstanceType }),
		"instance.group-id":                 groups(groupID),
		"instance.group-name":               groups(groupName),
		"ip-address":                        part(func(i *resource.Instance) *string { return i.PublicIpAddress }),
		"key-name":                          part(func(i *resource.Instance) *string { return i.KeyName }),
		"launch-index":                      func(r *record) []string { return resource.One(resource.Int(r.Data.AmiLaunchIndex)) },
		"launch-time":                       func(r *record) []string { return instant(r.Data.LaunchTime) },
		"maintenance-options.auto-recovery": part(func(i *resource.Instance) *string { return i.MaintenanceOptions.AutoRecovery }),
		"metadata-options.http-endpoint":    part(func(i *resource.Instance) *string { return i.MetadataOptions.HttpEndpoint }),
		"metadata-options.http-put-response-hop-limit": func(r *record) []string {
			return resource.One(resource.Int(r.Data.MetadataOptions.HttpPutResponseHopLimit))
		},
		"metadata-options.http-tokens":            part(func(i *resource.Instance) *string { return i.MetadataOptions.HttpTokens }),
		"metadata-options.instance-metadata-tags": part(func(i *resource.Instance) *string { return i.MetadataOptions.InstanceMetadataTags }),
		"monitoring-state":                        part(func(i *resource.Instance) *string { return i.Monitoring.State }),
		"network-interface.addresses.association.public-ip": of(func(n *ec2.InstanceNetworkInterface) (values []string) {
			for _, a := range n.PrivateIpAddresses {
				if a.Association != nil {
					values = append(values, *a.Association.PublicIp)
				}
			}
			return values
		}),
		"network-interface.addresses.private-ip-address": of(func(n *ec2.InstanceNetworkInterface) []string {
			return resource.Each(n.PrivateIpAddresses, func(a *ec2.InstancePrivateIpAddress) *string { return a.PrivateIpAddress })
		}),
		"network-interface.attachment.attachment-id": of(func(n *ec2.InstanceNetworkInterface) []string { return resource.One(n.Attachment.AttachmentId) }),
		"network-interface.attachment.device-index": of(func(n *ec2.InstanceNetworkInterface) []string {
			return resource.One(resource.Int(n.Attachment.DeviceIndex))
		}),
		"network-interface.description":          of(func(n *ec2.InstanceNetworkInterface) []string { return resource.One(n.Description) }),
		"network-interface.group-id":             of(func(n *ec2.InstanceNetworkInterface) []string { return resource.Each(n.Groups, groupID) }),
		"network-interface.group-name":           of(func(n *ec2.InstanceNetworkInterface) []string { return resource.Each(n.Groups, groupName) }),
		"network-interface.mac-address":          of(func(n *ec2.InstanceNetworkInterface) []string { return resource.One(n.MacAddress) }),
		"network-interface.network-interface-id": of(func(n *ec2.InstanceNetworkInterface) []string { return resource.One(n.NetworkInterfaceId) }),
		"network-interface.owner-id":             of(func(n *ec2.InstanceNetworkInterface) []string { return resource.One(n.OwnerId) }),
		"network-interface.private-dns-name":     of(func(n *ec2.InstanceNetworkInterface) []string { return resource.One(n.PrivateDnsName) }),
		"network-interface.source-dest-check":    of(func(n *ec2.InstanceNetworkInterface) []string { return resource.Bool(n.SourceDestCheck) }),
		"network-interface.status":               of(func(n *ec2.InstanceNetworkInterface) []string { return resource.One(n.Status) }),
		"network-interface.subnet-id":            of(func(n *ec2.InstanceNetworkInterface) []string { return resource.One(n.SubnetId) }),
		"network-interface.vpc-id":               of(func(n *ec2.InstanceNetworkInterface) []string { return resource.One(n.VpcId) }),
		"owner-id":                               func(r *record) []string { return []string{r.Account} },
		"platform-details":                       part(func(i *resource.Instance) *string { return i.PlatformDetails }),
		"private-dns-name":                       part(func(i *resource.Instance) *string { return i.PrivateDnsName }),
		"private-ip-address":                     part(func(i *resource.Instance) *string { return i.Instance.PrivateIpAddress }),
		"reason":                                 part(func(i *resource.Instance) *string { return i.StateTransitionReason }),
		"reservation-id":                         part(func(i *resource.Instance) *string { return &i.Reservation }),
		"root-device-name":                       part(func(i *resource.Instance) *string { return i.RootDeviceName }),
		"root-device-type":                       part(func(i *resource.Instance) *string { return i.RootDeviceType }),
		"source-dest-check":                      func(r *record) []string { return resource.Bool(r.Data.SourceDestCheck) },
		"state-reason-code": func(r *record) []string {
			if r.Data.StateReason == nil {
				return nil
			}
			return resource.One(r.Data.StateReason.Code)
		},
		"subnet-id":           part(func(i *resource.Instance) *string { return i.SubnetId }),
		"tenancy":             part(func(i *resource.Instance) *string { return i.Placement.Tenancy }),
		"virtualization-type": part(func(i *resource.Instance) *string { return i.VirtualizationType }),
		"vpc-id":              part(func(i *resource.Instance) *string { return i.VpcId }),
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
