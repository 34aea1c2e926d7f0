package securitygroup

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// DescribeStaleSecurityGroups lists the groups of a VPC with rules that refer to nothing any more: the other group was
// deleted, or the peering that led to it. source: userguide, "Work with stale security group rules"
func (s *SecurityGroups) DescribeStaleSecurityGroups(ctx context.Context, in *ec2.DescribeStaleSecurityGroupsInput) (*ec2.DescribeStaleSecurityGroupsOutput, error) {
	const operation = "DescribeStaleSecurityGroups"
	var out *ec2.DescribeStaleSecurityGroupsOutput
	if err := iam.Allow(ctx, "ec2:"+operation, "*"); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	most := 1000
	if in.MaxResults != nil {
		if *in.MaxResults < 5 {
			// source: aws
			return nil, invalid("Value ( %d ) for parameter maxResults is invalid. Expecting a value greater than or equal to 5.", *in.MaxResults)
		}
		most = int(min(*in.MaxResults, 255))
	}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		out = &ec2.DescribeStaleSecurityGroupsOutput{StaleSecurityGroupSet: []ec2.StaleSecurityGroup{}}
		vpc, err := resource.VPCs.Find(ctx, tx, in.VpcId)
		if err != nil {
			return err
		}
		groups, err := resource.SecurityGroups.Of(ctx, tx, vpc.ID)
		if err != nil {
			return err
		}
		rules, err := resource.SecurityGroupRules.Of(ctx, tx, vpc.ID)
		if err != nil {
			return err
		}
		stale := map[string][]*rule{}
		for _, r := range rules {
			if bad, err := isStale(ctx, tx, r); err != nil {
				return err
			} else if bad {
				stale[*r.Data.GroupId] = append(stale[*r.Data.GroupId], r)
			}
		}
		for _, g := range groups {
			if len(stale[g.ID]) == 0 || in.NextToken != nil && g.ID <= *in.NextToken {
				continue
			}
			if n := len(out.StaleSecurityGroupSet); n == most {
				out.NextToken = out.StaleSecurityGroupSet[n-1].GroupId
				break
			}
			out.StaleSecurityGroupSet = append(out.StaleSecurityGroupSet, ec2.StaleSecurityGroup{
				GroupId: &g.ID, GroupName: g.Data.GroupName, Description: g.Data.Description, VpcId: &g.VPC,
				StaleIpPermissions: staleOf(stale[g.ID], false), StaleIpPermissionsEgress: staleOf(stale[g.ID], true),
			})
		}
		return nil
	})
	return out, err
}

// isStale says whether a rule refers to nothing any more, and notes the status of its peering.
func isStale(ctx context.Context, tx *store.Tx, r *rule) (bool, error) {
	g := r.Data.ReferencedGroupInfo
	if g == nil || g.VpcPeeringConnectionId == nil {
		return false, nil
	}
	if err := complete(ctx, tx, []*rule{r}); err != nil {
		return false, err
	}
	if *g.PeeringStatus != active {
		return true, nil
	}
	other, err := resource.SecurityGroups.Get(ctx, tx, *g.GroupId)
	return other == nil, err
}

// staleOf are rules of a direction as stale permissions.
func staleOf(rules []*rule, egress bool) []ec2.StaleIpPermission {
	list := []ec2.StaleIpPermission{}
	for _, p := range permissionsOf(direction(rules, egress)) {
		list = append(list, ec2.StaleIpPermission{
			IpProtocol: p.IpProtocol, FromPort: p.FromPort, ToPort: p.ToPort, UserIdGroupPairs: p.UserIdGroupPairs, IpRanges: []string{}, PrefixListIds: []string{},
		})
	}
	return list
}
