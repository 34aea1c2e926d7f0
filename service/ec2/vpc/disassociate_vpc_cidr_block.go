package vpc

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// DisassociateVpcCidrBlock takes a range from a VPC that no subnet is in.
func (v *VPCs) DisassociateVpcCidrBlock(ctx context.Context, in *ec2.DisassociateVpcCidrBlockInput) (*ec2.DisassociateVpcCidrBlockOutput, error) {
	const action = "ec2:DisassociateVpcCidrBlock"
	out := new(ec2.DisassociateVpcCidrBlockOutput)
	err := v.db.Update(ctx, func(tx *store.Tx) error {
		r, i, err := byAssociation(ctx, tx, in.AssociationId)
		if err != nil {
			return err
		}
		if r == nil {
			if err := iam.Allow(ctx, action, "*"); err != nil {
				return err
			}
			return resource.Errorf("InvalidVpcCidrBlockAssociationID.NotFound", "The vpc CIDR block association ID '%s' does not exist", in.AssociationId) // source: aws
		}
		if err := resource.VPCs.Allow(ctx, action, r); err != nil {
			return err
		}
		a := r.Data.CidrBlockAssociationSet[i]
		if i == 0 {
			// source: aws
			return resource.Errorf("OperationNotPermitted", "The vpc CIDR block with association ID %s may not be disassociated. It is the primary IPv4 CIDR block of the VPC", in.AssociationId)
		}
		subnets, err := resource.Subnets.Of(ctx, tx, r.ID)
		if err != nil {
			return err
		}
		for _, s := range subnets {
			if resource.Contains(resource.Prefix(a.CidrBlock), resource.Prefix(s.Data.CidrBlock)) {
				return resource.Errorf("InvalidCidrBlock.InUse", "The vpc CIDR block with association ID %s has one or more subnets in it", in.AssociationId) // source: guess
			}
		}
		r.Data.CidrBlockAssociationSet = slices.Delete(r.Data.CidrBlockAssociationSet, i, i+1)
		a.CidrBlockState = &ec2.VpcCidrBlockState{State: new(ec2.VpcCidrBlockStateCodeDisassociated)}
		out.CidrBlockAssociation, out.VpcId = &a, &r.ID
		return resource.VPCs.Put(ctx, tx, r)
	})
	return out, err
}

// byAssociation finds the VPC that has the association of a range, and its place there; it gives nil for none.
func byAssociation(ctx context.Context, tx *store.Tx, id string) (*record, int, error) {
	list, err := resource.VPCs.List(ctx, tx)
	for _, r := range list {
		i := slices.IndexFunc(r.Data.CidrBlockAssociationSet, func(a ec2.VpcCidrBlockAssociation) bool { return *a.AssociationId == id })
		if i >= 0 {
			return r, i, nil
		}
	}
	return nil, 0, err
}
