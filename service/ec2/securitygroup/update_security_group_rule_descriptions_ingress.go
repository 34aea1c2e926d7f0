package securitygroup

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// UpdateSecurityGroupRuleDescriptionsIngress changes what rules for packets that come in are said to be for.
func (s *SecurityGroups) UpdateSecurityGroupRuleDescriptionsIngress(ctx context.Context, in *ec2.UpdateSecurityGroupRuleDescriptionsIngressInput) (*ec2.UpdateSecurityGroupRuleDescriptionsIngressOutput, error) {
	err := s.describe(ctx, &revocation{
		action: "ec2:UpdateSecurityGroupRuleDescriptionsIngress", id: in.GroupId, name: in.GroupName, permissions: in.IpPermissions, dryRun: in.DryRun,
	}, in.SecurityGroupRuleDescriptions)
	return &ec2.UpdateSecurityGroupRuleDescriptionsIngressOutput{Return: new(true)}, err
}

// describe changes the descriptions of rules, which are named as for a revocation.
func (s *SecurityGroups) describe(ctx context.Context, v *revocation, descriptions []ec2.SecurityGroupRuleDescription) error {
	return s.db.Update(ctx, func(tx *store.Tx) error {
		g, err := Named(ctx, tx, v.action, v.id, v.name)
		if err != nil {
			return err
		}
		if err := resource.DryRun(v.dryRun); err != nil {
			return err
		}
		named := *v
		texts := make([]*string, 0, len(descriptions))
		for _, d := range descriptions {
			if d.SecurityGroupRuleId == nil {
				return resource.Errorf("MissingParameter", "The request must contain the parameter securityGroupRuleId") // source: guess
			}
			text, err := description(d.Description)
			if err != nil {
				return err
			}
			named.rules, texts = append(named.rules, *d.SecurityGroupRuleId), append(texts, text)
		}
		found, missing, err := find(ctx, tx, g, &named)
		switch {
		case err != nil:
			return err
		case len(missing) > 0:
			return resource.Errorf("InvalidPermission.NotFound", "The specified rule does not exist in this security group.") // source: aws
		case len(named.rules) > len(found):
			return invalid("The same rule must not appear multiple times") // source: guess
		}
		if len(v.permissions) > 0 {
			wanted, err := parse(ctx, tx, g, v.permissions, false)
			if err != nil {
				return err
			}
			for i := range wanted {
				texts = append(texts, wanted[i].Description)
			}
		}
		for i, r := range found {
			r.Data.Description = texts[i]
			if err := resource.SecurityGroupRules.Put(ctx, tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}
