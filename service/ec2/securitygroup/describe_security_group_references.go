package securitygroup

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DescribeSecurityGroupReferences lists the VPCs at the other end of a peering that have rules which refer to groups.
func (s *SecurityGroups) DescribeSecurityGroupReferences(ctx context.Context, in *ec2.DescribeSecurityGroupReferencesInput) (*ec2.DescribeSecurityGroupReferencesOutput, error) {
	var out *ec2.DescribeSecurityGroupReferencesOutput
	err := s.db.View(ctx, func(tx *store.Tx) error {
		out = &ec2.DescribeSecurityGroupReferencesOutput{SecurityGroupReferenceSet: []ec2.SecurityGroupReference{}}
		groups := make([]*group, len(in.GroupId))
		for i, id := range in.GroupId {
			var err error
			if groups[i], err = resource.SecurityGroups.FindFor(ctx, tx, "ec2:DescribeSecurityGroupReferences", id); err != nil {
				return err
			}
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		for _, g := range groups {
			peers, err := peersOf(ctx, tx, g.VPC)
			if err != nil {
				return err
			}
			for _, p := range peers {
				used, err := refers(ctx, tx, p, g.ID)
				if err != nil {
					return err
				}
				if used {
					out.SecurityGroupReferenceSet = append(out.SecurityGroupReferenceSet, ec2.SecurityGroupReference{
						GroupId: &g.ID, ReferencingVpcId: &p.vpc, VpcPeeringConnectionId: &p.id,
					})
				}
			}
		}
		return nil
	})
	return out, err
}

// refers says whether a rule of a peered VPC refers to a group over that peering.
func refers(ctx context.Context, tx *store.Tx, p peer, id string) (bool, error) {
	rules, err := resource.SecurityGroupRules.Of(ctx, tx, p.vpc)
	if err != nil {
		return false, err
	}
	for _, r := range rules {
		g := r.Data.ReferencedGroupInfo
		if g != nil && *g.GroupId == id && g.VpcPeeringConnectionId != nil && *g.VpcPeeringConnectionId == p.id {
			return true, nil
		}
	}
	return false, nil
}
