package instance

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/metadata"
	"github.com/vennel/vennel/service/ec2/networkinterface"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/store"
)

// place is an address in a VPC.
type place struct {
	vpc     string
	address netip.Addr
}

// Metadata gives the instances as the metadata service knows them. What has been read of one is good until something in EC2 changes.
func (s *Instances) Metadata() metadata.Instances { return told{s} }

// told is metadata.Instances.
type told struct{ *Instances }

// Find gives the instance that has an address in a VPC.
func (t told) Find(ctx context.Context, vpc string, address netip.Addr) (metadata.Instance, bool) {
	at := place{vpc, address.Unmap()}
	seq := t.db.Seq(resource.Topic)
	t.mu.Lock()
	if t.seq != seq || t.known == nil {
		t.seq, t.known = seq, map[place]metadata.Instance{}
	}
	known := t.known
	i, ok := known[at]
	t.mu.Unlock()
	if ok {
		return i, true
	}
	err := t.db.View(ctx, func(tx *store.Tx) (err error) {
		i, ok, err = find(ctx, tx, at)
		return err
	})
	if err != nil || !ok {
		return metadata.Instance{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known[at] = i // which nobody reads any more if something has changed meanwhile
	return i, true
}

// find reads the instance that has an address in a VPC.
func find(ctx context.Context, tx *store.Tx, at place) (i metadata.Instance, ok bool, err error) {
	list, err := resource.NetworkInterfaces.Of(ctx, tx, at.vpc)
	if err != nil {
		return i, false, err
	}
	for _, n := range list {
		a := n.Data.Attachment
		if a == nil || a.InstanceId == nil || !slices.ContainsFunc(n.Data.PrivateIpAddresses, func(p ec2.NetworkInterfacePrivateIpAddress) bool {
			return resource.Addr(p.PrivateIpAddress) == at.address
		}) {
			continue
		}
		r, err := resource.Instances.Get(ctx, tx, *a.InstanceId)
		if err != nil || r == nil {
			return i, false, err
		}
		i, err = tell(ctx, tx, r)
		return i, err == nil, err
	}
	return i, false, nil
}

// tell is all that an instance is told of itself.
func tell(ctx context.Context, tx *store.Tx, r *record) (metadata.Instance, error) {
	d := &r.Data
	out := metadata.Instance{
		ID: r.ID, Account: r.Account, Region: r.Region, Zone: api.Or(d.Placement.AvailabilityZone, ""), ZoneID: api.Or(d.Placement.AvailabilityZoneId, ""),
		Type: api.Or(d.InstanceType, ""), Image: api.Or(d.ImageId, ""), Architecture: api.Or(d.Architecture, ""), Reservation: d.Reservation,
		LaunchIndex: int(api.Or(d.AmiLaunchIndex, 0)), Lifecycle: "on-demand", RootDevice: rootDevice, KeyName: api.Or(d.KeyName, ""),
		PublicKey: d.PublicKey, Profile: d.ProfileARN(), UserData: d.UserData, Tags: r.Tags, Domain: "amazonaws.com",
	}
	if d.LaunchTime != nil {
		out.Launched = *d.LaunchTime
	}
	if a := d.Association; a != nil {
		out.ProfileID = api.Or(a.IamInstanceProfile.Id, "")
	}
	if o := d.MetadataOptions; o != nil {
		out.Options = metadata.Options{
			Disabled: api.Or(o.HttpEndpoint, "") == "disabled", TokensRequired: api.Or(o.HttpTokens, "") == "required",
			HopLimit: int(api.Or(o.HttpPutResponseHopLimit, 1)), Tags: api.Or(o.InstanceMetadataTags, "") == "enabled",
		}
	}
	vpc, err := resource.VPCs.Get(ctx, tx, r.VPC)
	if err != nil || vpc == nil {
		return out, err
	}
	list, err := networkinterface.OfInstance(ctx, tx, r.VPC, r.ID)
	if err != nil {
		return out, err
	}
	for _, n := range list {
		i, err := interfaceTold(ctx, tx, vpc, n)
		if err != nil {
			return out, err
		}
		out.Interfaces = append(out.Interfaces, i)
	}
	if len(list) > 0 && list[0].Data.Association != nil {
		out.PublicHostname = api.Or(list[0].Data.Association.PublicDnsName, "")
	}
	return out, nil
}

// interfaceTold is what an instance is told of an interface.
func interfaceTold(
	ctx context.Context, tx *store.Tx, vpc *resource.Record[resource.VPC], n *resource.Record[resource.NetworkInterface],
) (metadata.Interface, error) {
	d := &n.Data
	out := metadata.Interface{
		ID: n.ID, MAC: api.Or(d.MacAddress, ""), Hostname: api.Or(d.PrivateDnsName, ""), Subnet: api.Or(d.SubnetId, ""), VPC: n.VPC,
	}
	if a := d.Attachment; a != nil {
		out.Device = int(api.Or(a.DeviceIndex, 0))
	}
	if out.Hostname == "" {
		out.Hostname = networkinterface.PrivateName(n.Region, resource.Addr(d.PrivateIpAddress))
	}
	for _, p := range d.PrivateIpAddresses {
		a := resource.Addr(p.PrivateIpAddress)
		if api.Or(p.Primary, false) {
			out.Addresses = append([]netip.Addr{a}, out.Addresses...)
		} else {
			out.Addresses = append(out.Addresses, a)
		}
		if p.Association != nil {
			out.Public = append(out.Public, metadata.Association{
				Public: resource.Addr(p.Association.PublicIp), Private: a, Hostname: api.Or(p.Association.PublicDnsName, ""),
			})
		}
	}
	for _, g := range d.Groups {
		out.Groups, out.GroupsIDs = append(out.Groups, api.Or(g.GroupName, "")), append(out.GroupsIDs, api.Or(g.GroupId, ""))
	}
	for _, a := range vpc.Data.CidrBlockAssociationSet {
		out.VPCBlocks = append(out.VPCBlocks, resource.Prefix(a.CidrBlock))
	}
	s, err := resource.Subnets.Get(ctx, tx, out.Subnet)
	if err == nil && s != nil {
		out.SubnetBlock = resource.Prefix(s.Data.CidrBlock)
	}
	return out, err
}

// Fleet gives the instances as Systems Manager knows them.
func (s *Instances) Fleet() fleet.Instances { return managed{} }

// managed is fleet.Instances.
type managed struct{}

// Find gives an instance.
func (managed) Find(ctx context.Context, tx *store.Tx, id string) (fleet.Instance, bool, error) {
	r, err := resource.Instances.Get(ctx, tx, id)
	if err != nil || r == nil {
		return fleet.Instance{}, false, err
	}
	d := &r.Data
	out := fleet.Instance{
		ID: r.ID, Account: r.Account, Region: r.Region, State: stateOf(d), Type: api.Or(d.InstanceType, ""), Architecture: api.Or(d.Architecture, ""),
		KeyName: api.Or(d.KeyName, ""), Profile: d.ProfileARN(), Tags: r.Tags,
	}
	if d.LaunchTime != nil {
		out.Launched = *d.LaunchTime
	}
	return out, true, nil
}

// Tagged gives the ids of instances that have a tag.
func (managed) Tagged(ctx context.Context, tx *store.Tx, account, region, name string, value *string, after string, most int) ([]string, error) {
	ids, err := resource.Tagged(ctx, tx, account, region, resource.Instances.Name, name, value)
	ids = slices.DeleteFunc(ids, func(id string) bool { return strings.Compare(id, after) <= 0 })
	return ids[:min(len(ids), most)], err
}

// Machine is the machine of an instance, but for its image.
func Machine(r *resource.Record[resource.Instance]) dataplane.Machine {
	return dataplane.Machine{
		ID: r.ID, Boot: r.Data.Boot, Memory: Memory(api.Or(r.Data.InstanceType, "")),
		Stopped: is(r, ec2.InstanceStateNameStopping, ec2.InstanceStateNameStopped), Gone: is(r, ec2.InstanceStateNameShuttingDown),
	}
}
