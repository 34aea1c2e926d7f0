package instance

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// The limits of a launch. source: userguide, "Instance user data"; guess for the number
const (
	mostUserData  = 16 << 10
	mostInstances = 100
)

// RunInstances starts instances in a subnet. They are pending until the host has started their machines.
func (s *Instances) RunInstances(ctx context.Context, in *ec2.RunInstancesInput) (*ec2.RunInstancesOutput, error) {
	const operation = "RunInstances"
	l, err := s.launch(in)
	if err != nil {
		return nil, err
	}
	ids := newIDs(int(in.MaxCount), len(l.wanted))
	reservation := resource.NewID("r")
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
		if before == "" {
			before = reservation
			for at := range ids {
				if err := l.run(ctx, tx, at, reservation, &ids[at]); err != nil {
					return err
				}
			}
			if err := resource.Made(ctx, tx, operation, in.ClientToken, in, reservation); err != nil {
				return err
			}
		}
		out, err = reserved(ctx, tx, before)
		return err
	})
	return out, err
}

// reserved describes the instances of one launch.
func reserved(ctx context.Context, tx *store.Tx, reservation string) (*ec2.RunInstancesOutput, error) {
	list, err := resource.Instances.List(ctx, tx)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(r *record) bool { return r.Data.Reservation != reservation })
	slices.SortFunc(list, func(a, b *record) int { return int(*a.Data.AmiLaunchIndex - *b.Data.AmiLaunchIndex) })
	if err := complete(ctx, tx, list); err != nil {
		return nil, err
	}
	out := &ec2.RunInstancesOutput{ReservationId: &reservation, OwnerId: new(api.CallFrom(ctx).Account), Groups: []ec2.GroupIdentifier{}, Instances: []ec2.Instance{}}
	for _, r := range list {
		out.Instances = append(out.Instances, r.Data.Instance)
	}
	return out, nil
}

// launch reads a request.
func (s *Instances) launch(in *ec2.RunInstancesInput) (*launch, error) {
	l := &launch{in: in}
	if err := refuse(in); err != nil {
		return nil, err
	}
	if in.ImageId == nil {
		return nil, missingParameter("ImageId")
	}
	var err error
	if l.image, err = s.image(*in.ImageId); err != nil {
		return nil, err
	}
	if l.kind, err = findKind(api.Or(in.InstanceType, defaultType)); err != nil {
		return nil, err
	}
	if err := l.kind.fits(); err != nil {
		return nil, err
	}
	if l.userData, err = decodeUserData(api.Or(in.UserData, "")); err != nil {
		return nil, err
	}
	if l.terminates, err = shutdownTerminates(api.Or(in.InstanceInitiatedShutdownBehavior, "stop")); err != nil {
		return nil, err
	}
	l.options = defaultOptions()
	if in.MetadataOptions != nil {
		if err := changeOptions(&l.options, in.MetadataOptions); err != nil {
			return nil, err
		}
	}
	if l.credits, err = credits(in.CreditSpecification, l.kind); err != nil {
		return nil, err
	}
	for of, into := range map[string]*map[string]string{
		resource.Instances.Name: &l.tags, resource.Volumes.Name: &l.diskTags, resource.NetworkInterfaces.Name: &l.interfaceTags,
	} {
		*into, err = resource.TagsFor(in.TagSpecifications, of, resource.Instances.Name, resource.Volumes.Name, resource.NetworkInterfaces.Name)
		if err != nil {
			return nil, err
		}
	}
	if err := l.readDisk(); err != nil {
		return nil, err
	}
	return l, l.readInterfaces()
}

// refuse says what is not built, and what cannot be together.
func refuse(in *ec2.RunInstancesInput) error {
	for what, asked := range map[string]bool{
		"LaunchTemplate": in.LaunchTemplate != nil, "InstanceMarketOptions": in.InstanceMarketOptions != nil, "ElasticGpuSpecification": in.ElasticGpuSpecification != nil,
		"ElasticInferenceAccelerators": in.ElasticInferenceAccelerators != nil, "KernelId": in.KernelId != nil, "RamdiskId": in.RamdiskId != nil,
		"HibernationOptions": in.HibernationOptions != nil && api.Or(in.HibernationOptions.Configured, false), "SecondaryInterfaces": in.SecondaryInterfaces != nil,
		"EnclaveOptions": in.EnclaveOptions != nil && api.Or(in.EnclaveOptions.Enabled, false), "CpuOptions": in.CpuOptions != nil,
		"Detailed monitoring": in.Monitoring != nil && in.Monitoring.Enabled, "LicenseSpecifications": in.LicenseSpecifications != nil,
		"A capacity reservation":    in.CapacityReservationSpecification != nil && in.CapacityReservationSpecification.CapacityReservationTarget != nil,
		"NetworkPerformanceOptions": in.NetworkPerformanceOptions != nil, "Operator": in.Operator != nil, "AdditionalInfo": in.AdditionalInfo != nil,
		"PrivateDnsNameOptions.HostnameType resource-name": in.PrivateDnsNameOptions != nil && api.Or(in.PrivateDnsNameOptions.HostnameType, ipName) != ipName,
		"PrivateDnsNameOptions.EnableResourceNameDnsARecord": in.PrivateDnsNameOptions != nil &&
			(api.Or(in.PrivateDnsNameOptions.EnableResourceNameDnsARecord, false) || api.Or(in.PrivateDnsNameOptions.EnableResourceNameDnsAAAARecord, false)),
		"A placement other than a zone": in.Placement != nil && elsewhere(in.Placement),
	} {
		if asked {
			return resource.Unsupported(what)
		}
	}
	switch {
	case in.Ipv6AddressCount != nil, in.Ipv6Addresses != nil, api.Or(in.EnablePrimaryIpv6, false):
		return resource.NoIPv6()
	case in.MinCount < 1:
		return invalid("Value (%d) for parameter minCount is invalid. The minimum value is 1", in.MinCount) // source: guess
	case in.MaxCount < in.MinCount:
		return invalid("Value (%d) for parameter maxCount is invalid. It must not be less than minCount", in.MaxCount) // source: guess
	case in.MaxCount > mostInstances:
		return resource.Errorf("InstanceLimitExceeded", "You have requested more instances (%d) than can be launched at once (%d)", in.MaxCount, mostInstances) // source: guess
	case len(in.NetworkInterfaces) > 0 && (in.SubnetId != nil || in.SecurityGroupIds != nil || in.SecurityGroups != nil || in.PrivateIpAddress != nil):
		// source: aws
		return resource.Errorf("InvalidParameterCombination", "Network interfaces and an instance-level subnet ID or security groups may not be specified on the same request")
	case in.SecurityGroups != nil && in.SubnetId != nil:
		return resource.Errorf("InvalidParameterCombination", "The parameter groupName cannot be used with the parameter subnet") // source: aws
	case in.SecurityGroups != nil && in.SecurityGroupIds != nil:
		return resource.Errorf("InvalidParameterCombination", "The parameter groupName cannot be used with the parameter groupId") // source: guess
	case in.MaxCount > 1 && in.PrivateIpAddress != nil:
		return resource.Errorf("InvalidParameterCombination", "The parameter privateIpAddress cannot be used with more than one instance") // source: guess
	}
	return nil
}

// ipName is the type of host names that instances have here.
const ipName = "ip-name"

// elsewhere says whether a placement is more than a zone.
func elsewhere(p *ec2.Placement) bool {
	return p.HostId != nil || p.HostResourceGroupArn != nil || p.GroupId != nil || p.PartitionNumber != nil || p.SpreadDomain != nil || p.Affinity != nil ||
		api.Or(p.GroupName, "") != "" || api.Or(p.Tenancy, ec2.TenancyDefault) != ec2.TenancyDefault
}

// decodeUserData reads user data, which comes in base64.
func decodeUserData(text string) ([]byte, error) {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, invalid("Invalid BASE64 encoding of user data.") // source: aws
	}
	return data, checkUserData(data)
}

// checkUserData refuses too much user data. source: aws
func checkUserData(data []byte) error {
	if len(data) > mostUserData {
		return invalid("User data is limited to %d bytes", mostUserData)
	}
	return nil
}

// shutdownTerminates reads what becomes of an instance that is shut down from inside. source: model
func shutdownTerminates(behavior string) (bool, error) {
	if behavior != ec2.ShutdownBehaviorStop && behavior != ec2.ShutdownBehaviorTerminate {
		return false, invalid("Invalid value '%s' for InstanceInitiatedShutdownBehavior.", behavior) // source: guess
	}
	return behavior == ec2.ShutdownBehaviorTerminate, nil
}

// The credit options. source: model
const (
	standard  = "standard"
	unlimited = "unlimited"
)

// credits are those of a burstable type; "" for none. source: userguide, "Unlimited mode for burstable performance instances"
func credits(in *ec2.CreditSpecificationRequest, k *kind) (string, error) {
	switch {
	case !k.burstable && in == nil:
		return "", nil
	case !k.burstable:
		// source: guess
		return "", resource.Errorf("InvalidParameterCombination", "CreditSpecification is only supported for burstable performance instance types, not for %s", k.name)
	case in == nil:
		return unlimited, nil
	case in.CpuCredits != standard && in.CpuCredits != unlimited:
		return "", invalid("Invalid value '%s' for CpuCredits. Allowed values: standard, unlimited", in.CpuCredits) // source: guess
	}
	return in.CpuCredits, nil
}

// readDisk reads what a request says of the disk. There is one for each instance, and it goes with it.
func (l *launch) readDisk() error {
	l.size, l.volumeType = diskSize, diskType
	for _, m := range l.in.BlockDeviceMappings {
		e := m.Ebs
		switch {
		case m.NoDevice != nil && api.Or(m.DeviceName, "") != rootDevice:
			continue
		case api.Or(m.DeviceName, "") != rootDevice || m.VirtualName != nil || e == nil:
			return resource.Unsupported("A disk other than " + rootDevice)
		case !api.Or(e.DeleteOnTermination, true):
			return resource.Unsupported("A disk that outlives its instance")
		case api.Or(e.Encrypted, false) || e.KmsKeyId != nil || e.SnapshotId != nil || e.OutpostArn != nil || e.VolumeInitializationRate != nil:
			return resource.Unsupported("A disk that is encrypted or made of a snapshot")
		case api.Or(e.Iops, diskIOPS) != diskIOPS || api.Or(e.Throughput, diskThroughput) != diskThroughput:
			return resource.Unsupported("Provisioned performance of a disk")
		case !slices.Contains([]string{"standard", "gp2", "gp3"}, api.Or(e.VolumeType, diskType)):
			return resource.Unsupported("A disk of type " + *e.VolumeType)
		case api.Or(e.VolumeSize, diskSize) < diskSize:
			// source: aws
			return resource.Errorf("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot of the image, expect size>= %dGB", *e.VolumeSize, diskSize)
		case api.Or(e.VolumeSize, diskSize) > mostDisk:
			return invalid("Volume of size %dGB is larger than %dGB", *e.VolumeSize, mostDisk) // source: guess
		}
		l.size, l.volumeType = api.Or(e.VolumeSize, diskSize), api.Or(e.VolumeType, diskType)
	}
	return nil
}

// readInterfaces reads the interfaces that a request names, or the one that it implies.
func (l *launch) readInterfaces() error {
	l.wanted = slices.Clone(l.in.NetworkInterfaces)
	if len(l.wanted) == 0 {
		l.wanted = []ec2.InstanceNetworkInterfaceSpecification{{
			DeviceIndex: new(int64(0)), SubnetId: l.in.SubnetId, Groups: l.in.SecurityGroupIds, PrivateIpAddress: l.in.PrivateIpAddress,
			DeleteOnTermination: new(true),
		}}
	}
	if n := len(l.wanted); int64(n) > l.kind.interfaces {
		return resource.Errorf("AttachmentLimitExceeded", "Interface count %d exceeds the limit for %s", n, l.kind.name) // source: aws
	}
	slices.SortStableFunc(l.wanted, func(a, b ec2.InstanceNetworkInterfaceSpecification) int {
		return int(api.Or(a.DeviceIndex, 0) - api.Or(b.DeviceIndex, 0))
	})
	for at := range l.wanted {
		if err := l.readInterface(at); err != nil {
			return err
		}
	}
	return nil
}

// readInterface refuses what cannot be said of an interface.
func (l *launch) readInterface(at int) error {
	w := &l.wanted[at]
	combination := func(text string) error { return resource.Errorf("InvalidParameterCombination", "%s", text) }
	switch {
	case w.DeviceIndex == nil && w.NetworkInterfaceId == nil:
		return missingParameter("DeviceIndex")
	case api.Or(w.DeviceIndex, 0) != int64(at):
		return invalid("Each network interface requires a unique device index, from 0 on.") // source: aws for the first part
	case w.AssociatePublicIpAddress != nil && w.NetworkInterfaceId != nil:
		return combination("The associatePublicIPAddress parameter cannot be specified for a network interface with an ID.") // source: aws
	case api.Or(w.AssociatePublicIpAddress, false) && at > 0:
		return combination("The associatePublicIPAddress parameter can only be specified for the network interface with DeviceIndex 0.") // source: aws
	case api.Or(w.AssociatePublicIpAddress, false) && len(l.wanted) > 1:
		return combination("The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.") // source: aws
	case w.NetworkInterfaceId != nil && l.in.MaxCount > 1:
		return combination("A network interface can be given to one instance only") // source: guess
	case w.NetworkInterfaceId != nil && (w.SubnetId != nil || w.Groups != nil || w.PrivateIpAddress != nil || w.PrivateIpAddresses != nil):
		return combination("A network interface may not specify both a network interface ID and a subnet") // source: aws
	case l.in.MaxCount > 1 && (w.PrivateIpAddress != nil || w.PrivateIpAddresses != nil):
		return combination("The parameter privateIpAddress cannot be used with more than one instance") // source: guess
	case w.Ipv6AddressCount != nil, w.Ipv6Addresses != nil, w.Ipv6PrefixCount != nil, w.Ipv6Prefixes != nil, api.Or(w.PrimaryIpv6, false):
		return resource.NoIPv6()
	case w.Ipv4Prefixes != nil, w.Ipv4PrefixCount != nil:
		return resource.Unsupported("Prefix delegation")
	case api.Or(w.InterfaceType, "interface") != "interface", api.Or(w.AssociateCarrierIpAddress, false), w.EnaSrdSpecification != nil,
		w.ConnectionTrackingSpecification != nil, w.EnaQueueCount != nil, api.Or(w.NetworkCardIndex, 0) != 0:
		return resource.Unsupported("A network interface of a special kind")
	case max(int64(len(w.PrivateIpAddresses)), 1)+api.Or(w.SecondaryPrivateIpAddressCount, 0) > l.kind.addresses:
		return resource.Errorf("PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit.") // source: aws
	}
	return nil
}

// defaultOptions are the metadata options of an instance whose launch says nothing. source: model, "InstanceMetadataOptionsRequest"
func defaultOptions() ec2.InstanceMetadataOptionsResponse {
	return ec2.InstanceMetadataOptionsResponse{
		State: new("applied"), HttpTokens: new("optional"), HttpPutResponseHopLimit: new(int64(1)), HttpEndpoint: new("enabled"),
		HttpProtocolIpv6: new("disabled"), InstanceMetadataTags: new("disabled"),
	}
}

// The longest way of an answer of the metadata service. source: model
const mostHops = 64

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
		if *n < 1 || *n > mostHops {
			return invalid("Invalid value '%d' for HttpPutResponseHopLimit. It must be between 1 and %d.", *n, mostHops) // source: guess
		}
		o.HttpPutResponseHopLimit = n
	}
	return nil
}
