package networkacl

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// ReplaceNetworkAclAssociation puts a subnet, which an association stands for, behind another network ACL.
func (n *NetworkAcls) ReplaceNetworkAclAssociation(ctx context.Context, in *ec2.ReplaceNetworkAclAssociationInput) (*ec2.ReplaceNetworkAclAssociationOutput, error) {
	const action = "ec2:ReplaceNetworkAclAssociation"
	id := NewAssociationID()
	err := n.db.Update(ctx, func(tx *store.Tx) error {
		to, err := resource.NetworkAcls.FindFor(ctx, tx, action, in.NetworkAclId)
		if err != nil {
			return err
		}
		from, i, err := byAssociation(ctx, tx, in.AssociationId)
		if err != nil {
			return err
		}
		subnetID := *from.Data.Associations[i].SubnetId
		if _, err := resource.Subnets.FindFor(ctx, tx, action, subnetID); err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if from.VPC != to.VPC {
			return resource.Errorf("InvalidParameterValue", "network acl %s and subnet %s belong to different networks", to.ID, subnetID) // source: aws
		}
		if from.ID == to.ID {
			to = from // one record, not two of the same
		}
		from.Data.Associations = slices.Delete(from.Data.Associations, i, i+1)
		if err := resource.NetworkAcls.Put(ctx, tx, from); err != nil {
			return err
		}
		return associate(ctx, tx, to, subnetID, id)
	})
	return &ec2.ReplaceNetworkAclAssociationOutput{NewAssociationId: &id}, err
}

// byAssociation finds the network ACL that has an association, and its place there.
func byAssociation(ctx context.Context, tx *store.Tx, id string) (*record, int, error) {
	list, err := resource.NetworkAcls.List(ctx, tx)
	if err != nil {
		return nil, 0, err
	}
	for _, r := range list {
		i := slices.IndexFunc(r.Data.Associations, func(a ec2.NetworkAclAssociation) bool { return *a.NetworkAclAssociationId == id })
		if i >= 0 {
			return r, i, nil
		}
	}
	return nil, 0, resource.Errorf("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", id) // source: aws
}
