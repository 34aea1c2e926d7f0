// Package networkacl keeps network ACLs: numbered entries for each direction, and which subnets they guard. A subnet always has
// one, the VPC's default one unless another is chosen.
//
// Functions are for siblings: [CreateDefault] and [DeleteDefault] for a VPC, [Enter] and [Leave] for a subnet. It uses no sibling.
package networkacl

import (
	"cmp"
	"context"
	"slices"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// NetworkAcls is the capability.
type NetworkAcls struct {
	db *store.DB
}

// New gives the capability.
func New(db *store.DB) *NetworkAcls { return &NetworkAcls{db} }

// record is a network ACL as it is kept.
type record = resource.Record[resource.NetworkAcl]

// The numbers of entries. The last one denies whatever no other was about; nobody can change it. source: userguide, "Network
// ACL rules"
const (
	firstNumber = 1
	lastNumber  = 32766
	finalNumber = 32767
)

// entries limits those of one direction, the final one not counted. source: userguide, "Amazon VPC quotas"
var entries = resource.Quota{Most: 20, Code: "NetworkAclEntryLimitExceeded", Nouns: "network ACL entries"}

// NewAssociationID makes the id of a subnet's association.
func NewAssociationID() string { return resource.NewID("aclassoc") }

// NewID makes the id of a network ACL.
func NewID() string { return resource.NetworkAcls.NewID() }

// CreateDefault makes the network ACL that comes with a VPC, which lets everything pass. source: userguide, "Default network
// ACL for a VPC"
func CreateDefault(ctx context.Context, tx *store.Tx, vpcID, account, region, id string) error {
	r := &record{ID: id, Account: account, Region: region, VPC: vpcID, Data: blank(id, vpcID, account)}
	r.Data.IsDefault = new(true)
	for _, egress := range []bool{false, true} {
		r.Data.Entries = append(r.Data.Entries, ec2.NetworkAclEntry{
			RuleNumber: new(int64(100)), Egress: &egress, Protocol: new("-1"), RuleAction: new("allow"), CidrBlock: new("0.0.0.0/0"),
		})
	}
	sort(r)
	return resource.NetworkAcls.Put(ctx, tx, r)
}

// blank is a network ACL that lets nothing pass.
func blank(id, vpcID, account string) (acl resource.NetworkAcl) {
	acl.NetworkAclId, acl.VpcId, acl.OwnerId, acl.IsDefault = &id, &vpcID, &account, new(false)
	for _, egress := range []bool{false, true} {
		acl.Entries = append(acl.Entries, ec2.NetworkAclEntry{
			RuleNumber: new(int64(finalNumber)), Egress: &egress, Protocol: new("-1"), RuleAction: new("deny"), CidrBlock: new("0.0.0.0/0"),
		})
	}
	return acl
}

// sort orders entries as they are looked at, those that are about what leaves first.
func sort(r *record) {
	slices.SortFunc(r.Data.Entries, func(a, b ec2.NetworkAclEntry) int {
		if *a.Egress != *b.Egress {
			if *a.Egress {
				return -1
			}
			return 1
		}
		return cmp.Compare(*a.RuleNumber, *b.RuleNumber)
	})
}

// DeleteDefault removes the network ACL that came with a VPC. ok is false when the VPC has others, which stand in the way.
func DeleteDefault(ctx context.Context, tx *store.Tx, vpcID string) (ok bool, err error) {
	list, err := resource.NetworkAcls.Of(ctx, tx, vpcID)
	if err != nil || len(list) > 1 {
		return false, err
	}
	for _, r := range list {
		if err := resource.NetworkAcls.Delete(ctx, tx, r); err != nil {
			return false, err
		}
	}
	return true, nil
}

// Enter puts a new subnet behind the VPC's default network ACL.
func Enter(ctx context.Context, tx *store.Tx, vpcID, subnetID, association string) error {
	list, err := resource.NetworkAcls.Of(ctx, tx, vpcID)
	if err != nil {
		return err
	}
	for _, r := range list {
		if *r.Data.IsDefault {
			return associate(ctx, tx, r, subnetID, association)
		}
	}
	return nil
}

// Leave forgets a subnet.
func Leave(ctx context.Context, tx *store.Tx, vpcID, subnetID string) error {
	list, err := resource.NetworkAcls.Of(ctx, tx, vpcID)
	if err != nil {
		return err
	}
	for _, r := range list {
		kept := slices.DeleteFunc(slices.Clone(r.Data.Associations), func(a ec2.NetworkAclAssociation) bool { return *a.SubnetId == subnetID })
		if len(kept) == len(r.Data.Associations) {
			continue
		}
		r.Data.Associations = kept
		if err := resource.NetworkAcls.Put(ctx, tx, r); err != nil {
			return err
		}
	}
	return nil
}

// associate puts a subnet behind a network ACL.
func associate(ctx context.Context, tx *store.Tx, r *record, subnetID, association string) error {
	r.Data.Associations = append(r.Data.Associations, ec2.NetworkAclAssociation{
		NetworkAclAssociationId: &association, NetworkAclId: &r.ID, SubnetId: &subnetID,
	})
	return resource.NetworkAcls.Put(ctx, tx, r)
}

// find gives the place of an entry in a network ACL.
func find(r *record, number int64, egress bool) (i int, ok bool) {
	i = slices.IndexFunc(r.Data.Entries, func(e ec2.NetworkAclEntry) bool { return *e.RuleNumber == number && *e.Egress == egress })
	return i, i >= 0
}

// answer is a network ACL as answers have it.
func answer(r *record) ec2.NetworkAcl {
	acl := r.Data.NetworkAcl
	acl.Tags = resource.TagList(r.Tags)
	if acl.Associations == nil {
		acl.Associations = []ec2.NetworkAclAssociation{}
	}
	return acl
}
