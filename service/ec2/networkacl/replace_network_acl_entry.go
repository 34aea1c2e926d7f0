package networkacl

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// ReplaceNetworkAclEntry puts an entry in the place of the one that has its number.
func (n *NetworkAcls) ReplaceNetworkAclEntry(ctx context.Context, in *ec2.ReplaceNetworkAclEntryInput) (*ec2.ReplaceNetworkAclEntryOutput, error) {
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		r, err := resource.NetworkAcls.FindFor(ctx, tx, "ec2:ReplaceNetworkAclEntry", in.NetworkAclId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		e, err := entry((*ec2.CreateNetworkAclEntryInput)(in))
		if err != nil {
			return err
		}
		i, ok := find(r, in.RuleNumber, in.Egress)
		if !ok {
			return noEntry(in.RuleNumber)
		}
		r.Data.Entries[i] = *e
		return resource.NetworkAcls.Put(ctx, tx, r)
	})
	return new(ec2.ReplaceNetworkAclEntryOutput), err
}

// noEntry is the error for a number that no entry has. source: aws
func noEntry(number int64) error {
	return resource.Errorf("InvalidNetworkAclEntry.NotFound", "The network acl entry identified by %d does not exist.", number)
}
