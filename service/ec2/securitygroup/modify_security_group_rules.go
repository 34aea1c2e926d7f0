package securitygroup

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// ModifySecurityGroupRules changes rules of a group; a rule stays one about a range, a prefix list or a group.
func (s *SecurityGroups) ModifySecurityGroupRules(ctx context.Context, in *ec2.ModifySecurityGroupRulesInput) (*ec2.ModifySecurityGroupRulesOutput, error) {
	const action = "ec2:ModifySecurityGroupRules"
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		g, err := resource.SecurityGroups.FindFor(ctx, tx, action, in.GroupId)
		if err != nil {
			return err
		}
		changes := make([]*rule, len(in.SecurityGroupRules))
		for i, update := range in.SecurityGroupRules {
			r, err := resource.SecurityGroupRules.FindFor(ctx, tx, action, update.SecurityGroupRuleId)
			if err != nil {
				return err
			}
			if *r.Data.GroupId != g.ID {
				return resource.SecurityGroupRules.Missing(r.ID)
			}
			if err := allowList(ctx, tx, action, update.SecurityGroupRule); err != nil {
				return err
			}
			changes[i] = r
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		for i, r := range changes {
			if slices.ContainsFunc(changes[:i], func(before *rule) bool { return before.ID == r.ID }) {
				return invalid("The same rule must not appear multiple times") // source: guess
			}
			if err := change(ctx, tx, g, r, in.SecurityGroupRules[i].SecurityGroupRule); err != nil {
				return err
			}
		}
		return settle(ctx, tx, g, changes)
	})
	return &ec2.ModifySecurityGroupRulesOutput{Return: new(true)}, err
}

// allowList asks whether the caller may use a prefix list of its own in a rule.
func allowList(ctx context.Context, tx *store.Tx, action string, to *ec2.SecurityGroupRuleRequest) error {
	if to == nil || to.PrefixListId == nil {
		return nil
	}
	if _, err := findList(ctx, tx, *to.PrefixListId); err != nil {
		return err
	}
	l, err := resource.PrefixLists.Get(ctx, tx, *to.PrefixListId)
	if err != nil || l == nil {
		return err
	}
	return resource.PrefixLists.Allow(ctx, action, l)
}

// change makes a rule what a request wants it to be.
func change(ctx context.Context, tx *store.Tx, g *group, r *rule, to *ec2.SecurityGroupRuleRequest) error {
	if to == nil {
		return resource.Errorf("MissingParameter", "The request must contain the parameter securityGroupRule") // source: guess
	}
	p := ec2.IpPermission{IpProtocol: to.IpProtocol, FromPort: to.FromPort, ToPort: to.ToPort}
	if to.CidrIpv4 != nil {
		p.IpRanges = []ec2.IpRange{{CidrIp: to.CidrIpv4, Description: to.Description}}
	}
	if to.CidrIpv6 != nil {
		p.Ipv6Ranges = []ec2.Ipv6Range{{CidrIpv6: to.CidrIpv6, Description: to.Description}}
	}
	if to.PrefixListId != nil {
		p.PrefixListIds = []ec2.PrefixListId{{PrefixListId: to.PrefixListId, Description: to.Description}}
	}
	if to.ReferencedGroupId != nil {
		p.UserIdGroupPairs = []ec2.UserIdGroupPair{{GroupId: to.ReferencedGroupId, Description: to.Description}}
	}
	wanted, err := parse(ctx, tx, g, []ec2.IpPermission{p}, true)
	if err != nil {
		return err
	}
	w, old := wanted[0], &r.Data
	if len(wanted) > 1 || (w.CidrIpv4 == nil) != (old.CidrIpv4 == nil) || (w.CidrIpv6 == nil) != (old.CidrIpv6 == nil) ||
		(w.PrefixListId == nil) != (old.PrefixListId == nil) || (w.ReferencedGroupInfo == nil) != (old.ReferencedGroupInfo == nil) {
		return invalid("You cannot change the source or destination type of the security group rule '%s'", r.ID) // source: guess
	}
	old.IpProtocol, old.FromPort, old.ToPort, old.Description = w.IpProtocol, w.FromPort, w.ToPort, w.Description
	old.CidrIpv4, old.CidrIpv6, old.PrefixListId, old.ReferencedGroupInfo = w.CidrIpv4, w.CidrIpv6, w.PrefixListId, w.ReferencedGroupInfo
	return resource.SecurityGroupRules.Put(ctx, tx, r)
}

// settle refuses what changes have made of a group: rules that are the same, or too many.
func settle(ctx context.Context, tx *store.Tx, g *group, changes []*rule) error {
	after, err := rulesOf(ctx, tx, g)
	if err != nil {
		return err
	}
	for _, c := range changes {
		for _, r := range after {
			if r.ID != c.ID && api.Or(r.Data.IsEgress, false) == api.Or(c.Data.IsEgress, false) && same(&r.Data.SecurityGroupRule, &c.Data.SecurityGroupRule) {
				return duplicate(&c.Data.SecurityGroupRule)
			}
		}
	}
	for _, egress := range []bool{false, true} {
		if err := checkRules(ctx, tx, direction(after, egress)); err != nil {
			return err
		}
	}
	return nil
}
