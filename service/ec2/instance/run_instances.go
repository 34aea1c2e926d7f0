package instance

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// The limits of a launch. source: userguide, "Instance user data"; guess for the number
const (
	mostUserData  = 16 << 10
	mostInstances = 100
)

// made are the ids of one instance, which are random and so made outside of the closure.
type made struct{ id, volume, reservation string }

// RunInstances starts instances in a subnet. They are pending until the host has started their machines.
func (s *Instances) RunInstances(ctx context.Context, in *ec2.RunInstancesInput) (*ec2.RunInstancesOutput, error) {
	const operation = "RunInstances"
	l, err := s.launch(in)
	if err != nil {
		return nil, err
	}
	if err := resource.Instances.AllowNew(ctx, "ec2:"+operation, l.tags, iam.Key("ec2:instancetype", l.kind.name)); err != nil {
		return nil, err
	}
	ids := make([]made, in.MaxCount)
	reservation := resource.NewID("r")
	for i := range ids {
		ids[i] = made{resource.Instances.NewID(), resource.Volumes.NewID(), reservation}
	}
	l.ids(int(in.MaxCount))
	var out *ec2.RunInstancesOutput
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		if err := l.prepare(ctx, tx); err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		before, err := resource.Once(ctx, tx, operation, in.ClientToken, in)
		if err != nil {
			return err
		}
		var list []*record
		if before == "" {
			before = reservation
			for at, id := range ids {
				if err := l.run(ctx, tx, at, id); err != nil {
					return err
				}
			}
			if err := resource.Made(ctx, tx, operation, in.ClientToken, in, reservation); err != nil {
				return err
			}
		}
		all, err := resource.Instances.List(ctx, tx)
		if err != nil {
			return err
		}
		for _, r := range all {
			if r.Data.Reservation == before {
				list = append(list, r)
			}
		}
		if err := complete(ctx, tx, list); err != nil {
			return err
		}
		out = &ec2.RunInstancesOutput{ReservationId: &before, OwnerId: new(api.CallFrom(ctx).Account), Groups: []ec2.GroupIdentifier{}}
		for _, r := range list {
			out.Instances = append(out.Instances, r.Data.Instance)
		}
		return nil
	})
	return out, err
}

// launch is what a request asks for.
type launch struct {
	in         *ec2.RunInstancesInput
	image      Image
	kind       machineType
	userData   []byte
	options    ec2.InstanceMetadataOptionsResponse
	tags       map[string]string // of the instances
	volumes    map[string]string // tags of their disks
	interfaces map[string]string // tags of their interfaces
	wanted     []ec2.InstanceNetworkInterfaceSpecification
	enis       [][]string // ids of the interfaces that are made, by instance and by those wanted
	attach     [][]string // ids of their attachments

	subnets []*resource.Record[resource.Subnet] // by those wanted; nil where the interface is there already
	profile *iam.Profile
}

// launch reads a request.
func (s *Instances) launch(in *ec2.RunInstancesInput) (*launch, error) {
	l := &launch{in: in}
	if err := refuse(in); err != nil {
		return nil, err
	}
	at := slices.IndexFunc(s.images, func(i Image) bool { return i.ID == api.Or(in.ImageId, "") })
	switch {
	case in.ImageId == nil:
		return nil, resource.Errorf("MissingParameter", "The request must contain the parameter ImageId") // source: aws
	case !strings.HasPrefix(*in.ImageId, "ami-"):
		return nil, resource.Errorf("InvalidAMIID.Malformed", "Invalid id: %q (expecting \"ami-...\")", *in.ImageId) // source: aws
	case at < 0:
		return nil, resource.Errorf("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", *in.ImageId) // source: aws
	}
	l.image = s.images[at]
	var err error
	if l.kind, err = findType(api.Or(in.InstanceType, defaultType)); err != nil {
		return nil, err
	}
	if l.userData, err = decodeUserData(in.UserData); err != nil {
		return nil, err
	}
	if l.options, err = metadataOptions(in.MetadataOptions); err != nil {
		return nil, err
	}
	for kind, into := range map[string]*map[string]string{
		"instance": &l.tags, "volume": &l.volumes, "network-interface": &l.interfaces,
	} {
		if *into, err = resource.TagsFor(in.TagSpecifications, kind, "instance", "volume", "network-interface"); err != nil {
			return nil, err
		}
	}
	return l, l.interfacesWanted()
}

// refuse says what is not built, and what cannot be together.
func refuse(in *ec2.RunInstancesInput) error {
	for what, asked := range map[string]bool{
		"LaunchTemplate": in.LaunchTemplate != nil, "InstanceMarketOptions": in.InstanceMarketOptions != nil, "ElasticGpuSpecification": in.ElasticGpuSpecification != nil,
		"ElasticInferenceAccelerators": in.ElasticInferenceAccelerators != nil, "HibernationOptions": in.HibernationOptions != nil && api.Or(in.HibernationOptions.Configured, false),
		"EnclaveOptions": in.EnclaveOptions != nil && api.Or(in.EnclaveOptions.Enabled, false), "KernelId": in.KernelId != nil, "RamdiskId": in.RamdiskId != nil,
		"SecondaryInterfaces": in.SecondaryInterfaces != nil,
	} {
		if asked {
			return resource.Unsupported(what)
		}
	}
	switch {
	case in.Ipv6AddressCount != nil, in.Ipv6Addresses != nil, api.Or(in.EnablePrimaryIpv6, false):
		return resource.NoIPv6()
	case in.MinCount < 1 || in.MaxCount < in.MinCount || in.MaxCount > mostInstances:
		return invalid("Invalid value '%d' for MinCount or '%d' for MaxCount", in.MinCount, in.MaxCount) // source: guess
	case len(in.NetworkInterfaces) > 0 && (in.SubnetId != nil || in.SecurityGroupIds != nil || in.SecurityGroups != nil):
		// source: aws
		return resource.Errorf("InvalidParameterCombination", "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request")
	case in.SecurityGroups != nil:
		return resource.Errorf("InvalidParameterCombination", "The parameter groupName cannot be used with the parameter subnet") // source: aws
	case in.MaxCount > 1 && in.PrivateIpAddress != nil:
		return resource.Errorf("InvalidParameterCombination", "The parameter privateIpAddress cannot be used with more than one instance") // source: guess
	}
	return nil
}

// decodeUserData reads user data, which comes in base64.
func decodeUserData(text *string) ([]byte, error) {
	if text == nil {
		return nil, nil
	}
	data, err := base64.StdEncoding.DecodeString(*text)
	if err != nil {
		return nil, invalid("Invalid BASE64 encoding of user data.") // source: aws
	}
	if len(data) > mostUserData {
		return nil, invalid("User data is limited to %d bytes", mostUserData) // source: aws
	}
	return data, nil
}

// metadataOptions are those of a new instance. source: model, "InstanceMetadataOptionsRequest"
func metadataOptions(in *ec2.InstanceMetadataOptionsRequest) (ec2.InstanceMetadataOptionsResponse, error) {
	out := ec2.InstanceMetadataOptionsResponse{
		State: new("applied"), HttpTokens: new("optional"), HttpPutResponseHopLimit: new(int64(1)), HttpEndpoint: new("enabled"),
		HttpProtocolIpv6: new("disabled"), InstanceMetadataTags: new("disabled"),
	}
	if in == nil {
		return out, nil
	}
	return out, changeOptions(&out, in)
}

// changeOptions changes what a request names.
func changeOptions(o *ec2.InstanceMetadataOptionsResponse, in *ec2.InstanceMetadataOptionsRequest) error {
	for _, m := range []struct {
		name   string
		new    *string
		old    **string
		values []string
	}{
		{"HttpTokens", in.HttpTokens, &o.HttpTokens, []string{"optional", "required"}},
		{"HttpEndpoint", in.HttpEndpoint, &o.HttpEndpoint, []string{"enabled", "disabled"}},
		{"InstanceMetadataTags", in.InstanceMetadataTags, &o.InstanceMetadataTags, []string{"enabled", "disabled"}},
		{"HttpProtocolIpv6", in.HttpProtocolIpv6, &o.HttpProtocolIpv6, []string{"disabled"}},
	} {
		if m.new == nil {
			continue
		}
		if !slices.Contains(m.values, *m.new) {
			return invalid("Invalid value '%s' for %s. Allowed values: %s", *m.new, m.name, strings.Join(m.values, ", ")) // source: guess
		}
		*m.old = m.new
	}
	if n := in.HttpPutResponseHopLimit; n != nil {
		if *n < 1 || *n > 64 {
			return invalid("Invalid value '%d' for HttpPutResponseHopLimit. It must be between 1 and 64.", *n) // source: guess
		}
		o.HttpPutResponseHopLimit = n
	}
	return nil
}

// interfacesWanted are the interfaces that a request names, or the one that it implies.
func (l *launch) interfacesWanted() error {
	l.wanted = l.in.NetworkInterfaces
	if len(l.wanted) == 0 {
		l.wanted = []ec2.InstanceNetworkInterfaceSpecification{{
			DeviceIndex: new(int64(0)), SubnetId: l.in.SubnetId, Groups: l.in.SecurityGroupIds, PrivateIpAddress: l.in.PrivateIpAddress,
			DeleteOnTermination: new(true),
		}}
	}
	slices.SortStableFunc(l.wanted, func(a, b ec2.InstanceNetworkInterfaceSpecification) int {
		return int(api.Or(a.DeviceIndex, 0) - api.Or(b.DeviceIndex, 0))
	})
	for at, w := range l.wanted {
		switch {
		case api.Or(w.DeviceIndex, -1) != int64(at):
			return invalid("Each network interface requires a device index, from 0 on.") // source: aws, shortened
		case w.NetworkInterfaceId != nil && l.in.MaxCount > 1:
			return resource.Errorf("InvalidParameterCombination", "A network interface can be given to one instance only") // source: guess
		case w.NetworkInterfaceId != nil && (w.SubnetId != nil || w.Groups != nil || w.PrivateIpAddress != nil):
			// source: aws
			return resource.Errorf("InvalidParameterCombination", "A network interface may not specify both a network interface ID and a subnet, groups or an address")
		case w.Ipv6AddressCount != nil, w.Ipv6Addresses != nil:
			return resource.NoIPv6()
		case w.Ipv4Prefixes != nil, w.Ipv4PrefixCount != nil:
			return resource.Unsupported("Prefix delegation")
		}
	}
	return nil
}

// ids makes the ids of all interfaces.
func (l *launch) ids(instances int) {
	for range instances {
		var enis, attach []string
		for range l.wanted {
			enis, attach = append(enis, resource.NetworkInterfaces.NewID()), append(attach, networkinterface.NewAttachment(false))
		}
		l.enis, l.attach = append(l.enis, enis), append(l.attach, attach)
	}
}

// prepare finds what a launch refers to, and asks whether the caller may use it.
func (l *launch) prepare(ctx context.Context, tx *store.Tx) (err error) {
	const action = "ec2:RunInstances"
	l.subnets = make([]*resource.Record[resource.Subnet], len(l.wanted))
	call := api.CallFrom(ctx)
	if err := iam.Allow(ctx, action, api.ARN("ec2", call.Region, "", "image/"+l.image.ID), iam.Key("ec2:owner", imageOwner), iam.Key("ec2:public", "true")); err != nil {
		return err
	}
	for at, w := range l.wanted {
		if w.NetworkInterfaceId != nil {
			if _, err := resource.NetworkInterfaces.FindFor(ctx, tx, action, *w.NetworkInterfaceId); err != nil {
				return err
			}
			continue
		}
		id := api.Or(w.SubnetId, "")
		if id == "" {
			if id, err = l.defaultSubnet(ctx, tx); err != nil {
				return err
			}
		}
		if l.subnets[at], err = networkinterface.SubnetFor(ctx, tx, action, id); err != nil {
			return err
		}
		for _, g := range w.Groups {
			if _, err := resource.SecurityGroups.FindFor(ctx, tx, action, g); err != nil {
				return err
			}
		}
		if err := resource.NetworkInterfaces.AllowNew(ctx, action, l.interfaces); err != nil {
			return err
		}
	}
	if err := resource.Volumes.AllowNew(ctx, action, l.volumes); err != nil {
		return err
	}
	l.profile, err = passProfile(ctx, tx, l.in.IamInstanceProfile)
	return err
}

// defaultSubnet is the one that a launch without a subnet gets. source: aws
func (l *launch) defaultSubnet(ctx context.Context, tx *store.Tx) (string, error) {
	zone := ""
	if l.in.Placement != nil {
		zone = api.Or(l.in.Placement.AvailabilityZone, "")
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
	return "", resource.Errorf("MissingInput", "No subnets found for the default VPC. Please specify a subnet.")
}

// passProfile finds the instance profile that a request names, and asks whether the caller may pass its role.
func passProfile(ctx context.Context, tx *store.Tx, in *ec2.IamInstanceProfileSpecification) (*iam.Profile, error) {
	if in == nil || in.Arn == nil && in.Name == nil {
		return nil, nil //nolint:nilnil // none is an answer
	}
	call := api.CallFrom(ctx)
	name, said := api.Or(in.Name, ""), "name"
	if in.Arn != nil {
		said = "arn"
		name = (*in.Arn)[strings.LastIndexByte(*in.Arn, '/')+1:]
	}
	p, ok, err := iam.FindProfile(ctx, tx, call.Account, name)
	if err != nil {
		return nil, err
	}
	if !ok || in.Arn != nil && p.ARN != *in.Arn {
		return nil, invalid("Value (%s) for parameter iamInstanceProfile.%s is invalid. Invalid IAM Instance Profile %s", api.Or(in.Arn, name), said, strings.ToUpper(said[:1])+said[1:]) // source: aws
	}
	if p.Role == nil {
		return p, nil
	}
	return p, iam.Allow(ctx, "iam:PassRole", p.Role.ARN, iam.Key("iam:passedtoservice", "ec2.amazonaws.com"))
}

// run makes one instance.
func (l *launch) run(ctx context.Context, tx *store.Tx, at int, id made) error {
	call := api.CallFrom(ctx)
	r := resource.Instances.New(ctx, id.id, "", resource.Instance{UserData: l.userData, Boot: 1, Reservation: id.reservation})
	r.Tags = l.tags
	d := &r.Data
	d.InstanceId, d.ImageId, d.InstanceType, d.State = &r.ID, &l.image.ID, &l.kind.name, state(ec2.InstanceStateNamePending)
	d.LaunchTime, d.Architecture, d.AmiLaunchIndex, d.KeyName = new(call.Time), new(architecture()), new(int64(at)), l.in.KeyName
	d.RootDeviceName, d.RootDeviceType, d.VirtualizationType, d.Hypervisor = new(rootDevice), new("ebs"), new("hvm"), new("xen")
	d.EbsOptimized, d.EnaSupport, d.PlatformDetails, d.UsageOperation = new(false), new(true), new("Linux/UNIX"), new("RunInstances")
	d.Monitoring, d.MetadataOptions, d.ClientToken = &ec2.Monitoring{State: new("disabled")}, &l.options, l.in.ClientToken
	d.CpuOptions = &ec2.CpuOptions{CoreCount: new(int64(1)), ThreadsPerCore: &l.kind.cpus}
	d.StateTransitionReason, d.ProductCodes = new(""), []ec2.ProductCode{}
	d.DisableTermination, d.DisableStop = api.Or(l.in.DisableApiTermination, false), api.Or(l.in.DisableApiStop, false)
	d.ShutdownTerminates = api.Or(l.in.InstanceInitiatedShutdownBehavior, "stop") == "terminate"
	d.BlockDeviceMappings = []ec2.InstanceBlockDeviceMapping{{DeviceName: new(rootDevice), Ebs: &ec2.EbsInstanceBlockDevice{
		VolumeId: &id.volume, Status: new("attached"), DeleteOnTermination: new(true), AttachTime: new(call.Time),
	}}}
	if l.profile != nil {
		d.Profile = l.profile.ARN
		d.IamInstanceProfile = &ec2.IamInstanceProfile{Arn: &l.profile.ARN, Id: &l.profile.ID}
	}
	for n := range l.wanted {
		eni, err := l.give(ctx, tx, at, n, id.id)
		if err != nil {
			return err
		}
		if n > 0 {
			if eni.VPC != r.VPC {
				return resource.Errorf("InvalidParameterCombination", "All network interfaces of an instance must be in one VPC") // source: guess
			}
			continue
		}
		r.VPC, d.VpcId, d.SubnetId = eni.VPC, &eni.VPC, eni.Data.SubnetId
		d.Instance.PrivateIpAddress = eni.Data.PrivateIpAddress
		d.Placement = &ec2.Placement{
			AvailabilityZone: eni.Data.AvailabilityZone, AvailabilityZoneId: eni.Data.AvailabilityZoneId, GroupName: new(""), Tenancy: new("default"),
		}
	}
	if err := resource.Instances.Create(ctx, tx, r); err != nil {
		return err
	}
	return l.disk(ctx, tx, r, id.volume)
}

// give makes or takes one interface of an instance.
func (l *launch) give(ctx context.Context, tx *store.Tx, at, n int, instance string) (*resource.Record[resource.NetworkInterface], error) {
	w := &l.wanted[n]
	if w.NetworkInterfaceId != nil {
		return networkinterface.Take(ctx, tx, *w.NetworkInterfaceId, l.attach[at][n], instance, n, api.Or(w.DeleteOnTermination, false))
	}
	spec := &networkinterface.Spec{
		ID: l.enis[at][n], Attachment: l.attach[at][n], Subnet: l.subnets[n], Groups: w.Groups, Kind: dataplane.Guest,
		Description: api.Or(w.Description, ""), Tags: l.interfaces, Instance: instance, Device: n, Delete: api.Or(w.DeleteOnTermination, true),
		Secondary: int(api.Or(w.SecondaryPrivateIpAddressCount, 0)),
	}
	var err error
	if spec.Addresses, err = networkinterface.Requested(w.PrivateIpAddress, w.PrivateIpAddresses); err != nil {
		return nil, err
	}
	eni, err := networkinterface.Make(ctx, tx, spec)
	if err != nil {
		return nil, err
	}
	if n == 0 && api.Or(w.AssociatePublicIpAddress, api.Or(l.subnets[n].Data.MapPublicIpOnLaunch, false)) {
		return eni, resource.Unsupported(fmt.Sprintf("A public address at launch, as for %s,", eni.ID))
	}
	return eni, nil
}

// diskSize is what the disk of an instance is said to have, in GiB: as much as the host's gives.
const diskSize = 8

// disk makes the record of an instance's disk.
func (l *launch) disk(ctx context.Context, tx *store.Tx, r *record, id string) error {
	call := api.CallFrom(ctx)
	v := resource.Volumes.New(ctx, id, r.VPC, resource.Volume{})
	v.Tags = l.volumes
	d := &v.Data.Volume
	d.VolumeId, d.Size, d.VolumeType, d.State, d.CreateTime, d.Encrypted = &v.ID, new(int64(diskSize)), new("standard"), new("in-use"), new(call.Time), new(false)
	d.AvailabilityZone, d.SnapshotId, d.MultiAttachEnabled = r.Data.Placement.AvailabilityZone, new(""), new(false)
	d.Attachments = []ec2.VolumeAttachment{{
		VolumeId: &v.ID, InstanceId: &r.ID, Device: new(rootDevice), State: new("attached"), AttachTime: new(call.Time), DeleteOnTermination: new(true),
	}}
	return resource.Volumes.Create(ctx, tx, v)
}
