// Package networkinterface keeps elastic network interfaces and their addresses.
//
// Functions are for siblings: [Make] and [Remove] for whatever has interfaces, [OfOwner] and [OfInstance] to find them,
// [Release] for an instance that ends. It uses securitygroup.
package networkinterface

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/dataplane"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/securitygroup"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// NetworkInterfaces is the capability.
type NetworkInterfaces struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *NetworkInterfaces { return &NetworkInterfaces{db} }

// record is the record of an interface.
type record = resource.Record[resource.NetworkInterface]

// The types of interfaces. source: model, "NetworkInterfaceType"; aws for NAT gateways
const (
	plain       = "interface"
	vpcEndpoint = "vpc_endpoint"
	natGateway  = "nat_gateway"
)

// The status of interfaces and attachments.
const (
	available = ec2.NetworkInterfaceStatusAvailable
	inUse     = ec2.NetworkInterfaceStatusInUse
	attached  = ec2.AttachmentStatusAttached
)

// amazon is who requests, and holds, the interfaces of services. source: aws
const amazon = "amazon-aws"

// mostAddresses is how many addresses an interface may have. source: userguide, "IP addresses per network interface"
const mostAddresses = 50

// Spec is what an interface is made of.
type Spec struct {
	ID          string // from resource.NetworkInterfaces.NewID, outside of the closure
	Attachment  string // from NewAttachment, outside of the closure; of one that somebody holds from the start
	Subnet      *resource.Record[resource.Subnet]
	Groups      []string     // of the subnet's VPC; none is the VPC's default group
	Ungrouped   bool         // it has no groups at all, as a NAT gateway's
	Addresses   []netip.Addr // that it must have, the primary one first
	Secondary   int          // how many more it is given
	Kind        dataplane.Kind
	Owner       string // what a service made it for: vpce-…, nat-…, rslvr-in-…
	Description string
	Unchecked   bool // the source and destination check is off
	Tags        map[string]string

	Instance string // that holds it, at a device index
	Device   int
	Delete   bool // it goes with the instance
}

// NewAttachment makes the id of an attachment of an instance, or of a service's interface.
func NewAttachment(service bool) string {
	if service {
		return resource.NewID("ela-attach")
	}
	return resource.NewID("eni-attach")
}

// Make makes an interface. Addresses that are not asked for are free ones of the subnet. Whether the caller may is the
// caller's question.
func Make(ctx context.Context, tx *store.Tx, s *Spec) (*record, error) {
	groups, err := groupsFor(ctx, tx, s)
	if err != nil {
		return nil, err
	}
	addresses, err := choose(ctx, tx, s)
	if err != nil {
		return nil, err
	}
	sub := s.Subnet
	n := &record{ID: s.ID, Account: sub.Account, Region: sub.Region, VPC: sub.VPC, Tags: s.Tags}
	n.Data.Holder, n.Data.Owner = s.Kind, s.Owner
	d := &n.Data.NetworkInterface
	d.NetworkInterfaceId, d.OwnerId, d.VpcId, d.SubnetId = &n.ID, &n.Account, &n.VPC, &sub.ID
	d.AvailabilityZone, d.AvailabilityZoneId = sub.Data.AvailabilityZone, sub.Data.AvailabilityZoneId
	d.Description, d.Groups, d.InterfaceType, d.MacAddress = &s.Description, groups, new(typeOf(s.Kind)), new(mac(n.ID))
	d.SourceDestCheck, d.RequesterManaged, d.Status = new(!s.Unchecked), new(s.Owner != ""), new(available)
	for _, a := range addresses {
		give(d, a)
	}
	switch {
	case s.Owner != "":
		d.RequesterId, d.Status = new(amazon), new(inUse)
		d.Attachment = &ec2.NetworkInterfaceAttachment{
			AttachmentId: &s.Attachment, DeviceIndex: new(int64(1)), InstanceOwnerId: new(amazon), Status: new(attached), DeleteOnTermination: new(false),
		}
	case s.Instance != "":
		attach(n, s.Attachment, s.Instance, s.Device, s.Delete, api.CallFrom(ctx).Time)
	}
	return n, resource.NetworkInterfaces.Create(ctx, tx, n)
}

// attach gives an interface to an instance.
func attach(n *record, id, instance string, device int, remove bool, at time.Time) {
	n.Data.Status = new(inUse)
	n.Data.Attachment = &ec2.NetworkInterfaceAttachment{
		AttachmentId: &id, InstanceId: &instance, InstanceOwnerId: &n.Account, DeviceIndex: new(int64(device)), NetworkCardIndex: new(int64(0)),
		Status: new(attached), DeleteOnTermination: &remove, AttachTime: &at,
	}
}

// Take gives an interface that nobody holds to an instance that is made.
func Take(ctx context.Context, tx *store.Tx, id, attachment, instance string, device int, remove bool) (*resource.Record[resource.NetworkInterface], error) {
	n, err := resource.NetworkInterfaces.Find(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if n.Data.Attachment != nil {
		return nil, resource.Errorf("InvalidNetworkInterface.InUse", "Interface: [%s] in use.", n.ID) // source: aws
	}
	attach(n, attachment, instance, device, remove, api.CallFrom(ctx).Time)
	return n, resource.NetworkInterfaces.Put(ctx, tx, n)
}

// typeOf is AWS's word for who holds an interface.
func typeOf(k dataplane.Kind) string {
	switch k {
	case dataplane.Endpoint:
		return vpcEndpoint
	case dataplane.NAT:
		return natGateway
	case dataplane.Guest, dataplane.Inbound, dataplane.Outbound:
	}
	return plain
}

// groupsFor gives the groups of an interface that is made.
func groupsFor(ctx context.Context, tx *store.Tx, s *Spec) ([]ec2.GroupIdentifier, error) {
	if s.Ungrouped {
		return []ec2.GroupIdentifier{}, nil
	}
	ids := s.Groups
	if len(ids) == 0 {
		id, err := securitygroup.Default(ctx, tx, s.Subnet.VPC)
		if err != nil {
			return nil, err
		}
		ids = []string{id}
	}
	return identify(ctx, tx, s.Subnet.VPC, ids)
}

// identify gives ids and names of groups that an interface in a VPC can have.
func identify(ctx context.Context, tx *store.Tx, vpc string, ids []string) ([]ec2.GroupIdentifier, error) {
	list, err := securitygroup.Check(ctx, tx, vpc, ids)
	if err != nil {
		return nil, err
	}
	groups := make([]ec2.GroupIdentifier, len(list))
	for i, g := range list {
		groups[i] = ec2.GroupIdentifier{GroupId: &g.ID, GroupName: g.Data.GroupName}
	}
	return groups, nil
}

// SetGroups gives an interface other groups of its VPC.
func SetGroups(ctx context.Context, tx *store.Tx, n *resource.Record[resource.NetworkInterface], ids []string) error {
	groups, err := identify(ctx, tx, n.VPC, ids)
	if err != nil {
		return err
	}
	n.Data.Groups = groups
	return resource.NetworkInterfaces.Put(ctx, tx, n)
}

// give adds an address to an interface; the first is the primary one.
func give(d *ec2.NetworkInterface, a netip.Addr) {
	first := len(d.PrivateIpAddresses) == 0
	if first {
		d.PrivateIpAddress = new(a.String())
	}
	d.PrivateIpAddresses = append(d.PrivateIpAddresses, ec2.NetworkInterfacePrivateIpAddress{PrivateIpAddress: new(a.String()), Primary: &first})
}

// mac makes a hardware address of an id: unicast and locally administered.
func mac(id string) string {
	sum := sha256.Sum256([]byte(id))
	return fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", sum[0], sum[1], sum[2], sum[3], sum[4])
}

// The addresses of a subnet that nothing can have: the first four and the last. source: userguide, "Subnet CIDR blocks"
const (
	reservedFirst = 4
	reservedLast  = 1
)

// Addresses is how many addresses interfaces in a range can have.
func Addresses(cidr netip.Prefix) int {
	return max(0, 1<<(32-cidr.Bits())-reservedFirst-reservedLast)
}

// nth is an address of a range that an interface can have, counted from 0.
func nth(cidr netip.Prefix, n int) netip.Addr {
	b := cidr.Masked().Addr().As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += uint32(n) + reservedFirst
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// usable refuses an address that no interface in a subnet can have. source: aws
func usable(cidr netip.Prefix, a netip.Addr) error {
	if !cidr.Contains(a) {
		return invalid("Address %s does not fall within the subnet's address range", a)
	}
	if n := Addresses(cidr); n == 0 || a.Less(nth(cidr, 0)) || nth(cidr, n-1).Less(a) {
		return invalid("Address %s is in subnet's reserved address range", a)
	}
	return nil
}

// invalid is the error for most that is wrong with a request.
func invalid(format string, args ...any) error {
	return resource.Errorf("InvalidParameterValue", format, args...)
}

// taken are the addresses that the interfaces in a subnet have, and which interface has them.
func taken(ctx context.Context, tx *store.Tx, vpc, subnet string) (map[netip.Addr]*record, error) {
	list, err := resource.NetworkInterfaces.Of(ctx, tx, vpc)
	if err != nil {
		return nil, err
	}
	used := map[netip.Addr]*record{}
	for _, n := range list {
		if api.Or(n.Data.SubnetId, "") != subnet {
			continue
		}
		for _, a := range n.Data.PrivateIpAddresses {
			used[resource.Addr(a.PrivateIpAddress)] = n
		}
	}
	return used, nil
}

// choose gives the addresses of an interface that is made.
func choose(ctx context.Context, tx *store.Tx, s *Spec) ([]netip.Addr, error) {
	used, err := taken(ctx, tx, s.Subnet.VPC, s.Subnet.ID)
	if err != nil {
		return nil, err
	}
	cidr := resource.Prefix(s.Subnet.Data.CidrBlock)
	list := slices.Clone(s.Addresses)
	for i, a := range list {
		if err := usable(cidr, a); err != nil {
			return nil, err
		}
		if used[a] != nil || slices.Contains(list[:i], a) {
			return nil, resource.Errorf("InvalidIPAddress.InUse", "The specified address is already in use.") // source: aws
		}
	}
	more := s.Secondary
	if len(list) == 0 {
		more++
	}
	if err := checkCount(len(list) + more); err != nil {
		return nil, err
	}
	for _, a := range list {
		used[a] = &record{}
	}
	return free(list, cidr, used, s.ID, more)
}

// checkCount refuses more addresses than an interface can have.
func checkCount(n int) error {
	if n > mostAddresses {
		return resource.Errorf("PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit.") // source: aws
	}
	return nil
}

// free adds free addresses of a range to a list. Where it begins to look depends on the interface: an address that was given
// back is not given to the next at once, and a closure that runs twice finds the same.
func free(list []netip.Addr, cidr netip.Prefix, used map[netip.Addr]*record, id string, more int) ([]netip.Addr, error) {
	n := Addresses(cidr)
	sum := sha256.Sum256([]byte(id))
	start := int(uint32(sum[5])<<24 | uint32(sum[6])<<16 | uint32(sum[7])<<8 | uint32(sum[8]))
	for i := 0; i < n && more > 0; i++ {
		if a := nth(cidr, (start+i)%n); used[a] == nil {
			list, more = append(list, a), more-1
		}
	}
	if more > 0 {
		// source: aws
		return nil, resource.Errorf("InsufficientFreeAddressesInSubnet", "The specified subnet does not have enough free addresses to satisfy the request.")
	}
	return list, nil
}

// Remove removes an interface, whoever holds it. Its public addresses are free then, but those that it was given with its
// birth, which go with it.
func Remove(ctx context.Context, tx *store.Tx, id string) error {
	n, err := resource.NetworkInterfaces.Get(ctx, tx, id)
	if err != nil || n == nil {
		return err
	}
	if err := unbind(ctx, tx, n, nil); err != nil {
		return err
	}
	return resource.NetworkInterfaces.Delete(ctx, tx, n)
}

// unbind frees the public addresses of some of an interface's private ones, or of all.
func unbind(ctx context.Context, tx *store.Tx, n *record, private []string) error {
	list, err := resource.Addresses.All(ctx, tx)
	if err != nil {
		return err
	}
	for _, a := range list {
		if api.Or(a.Data.NetworkInterfaceId, "") != n.ID || private != nil && !slices.Contains(private, api.Or(a.Data.PrivateIpAddress, "")) {
			continue
		}
		if a.Data.Automatic {
			if err := resource.Addresses.Delete(ctx, tx, a); err != nil {
				return err
			}
			continue
		}
		a.VPC = ""
		a.Data.AssociationId, a.Data.InstanceId, a.Data.NetworkInterfaceId = nil, nil, nil
		a.Data.NetworkInterfaceOwnerId, a.Data.PrivateIpAddress, a.Data.SubnetId = nil, nil, nil
		if err := resource.Addresses.Put(ctx, tx, a); err != nil {
			return err
		}
	}
	return nil
}

// OfOwner lists the interfaces that a service made for something of a VPC, in order of their ids, without tags.
func OfOwner(ctx context.Context, tx *store.Tx, vpc, owner string) ([]*resource.Record[resource.NetworkInterface], error) {
	return where(ctx, tx, vpc, func(n *record) bool { return n.Data.Owner == owner })
}

// OfInstance lists the interfaces of an instance of a VPC in order of their device indexes, without tags; and what follows of
// other resources is worked out.
func OfInstance(ctx context.Context, tx *store.Tx, vpc, instance string) ([]*resource.Record[resource.NetworkInterface], error) {
	list, err := where(ctx, tx, vpc, func(n *record) bool { return holds(n, instance) })
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b *record) int { return int(*a.Data.Attachment.DeviceIndex - *b.Data.Attachment.DeviceIndex) })
	return list, Complete(ctx, tx, list)
}

// holds says whether an instance has an interface.
func holds(n *record, instance string) bool {
	return n.Data.Attachment != nil && api.Or(n.Data.Attachment.InstanceId, "") == instance
}

// where lists some interfaces of a VPC.
func where(ctx context.Context, tx *store.Tx, vpc string, which func(*record) bool) ([]*record, error) {
	list, err := resource.NetworkInterfaces.Of(ctx, tx, vpc)
	return slices.DeleteFunc(list, func(n *record) bool { return !which(n) }), err
}

// Release takes an instance's interfaces from it when it ends: some go with it, the others are free.
func Release(ctx context.Context, tx *store.Tx, vpc, instance string) error {
	list, err := where(ctx, tx, vpc, func(n *record) bool { return holds(n, instance) })
	if err != nil {
		return err
	}
	for _, n := range list {
		if api.Or(n.Data.Attachment.DeleteOnTermination, false) {
			err = Remove(ctx, tx, n.ID)
		} else {
			err = detach(ctx, tx, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// detach takes an interface from whoever has it.
func detach(ctx context.Context, tx *store.Tx, n *record) error {
	n.Data.Attachment, n.Data.Status = nil, new(available)
	return resource.NetworkInterfaces.Put(ctx, tx, n)
}

// Complete works out what follows of interfaces from other resources: their names and public addresses.
func Complete(ctx context.Context, tx *store.Tx, list []*resource.Record[resource.NetworkInterface]) error {
	public, err := publics(ctx, tx)
	if err != nil {
		return err
	}
	vpcs := map[string]*resource.Record[resource.VPC]{}
	for _, n := range list {
		vpc, ok := vpcs[n.VPC]
		if !ok {
			if vpc, err = resource.VPCs.Get(ctx, tx, n.VPC); err != nil {
				return err
			}
			vpcs[n.VPC] = vpc
		}
		named := vpc != nil && vpc.Data.DNSHostnames
		n.Data.TagSet = resource.TagList(n.Tags)
		for i := range n.Data.PrivateIpAddresses {
			p := &n.Data.PrivateIpAddresses[i]
			if named {
				p.PrivateDnsName = new(PrivateName(n.Region, resource.Addr(p.PrivateIpAddress)))
			}
			p.Association = associationOf(n, public[n.ID+"/"+*p.PrivateIpAddress], named)
			if *p.Primary {
				n.Data.PrivateDnsName, n.Data.Association = p.PrivateDnsName, p.Association
				if p.Association != nil {
					n.Data.PublicDnsName = p.Association.PublicDnsName
				}
			}
		}
	}
	return nil
}

// publics are the public addresses of all interfaces, by interface and private address.
func publics(ctx context.Context, tx *store.Tx) (map[string]*resource.Record[resource.Address], error) {
	list, err := resource.Addresses.All(ctx, tx)
	if err != nil {
		return nil, err
	}
	bound := map[string]*resource.Record[resource.Address]{}
	for _, a := range list {
		if a.Data.NetworkInterfaceId != nil {
			bound[*a.Data.NetworkInterfaceId+"/"+api.Or(a.Data.PrivateIpAddress, "")] = a
		}
	}
	return bound, nil
}

// associationOf is an interface's view of a public address.
func associationOf(n *record, a *resource.Record[resource.Address], named bool) *ec2.NetworkInterfaceAssociation {
	if a == nil {
		return nil
	}
	out := &ec2.NetworkInterfaceAssociation{PublicIp: a.Data.PublicIp, IpOwnerId: new("amazon")}
	if !a.Data.Automatic {
		out.AllocationId, out.AssociationId, out.IpOwnerId = &a.ID, a.Data.AssociationId, &a.Account
	}
	if named {
		out.PublicDnsName = new(PublicName(n.Region, resource.Addr(a.Data.PublicIp)))
	}
	return out
}

// first is the Region whose names have no Region in them.
const first = "us-east-1"

// PrivateName is the name of a private address. source: userguide, "DNS attributes for your VPC"
func PrivateName(region string, a netip.Addr) string {
	suffix := "." + region + ".compute.internal"
	if region == first {
		suffix = ".ec2.internal"
	}
	return "ip-" + strings.ReplaceAll(a.String(), ".", "-") + suffix
}

// PublicName is the name of a public address. source: userguide, "DNS attributes for your VPC"
func PublicName(region string, a netip.Addr) string {
	suffix := "." + region + ".compute.amazonaws.com"
	if region == first {
		suffix = ".compute-1.amazonaws.com"
	}
	return "ec2-" + strings.ReplaceAll(a.String(), ".", "-") + suffix
}

// about are the condition keys that an interface has beside those of every resource.
func about(n *record) []iam.About {
	return []iam.About{
		iam.Key("ec2:subnet", resource.Subnets.ARN(n.Region, n.Account, api.Or(n.Data.SubnetId, ""))),
		iam.Key("ec2:availabilityzone", api.Or(n.Data.AvailabilityZone, "")),
	}
}

// findFor finds an interface to which the caller may do an action.
func findFor(ctx context.Context, tx *store.Tx, action, id string, more ...iam.About) (*record, error) {
	n, err := resource.NetworkInterfaces.Find(ctx, tx, id)
	if err != nil {
		return resource.NetworkInterfaces.FindFor(ctx, tx, action, id, more...)
	}
	return n, resource.NetworkInterfaces.Allow(ctx, action, n, append(about(n), more...)...)
}

// owned refuses to change what a service has made for itself. source: aws
func owned(n *record) error {
	if api.Or(n.Data.RequesterManaged, false) {
		return resource.Errorf("AuthFailure", "You do not have permission to access the specified resource.")
	}
	return nil
}
