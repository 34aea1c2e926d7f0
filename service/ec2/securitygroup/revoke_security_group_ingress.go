package securitygroup

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// RevokeSecurityGroupIngress takes rules for packets that come in away.
func (s *SecurityGroups) RevokeSecurityGroupIngress(ctx context.Context, in *ec2.RevokeSecurityGroupIngressInput) (*ec2.RevokeSecurityGroupIngressOutput, error) {
	old := flat{in.IpProtocol, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId, in.FromPort, in.ToPort}
	revoked, unknown, err := s.revoke(ctx, &revocation{
		action: "ec2:RevokeSecurityGroupIngress", id: in.GroupId, name: in.GroupName,
		permissions: old.permissions(in.IpPermissions), rules: in.SecurityGroupRuleIds, dryRun: in.DryRun,
	})
	return &ec2.RevokeSecurityGroupIngressOutput{Return: new(true), RevokedSecurityGroupRules: revoked, UnknownIpPermissions: unknown}, err
}

// revocation is a request to take rules away.
type revocation struct {
	action      string
	id, name    *string
	egress      bool
	permissions []ec2.IpPermission
	rules       []string
	dryRun      *bool
}

// revoke takes rules of a group away. Those that it has not are an error, but in a default VPC they are told.
// source: model, "RevokeSecurityGroupIngress"
func (s *SecurityGroups) revoke(ctx context.Context, v *revocation) (revoked []ec2.RevokedSecurityGroupRule, unknown []ec2.IpPermission, err error) {
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		revoked, unknown = []ec2.RevokedSecurityGroupRule{}, []ec2.IpPermission{}
		g, err := Named(ctx, tx, v.action, v.id, v.name)
		if err != nil {
			return err
		}
		if err := resource.DryRun(v.dryRun); err != nil {
			return err
		}
		gone, missing, err := find(ctx, tx, g, v)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			vpc, err := resource.VPCs.Get(ctx, tx, g.VPC)
			if err != nil {
				return err
			}
			if vpc == nil || !api.Or(vpc.Data.IsDefault, false) {
				return resource.Errorf("InvalidPermission.NotFound", "The specified rule does not exist in this security group.") // source: aws
			}
			unknown = permissionsOf(missing)
		}
		for _, r := range gone {
			if err := resource.SecurityGroupRules.Delete(ctx, tx, r); err != nil {
				return err
			}
			revoked = append(revoked, told(&r.Data.SecurityGroupRule))
		}
		return nil
	})
	return revoked, unknown, err
}

// find finds the rules of a group that a request names, and those that the group has not.
func find(ctx context.Context, tx *store.Tx, g *group, v *revocation) (found []*rule, missing []ec2.SecurityGroupRule, err error) {
	all, err := rulesOf(ctx, tx, g)
	if err != nil {
		return nil, nil, err
	}
	all = slices.DeleteFunc(all, func(r *rule) bool { return api.Or(r.Data.IsEgress, false) != v.egress })
	switch {
	case len(v.rules) > 0 && len(v.permissions) > 0:
		// source: guess
		return nil, nil, resource.Errorf("InvalidParameterCombination", "The parameter ipPermissions cannot be used with the parameter securityGroupRuleIds")
	case len(v.rules) == 0 && len(v.permissions) == 0:
		return nil, nil, resource.Errorf("MissingParameter", "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided.") // source: aws
	}
	for _, id := range v.rules {
		if err := resource.SecurityGroupRules.Check(id); err != nil {
			return nil, nil, err
		}
		at := slices.IndexFunc(all, func(r *rule) bool { return r.ID == id })
		if at < 0 {
			return nil, nil, resource.SecurityGroupRules.Missing(id)
		}
		if !slices.Contains(found, all[at]) {
			found = append(found, all[at])
		}
	}
	wanted, err := parse(ctx, tx, g, v.permissions, false)
	if err != nil {
		return nil, nil, err
	}
	for i := range wanted {
		at := slices.IndexFunc(all, func(r *rule) bool { return same(&r.Data.SecurityGroupRule, &wanted[i]) })
		if at < 0 {
			missing = append(missing, wanted[i])
			continue
		}
		found = append(found, all[at])
	}
	return found, missing, nil
}

// told is a rule as the answer to its revocation tells it.
func told(r *ec2.SecurityGroupRule) ec2.RevokedSecurityGroupRule {
	out := ec2.RevokedSecurityGroupRule{
		SecurityGroupRuleId: r.SecurityGroupRuleId, GroupId: r.GroupId, IsEgress: r.IsEgress, IpProtocol: r.IpProtocol, FromPort: r.FromPort,
		ToPort: r.ToPort, CidrIpv4: r.CidrIpv4, CidrIpv6: r.CidrIpv6, PrefixListId: r.PrefixListId, Description: r.Description,
	}
	if r.ReferencedGroupInfo != nil {
		out.ReferencedGroupId = r.ReferencedGroupInfo.GroupId
	}
	return out
}
