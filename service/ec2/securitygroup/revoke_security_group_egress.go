package securitygroup

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
)

// RevokeSecurityGroupEgress takes rules for packets that go out away.
func (s *SecurityGroups) RevokeSecurityGroupEgress(ctx context.Context, in *ec2.RevokeSecurityGroupEgressInput) (*ec2.RevokeSecurityGroupEgressOutput, error) {
	old := flat{in.IpProtocol, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId, in.FromPort, in.ToPort}
	revoked, unknown, err := s.revoke(ctx, &revocation{
		action: "ec2:RevokeSecurityGroupEgress", id: &in.GroupId, egress: true,
		permissions: old.permissions(in.IpPermissions), rules: in.SecurityGroupRuleIds, dryRun: in.DryRun,
	})
	return &ec2.RevokeSecurityGroupEgressOutput{Return: new(true), RevokedSecurityGroupRules: revoked, UnknownIpPermissions: unknown}, err
}
