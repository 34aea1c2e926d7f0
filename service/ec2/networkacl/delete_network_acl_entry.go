package networkacl

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteNetworkAclEntry removes an entry.
func (n *NetworkAcls) DeleteNetworkAclEntry(ctx context.Context, in *ec2.DeleteNetworkAclEntryInput) (*ec2.DeleteNetworkAclEntryOutput, error) {
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		r, err := resource.NetworkAcls.FindFor(ctx, tx, "ec2:DeleteNetworkAclEntry", in.NetworkAclId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		i, ok := find(r, in.RuleNumber, in.Egress)
		switch {
		case in.RuleNumber == finalNumber:
			return resource.Errorf("InvalidParameterValue", "cannot delete the default entry %d", finalNumber) // source: guess
		case !ok:
			return noEntry(in.RuleNumber)
		}
		r.Data.Entries = slices.Delete(r.Data.Entries, i, i+1)
		return resource.NetworkAcls.Put(ctx, tx, r)
	})
	return new(ec2.DeleteNetworkAclEntryOutput), err
}
