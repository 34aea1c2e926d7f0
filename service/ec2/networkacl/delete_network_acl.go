package networkacl

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteNetworkAcl removes a network ACL that guards no subnet and did not come with its VPC.
func (n *NetworkAcls) DeleteNetworkAcl(ctx context.Context, in *ec2.DeleteNetworkAclInput) (*ec2.DeleteNetworkAclOutput, error) {
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		r, err := resource.NetworkAcls.FindFor(ctx, tx, "ec2:DeleteNetworkAcl", in.NetworkAclId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		switch {
		case *r.Data.IsDefault:
			return resource.Errorf("InvalidParameterValue", "cannot delete default network ACL %s", r.ID) // source: guess
		case len(r.Data.Associations) > 0:
			return resource.Errorf("DependencyViolation", "The networkAcl '%s' has dependencies and cannot be deleted.", r.ID) // source: aws
		}
		return resource.NetworkAcls.Delete(ctx, tx, r)
	})
	return new(ec2.DeleteNetworkAclOutput), err
}
