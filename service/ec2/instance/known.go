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

// known are the instances by their addresses, as their metadata tell them.
type known struct{ at map[place]metadata.Instance }

// Metadata gives the instances as the metadata service knows them. They are read anew when something in EC2 has changed.
func (s *Instances) Metadata() metadata.Instances { return told{s} }

// told is metadata.Instances.
type told struct{ *Instances }

// Find gives the instance that has an address in a VPC.
func (t told) Find(vpc string, address netip.Addr) (metadata.Instance, bool) {
	k, err := t.read(context.Background()) //nolint:forbidigo // the interface has none
	if err != nil {
		return metadata.Instance{}, false
	}
	i, ok := k.at[place{vpc, address.Unmap()}]
	return i, ok
}

// read gives what is known.
func (s *Instances) read(ctx context.Context) (*known, error) {
	seq := s.db.Seq(resource.Topic)
	s.mu.Lock()
	k := s.known
	if s.seq != seq {
		k = nil
	}
	s.mu.Unlock()
	if k != nil {
		return k, nil
	}
	k = &known{at: map[place]metadata.Instance{}}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		list, err := resource.Instances.All(ctx, tx)
		if err != nil {
			return err
		}
		for _, r := range list {
			if is(r, ec2.InstanceStateNameTerminated) {
				continue
			}
			i, err := tell(ctx, tx, r)
			if err != nil {
				return err
			}
			for _, n := range i.Interfaces {
				for _, a := range n.Addresses {
					k.at[place{r.VPC, a}] = i
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq, s.known = seq, k
	return k, nil
}

// tell is all that an instance is told of itself.
func tell(ctx context.Context, tx *store.Tx, r *record) (metadata.Instance, error) {
	d := &r.Data
	full, err := resource.Instances.Get(ctx, tx, r.ID) // with its tags
	if err != nil || full == nil {
		return metadata.Instance{}, err
	}
	out := metadata.Instance{
		ID: r.ID, Account: r.Account, Region: r.Region, Zone: api.Or(d.Placement.AvailabilityZone, ""), ZoneID: api.Or(d.Placement.AvailabilityZoneId, ""),
		Type: api.Or(d.InstanceType, ""), Image: api.Or(d.ImageId, ""), Architecture: api.Or(d.Architecture, ""), Reservation: d.Reservation,
		LaunchIndex: int(api.Or(d.AmiLaunchIndex, 0)), Lifecycle: "on-demand", RootDevice: rootDevice, KeyName: api.Or(d.KeyName, ""),
		Profile: d.Profile, UserData: d.UserData, Tags: full.Tags, Domain: "amazonaws.com",
	}
	if d.LaunchTime != nil {
		out.Launched = *d.LaunchTime
	}
	if p := d.IamInstanceProfile; p != nil {
		out.ProfileID = api.Or(p.Id, "")
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
	if len(list) > 0 {
		out.PublicHostname = api.Or(list[0].Data.PublicDnsName, "")
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
		KeyName: api.Or(d.KeyName, ""), Profile: d.Profile, Tags: r.Tags,
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
