package securitygroup

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
)

// AuthorizeSecurityGroupEgress lets packets out.
func (s *SecurityGroups) AuthorizeSecurityGroupEgress(ctx context.Context, in *ec2.AuthorizeSecurityGroupEgressInput) (*ec2.AuthorizeSecurityGroupEgressOutput, error) {
	old := flat{in.IpProtocol, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId, in.FromPort, in.ToPort}
	rules, err := s.authorize(ctx, &authorization{
		action: "ec2:AuthorizeSecurityGroupEgress", id: &in.GroupId, egress: true,
		permissions: old.permissions(in.IpPermissions), tags: in.TagSpecifications, dryRun: in.DryRun,
	})
	return &ec2.AuthorizeSecurityGroupEgressOutput{Return: new(true), SecurityGroupRules: rules}, err
}
