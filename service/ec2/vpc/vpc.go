// Package vpc keeps VPCs, their ranges, attributes and DHCP option sets, and their subnets.
//
// A new VPC or subnet is pending until a host carries it; everything can be done to it meanwhile. It uses securitygroup,
// networkacl and routing for what comes with a VPC.
package vpc

import (
	"context"
	"net/netip"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/networkacl"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/ec2/routing"
	"github.com/vennel/vennel/service/ec2/securitygroup"
	"github.com/vennel/vennel/store"
)

// VPCs is the capability.
type VPCs struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *VPCs { return &VPCs{db} }

// record is a VPC as it is kept.
type record = resource.Record[resource.VPC]

// subnet is a subnet as it is kept.
type subnet = resource.Record[resource.Subnet]

// The sizes of ranges, as lengths of their prefixes. source: userguide, "VPC CIDR blocks"
const (
	largest  = 16
	smallest = 28
)

// ids are the ids of a VPC and what comes with it, which are made outside of closures.
type ids struct {
	vpc, association, acl, options string
	group                          securitygroup.IDs
	table                          routing.IDs
}

// newIDs makes the ids of a VPC.
func newIDs() ids {
	return ids{
		vpc: resource.VPCs.NewID(), association: newAssociationID(), acl: networkacl.NewID(), options: resource.DhcpOptions.NewID(),
		group: securitygroup.NewIDs(), table: routing.NewIDs(),
	}
}

// newAssociationID makes the id of the association of a range with a VPC.
func newAssociationID() string { return resource.NewID("vpc-cidr-assoc") }

// create makes a VPC and what comes with it. source: userguide, "Create a VPC"
func create(ctx context.Context, tx *store.Tx, ids ids, cidr netip.Prefix, tags map[string]string, byDefault bool) (*record, error) {
	options, err := defaultOptions(ctx, tx, ids.options)
	if err != nil {
		return nil, err
	}
	everyone, err := resource.VPCs.All(ctx, tx)
	if err != nil {
		return nil, err
	}
	numbers := make([]int, len(everyone))
	for i, other := range everyone {
		numbers[i] = other.Data.Number
	}
	r := resource.VPCs.New(ctx, ids.vpc, ids.vpc, resource.VPC{DNSSupport: true, DNSHostnames: byDefault, Number: resource.FreeNumber(numbers)})
	r.Tags = tags
	r.Data.Vpc = ec2.Vpc{
		VpcId: &r.ID, OwnerId: &r.Account, State: new(ec2.VpcStatePending), CidrBlock: new(cidr.String()), DhcpOptionsId: &options,
		InstanceTenancy: new(ec2.TenancyDefault), IsDefault: &byDefault, CidrBlockAssociationSet: []ec2.VpcCidrBlockAssociation{association(ids.association, cidr)},
	}
	if err := resource.VPCs.Create(ctx, tx, r); err != nil {
		return nil, err
	}
	if err := securitygroup.CreateDefault(ctx, tx, r.ID, r.Account, r.Region, ids.group); err != nil {
		return nil, err
	}
	if err := networkacl.CreateDefault(ctx, tx, r.ID, r.Account, r.Region, ids.acl); err != nil {
		return nil, err
	}
	return r, routing.CreateMain(ctx, tx, r.ID, r.Account, r.Region, ids.table)
}

// association is that of a range with a VPC. It is there at once: it is the subnets in it that hosts must carry.
func association(id string, cidr netip.Prefix) ec2.VpcCidrBlockAssociation {
	return ec2.VpcCidrBlockAssociation{
		AssociationId: &id, CidrBlock: new(cidr.String()), CidrBlockState: &ec2.VpcCidrBlockState{State: new(ec2.VpcCidrBlockStateCodeAssociated)},
	}
}

// never are the ranges that no VPC may have: those that AWS refuses, and those of this network's own internet, which a VPC
// would hide from its machines. source: userguide, "IPv4 VPC CIDR blocks"
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("224.0.0.0/4"),
	resource.ServiceRange, resource.ElasticRange,
}

// rangeOf reads the range of a VPC to be.
func rangeOf(cidr string) (netip.Prefix, error) {
	p, err := resource.Range(cidr, "cidrBlock")
	if err != nil {
		return p, err
	}
	if p.Bits() < largest || p.Bits() > smallest || slices.ContainsFunc(never, p.Overlaps) {
		return p, badRange("The CIDR '%s' is invalid.", p)
	}
	return p, nil
}

// badRange is the error for a range that a VPC cannot have. source: aws
func badRange(format string, args ...any) error {
	return resource.Errorf("InvalidVpc.Range", format, args...)
}

// answer is a VPC as answers have it.
func answer(r *record) ec2.Vpc {
	v := r.Data.Vpc
	v.Tags = resource.TagList(r.Tags)
	v.Ipv6CidrBlockAssociationSet = []ec2.VpcIpv6CidrBlockAssociation{}
	return v
}

// defaultVPC gives the caller's default VPC, or nil.
func defaultVPC(ctx context.Context, tx *store.Tx) (*record, error) {
	list, err := resource.VPCs.List(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if *r.Data.IsDefault {
			return r, nil
		}
	}
	return nil, nil //nolint:nilnil // nothing is an answer
}

// inUse is the error for what cannot be deleted because of what is in it. source: aws
func inUse(noun, id string) error {
	return resource.Errorf("DependencyViolation", "The %s '%s' has dependencies and cannot be deleted.", noun, id)
}

// given says whether a flag of a request is set.
func given(flag *ec2.AttributeBooleanValue) bool { return flag != nil && api.Or(flag.Value, false) }
