package instance

import (
	"context"
	"strconv"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/routing"
	"github.com/vennel/vennel/service/ec2/securitygroup"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// runAction is the action of a launch.
const runAction = "ec2:RunInstances"

// launch is what a request asks for, and in the transaction, what it refers to.
type launch struct {
	in            *ec2.RunInstancesInput
	image         Image
	kind          *kind
	userData      []byte
	terminates    bool // when it is shut down from inside
	credits       string
	options       ec2.InstanceMetadataOptionsResponse
	size          int64 // of the disk, in GiB
	volumeType    string
	tags          map[string]string // of the instances
	diskTags      map[string]string
	interfaceTags map[string]string
	wanted        []ec2.InstanceNetworkInterfaceSpecification

	subnets []*resource.Record[resource.Subnet] // by those wanted; of one that is there already, its own
	groups  [][]string                          // ids, by those wanted
	profile *iam.Profile
	key     *resource.Record[resource.KeyPair]
}

// made are the ids of one instance and what it comes with, which are random and so made outside of the closure.
type made struct {
	instance, volume, association string
	interfaces, attachments       []string
	public                        routing.PublicIDs
}

// newIDs makes the ids of a launch.
func newIDs(instances, interfaces int) []made {
	ids := make([]made, instances)
	for i := range ids {
		m := &ids[i]
		m.instance, m.volume, m.association, m.public = resource.Instances.NewID(), resource.Volumes.NewID(), newAssociationID(), routing.NewPublicIDs()
		for range interfaces {
			m.interfaces = append(m.interfaces, resource.NetworkInterfaces.NewID())
			m.attachments = append(m.attachments, networkinterface.NewAttachment(false))
		}
	}
	return ids
}

// prepare finds what a launch refers to, and asks whether the caller may use it.
func (l *launch) prepare(ctx context.Context, tx *store.Tx) error {
	call := api.CallFrom(ctx)
	l.subnets, l.groups = make([]*resource.Record[resource.Subnet], len(l.wanted)), make([][]string, len(l.wanted))
	if err := iam.Allow(ctx, runAction, api.ARN("ec2", call.Region, "", "image/"+l.image.ID), append(l.image.keys(), iam.Key("ec2:region", call.Region))...); err != nil {
		return err
	}
	for at := range l.wanted {
		if err := l.prepareInterface(ctx, tx, at); err != nil {
			return err
		}
	}
	profile, missing := findProfile(ctx, tx, l.in.IamInstanceProfile) // said to those who may launch
	l.profile = profile
	d := l.data()
	if err := resource.Instances.AllowNew(ctx, runAction, l.tags, keys(&d)...); err != nil {
		return err
	}
	if missing != nil {
		return missing
	}
	if err := pass(ctx, l.profile); err != nil {
		return err
	}
	err := resource.Volumes.AllowNew(ctx, runAction, l.diskTags, iam.Key("ec2:volumesize", strconv.FormatInt(l.size, 10)), iam.Key("ec2:encrypted", "false"),
		iam.Key("ec2:volumetype", l.volumeType), iam.Key("ec2:availabilityzone", *l.subnets[0].Data.AvailabilityZone))
	if err != nil || l.in.KeyName == nil {
		return err
	}
	l.key, err = keyNamed(ctx, tx, runAction, *l.in.KeyName)
	return err
}

// prepareInterface is prepare for one interface.
func (l *launch) prepareInterface(ctx context.Context, tx *store.Tx, at int) (err error) {
	w, call := &l.wanted[at], api.CallFrom(ctx)
	if w.NetworkInterfaceId != nil {
		n, err := resource.NetworkInterfaces.FindFor(ctx, tx, runAction, *w.NetworkInterfaceId)
		if err != nil {
			return err
		}
		if l.subnets[at], err = resource.Subnets.Find(ctx, tx, *n.Data.SubnetId); err != nil {
			return err
		}
		return l.together(at)
	}
	id := api.Or(w.SubnetId, "")
	if id == "" {
		if id, err = l.defaultSubnet(ctx, tx); err != nil {
			return err
		}
	}
	if l.subnets[at], err = networkinterface.SubnetFor(ctx, tx, runAction, id); err != nil {
		return err
	}
	if err := l.together(at); err != nil {
		return err
	}
	if l.groups[at], err = l.groupsFor(ctx, tx, at); err != nil {
		return err
	}
	sub := l.subnets[at]
	return resource.NetworkInterfaces.AllowNew(ctx, runAction, l.interfaceTags,
		iam.Key("ec2:subnet", resource.Subnets.ARN(sub.Region, sub.Account, sub.ID)), iam.Key("ec2:vpc", api.ARN("ec2", call.Region, sub.Account, "vpc/"+sub.VPC)),
		iam.Key("ec2:availabilityzone", *sub.Data.AvailabilityZone), iam.Key("ec2:associatepublicipaddress", strconv.FormatBool(l.public(at))))
}

// together refuses interfaces that one instance cannot have. source: aws for the zones, guess for the rest
func (l *launch) together(at int) error {
	first, sub := l.subnets[0], l.subnets[at]
	zone := ""
	if l.in.Placement != nil {
		zone = api.Or(l.in.Placement.AvailabilityZone, "")
		if id := l.in.Placement.AvailabilityZoneId; id != nil && *id != api.Or(sub.Data.AvailabilityZoneId, "") {
			return invalid("Value (%s) for parameter availabilityZoneId is invalid. The subnet '%s' is in another zone.", *id, sub.ID)
		}
	}
	switch {
	case zone != "" && zone != *sub.Data.AvailabilityZone:
		return invalid("Value (%s) for parameter availabilityZone is invalid. The subnet '%s' is in %s.", zone, sub.ID, *sub.Data.AvailabilityZone)
	case sub.VPC != first.VPC:
		return resource.Errorf("InvalidParameterCombination", "All network interfaces of an instance must be in one VPC")
	case *sub.Data.AvailabilityZone != *first.Data.AvailabilityZone:
		return resource.Errorf("InvalidParameterCombination", "You may not attach a network interface to an instance if they are not in the same availability zone")
	}
	return nil
}

// groupsFor gives the groups of an interface, which the caller may use: those of its VPC that the request names, or the default one.
func (l *launch) groupsFor(ctx context.Context, tx *store.Tx, at int) (ids []string, err error) {
	ids = l.wanted[at].Groups
	for _, name := range l.in.SecurityGroups {
		g, err := securitygroup.Named(ctx, tx, runAction, nil, &name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, g.ID)
	}
	if len(ids) == 0 {
		id, err := securitygroup.Default(ctx, tx, l.subnets[at].VPC)
		if err != nil {
			return nil, err
		}
		ids = []string{id}
	}
	for _, id := range ids {
		if _, err := resource.SecurityGroups.FindFor(ctx, tx, runAction, id); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// public says whether an interface is given a public address: as the launch says, or else the subnet. source: userguide, "Assign a
// public IPv4 address at launch"
func (l *launch) public(at int) bool {
	w := &l.wanted[at]
	return len(l.wanted) == 1 && w.NetworkInterfaceId == nil &&
		api.Or(w.AssociatePublicIpAddress, api.Or(l.subnets[at].Data.MapPublicIpOnLaunch, false))
}

// defaultSubnet is the one that a launch without a subnet gets. source: aws
func (l *launch) defaultSubnet(ctx context.Context, tx *store.Tx) (string, error) {
	zone := ""
	if l.in.Placement != nil {
		zone = api.Or(l.in.Placement.AvailabilityZone, "")
	}
	vpcs, err := resource.VPCs.List(ctx, tx)
	if err != nil {
		return "", err
	}
	vpc := ""
	for _, v := range vpcs {
		if api.Or(v.Data.IsDefault, false) {
			vpc = v.ID
		}
	}
	if vpc == "" {
		return "", resource.Errorf("VPCIdNotSpecified", "No default VPC for this user. GroupName is only supported for EC2-Classic and default VPC.")
	}
	list, err := resource.Subnets.List(ctx, tx)
	if err != nil {
		return "", err
	}
	for _, s := range list {
		if api.Or(s.Data.DefaultForAz, false) && (zone == "" || zone == api.Or(s.Data.AvailabilityZone, "")) {
			return s.ID, nil
		}
	}
	if zone != "" {
		return "", resource.Errorf("MissingInput", "No default subnet for availability zone: '%s'.", zone)
	}
	return "", resource.Errorf("MissingInput", "No subnets found for the default VPC '%s'. Please specify a subnet.", vpc)
}

// findProfile finds the instance profile that a request names; nil when it names none.
func findProfile(ctx context.Context, tx *store.Tx, in *ec2.IamInstanceProfileSpecification) (*iam.Profile, error) {
	if in == nil || in.Arn == nil && in.Name == nil {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if in.Arn != nil && in.Name != nil {
		// source: aws
		return nil, resource.Errorf("InvalidParameterCombination", "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'")
	}
	name, said := api.Or(in.Name, ""), "name"
	if in.Arn != nil {
		said = "arn"
		name = (*in.Arn)[strings.LastIndexByte(*in.Arn, '/')+1:]
	}
	p, ok, err := iam.FindProfile(ctx, tx, api.CallFrom(ctx).Account, name)
	if err != nil {
		return nil, err
	}
	if !ok || in.Arn != nil && p.ARN != *in.Arn {
		// source: aws
		shown := map[string]string{"name": "name", "arn": "ARN"}[said]
		return nil, invalid("Value (%s) for parameter iamInstanceProfile.%s is invalid. Invalid IAM Instance Profile %s", api.Or(in.Arn, name), said, shown)
	}
	return p, nil
}

// pass asks whether the caller may pass the role of an instance profile to EC2.
func pass(ctx context.Context, p *iam.Profile) error {
	if p == nil || p.Role == nil {
		return nil
	}
	return iam.Allow(ctx, "iam:PassRole", p.Role.ARN, iam.Key("iam:passedtoservice", "ec2.amazonaws.com"))
}

// data is what all instances of a launch have in common.
func (l *launch) data() (d resource.Instance) {
	d.UserData, d.Boot, d.Credits, d.ShutdownTerminates = l.userData, 1, l.credits, l.terminates
	d.DisableTermination, d.DisableStop = api.Or(l.in.DisableApiTermination, false), api.Or(l.in.DisableApiStop, false)
	d.ImageId, d.InstanceType, d.State = &l.image.ID, &l.kind.name, state(ec2.InstanceStateNamePending)
	d.StateReason = &ec2.StateReason{Code: new("pending"), Message: new("pending")} // source: aws
	d.Architecture, d.KeyName, d.RootDeviceName, d.RootDeviceType = new(architecture()), l.in.KeyName, new(rootDevice), new("ebs")
	d.VirtualizationType, d.Hypervisor = new("hvm"), new("xen")
	d.EbsOptimized, d.EnaSupport, d.PlatformDetails, d.UsageOperation = new(api.Or(l.in.EbsOptimized, false)), new(true), new("Linux/UNIX"), new("RunInstances")
	options := l.options
	d.Monitoring, d.MetadataOptions, d.ClientToken = &ec2.Monitoring{State: new("disabled")}, &options, new(api.Or(l.in.ClientToken, ""))
	d.CpuOptions = &ec2.CpuOptions{CoreCount: &l.kind.cores, ThreadsPerCore: new(l.kind.cpus / l.kind.cores)}
	d.StateTransitionReason, d.ProductCodes = new(""), []ec2.ProductCode{}
	d.EnclaveOptions, d.HibernationOptions = &ec2.EnclaveOptions{Enabled: new(false)}, &ec2.HibernationOptions{Configured: new(false)}
	d.CapacityReservationSpecification = &ec2.CapacityReservationSpecificationResponse{CapacityReservationPreference: new("open")}
	d.PrivateDnsNameOptions = &ec2.PrivateDnsNameOptionsResponse{
		HostnameType: new(ipName), EnableResourceNameDnsARecord: new(false), EnableResourceNameDnsAAAARecord: new(false),
	}
	d.MaintenanceOptions = &ec2.InstanceMaintenanceOptions{AutoRecovery: new("default")}
	if m := l.in.MaintenanceOptions; m != nil && m.AutoRecovery != nil {
		d.MaintenanceOptions.AutoRecovery = m.AutoRecovery
	}
	if s := l.in.CapacityReservationSpecification; s != nil && s.CapacityReservationPreference != nil {
		d.CapacityReservationSpecification.CapacityReservationPreference = s.CapacityReservationPreference
	}
	if l.key != nil {
		d.PublicKey = api.Or(l.key.Data.PublicKey, "")
	}
	sub := l.subnets[0]
	d.VpcId, d.SubnetId = &sub.VPC, &sub.ID
	d.Placement = &ec2.Placement{
		AvailabilityZone: sub.Data.AvailabilityZone, AvailabilityZoneId: sub.Data.AvailabilityZoneId, GroupName: new(""), Tenancy: new(ec2.TenancyDefault),
	}
	if l.profile != nil {
		d.Association = &ec2.IamInstanceProfileAssociation{IamInstanceProfile: &ec2.IamInstanceProfile{Arn: &l.profile.ARN, Id: &l.profile.ID}}
	}
	return d
}

// run makes one instance.
func (l *launch) run(ctx context.Context, tx *store.Tx, at int, reservation string, id *made) error {
	call := api.CallFrom(ctx)
	r := resource.Instances.New(ctx, id.instance, l.subnets[0].VPC, l.data())
	r.Tags = l.tags
	d := &r.Data
	d.InstanceId, d.Reservation, d.LaunchTime, d.UsageOperationUpdateTime, d.AmiLaunchIndex = &r.ID, reservation, new(call.Time), new(call.Time), new(int64(at))
	if d.Association != nil {
		associate(ctx, r, l.profile, id.association)
	}
	d.BlockDeviceMappings = []ec2.InstanceBlockDeviceMapping{{DeviceName: new(rootDevice), Ebs: &ec2.EbsInstanceBlockDevice{
		VolumeId: &id.volume, Status: new("attached"), DeleteOnTermination: new(true), AttachTime: new(call.Time),
	}}}
	for n := range l.wanted {
		eni, err := l.give(ctx, tx, n, id)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		d.Instance.PrivateIpAddress = eni.Data.PrivateIpAddress
		if d.Public = l.public(n); d.Public {
			if err := routing.AssignPublic(ctx, tx, eni, id.public); err != nil {
				return err
			}
		}
	}
	if err := resource.Instances.Create(ctx, tx, r); err != nil {
		return err
	}
	return l.disk(ctx, tx, r, id.volume)
}

// give makes or takes one interface of an instance.
func (l *launch) give(ctx context.Context, tx *store.Tx, n int, id *made) (*resource.Record[resource.NetworkInterface], error) {
	w := &l.wanted[n]
	if w.NetworkInterfaceId != nil {
		return networkinterface.Take(ctx, tx, *w.NetworkInterfaceId, id.attachments[n], id.instance, n, api.Or(w.DeleteOnTermination, false))
	}
	spec := &networkinterface.Spec{
		ID: id.interfaces[n], Attachment: id.attachments[n], Subnet: l.subnets[n], Groups: l.groups[n], Kind: dataplane.Guest,
		Description: api.Or(w.Description, ""), Tags: l.interfaceTags, Instance: id.instance, Device: n, Delete: api.Or(w.DeleteOnTermination, true),
		Secondary: int(api.Or(w.SecondaryPrivateIpAddressCount, 0)),
	}
	var err error
	if spec.Addresses, err = networkinterface.Requested(w.PrivateIpAddress, w.PrivateIpAddresses); err != nil {
		return nil, err
	}
	return networkinterface.Make(ctx, tx, spec)
}

// The performance that disks are said to have, and the largest there is. source: userguide, "General Purpose SSD volumes"
const (
	diskIOPS       = 3000
	diskThroughput = 125
	mostDisk       = 16384
)

// disk makes the record of an instance's disk.
func (l *launch) disk(ctx context.Context, tx *store.Tx, r *record, id string) error {
	call := api.CallFrom(ctx)
	v := resource.Volumes.New(ctx, id, r.VPC, resource.Volume{})
	v.Tags = l.diskTags
	d := &v.Data.Volume
	d.VolumeId, d.Size, d.VolumeType, d.State, d.CreateTime, d.Encrypted = &v.ID, &l.size, &l.volumeType, new("in-use"), new(call.Time), new(false)
	d.AvailabilityZone, d.SnapshotId, d.MultiAttachEnabled = r.Data.Placement.AvailabilityZone, new(""), new(false)
	switch l.volumeType {
	case "gp3":
		d.Iops, d.Throughput = new(int64(diskIOPS)), new(int64(diskThroughput))
	case "gp2":
		d.Iops = new(max(100, 3*l.size))
	}
	d.Attachments = []ec2.VolumeAttachment{{
		VolumeId: &v.ID, InstanceId: &r.ID, Device: new(rootDevice), State: new("attached"), AttachTime: new(call.Time), DeleteOnTermination: new(true),
	}}
	return resource.Volumes.Create(ctx, tx, v)
}
