package securitygroup

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
)

// UpdateSecurityGroupRuleDescriptionsEgress changes what rules for packets that go out are said to be for.
func (s *SecurityGroups) UpdateSecurityGroupRuleDescriptionsEgress(ctx context.Context, in *ec2.UpdateSecurityGroupRuleDescriptionsEgressInput) (*ec2.UpdateSecurityGroupRuleDescriptionsEgressOutput, error) {
	err := s.describe(ctx, &revocation{
		action: "ec2:UpdateSecurityGroupRuleDescriptionsEgress", id: in.GroupId, name: in.GroupName, egress: true, permissions: in.IpPermissions, dryRun: in.DryRun,
	}, in.SecurityGroupRuleDescriptions)
	return &ec2.UpdateSecurityGroupRuleDescriptionsEgressOutput{Return: new(true)}, err
}
