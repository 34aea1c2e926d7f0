package securitygroup

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// AuthorizeSecurityGroupIngress lets packets in.
func (s *SecurityGroups) AuthorizeSecurityGroupIngress(ctx context.Context, in *ec2.AuthorizeSecurityGroupIngressInput) (*ec2.AuthorizeSecurityGroupIngressOutput, error) {
	old := flat{in.IpProtocol, in.CidrIp, in.SourceSecurityGroupName, in.SourceSecurityGroupOwnerId, in.FromPort, in.ToPort}
	rules, err := s.authorize(ctx, &authorization{
		action: "ec2:AuthorizeSecurityGroupIngress", id: in.GroupId, name: in.GroupName,
		permissions: old.permissions(in.IpPermissions), tags: in.TagSpecifications, dryRun: in.DryRun,
	})
	return &ec2.AuthorizeSecurityGroupIngressOutput{Return: new(true), SecurityGroupRules: rules}, err
}

// authorization is a request for new rules.
type authorization struct {
	action      string
	id, name    *string
	egress      bool
	permissions []ec2.IpPermission
	tags        []ec2.TagSpecification
	dryRun      *bool
}

// authorize gives a group new rules, all or none.
func (s *SecurityGroups) authorize(ctx context.Context, a *authorization) (added []ec2.SecurityGroupRule, err error) {
	tags, err := resource.TagsFor(a.tags, resource.SecurityGroupRules.Name)
	if err != nil {
		return nil, err
	}
	ids := make([]string, min(count(a.permissions), 4*mostRules))
	for i := range ids {
		ids[i] = resource.SecurityGroupRules.NewID()
	}
	err = s.db.Update(ctx, func(tx *store.Tx) error {
		added = []ec2.SecurityGroupRule{}
		g, err := Named(ctx, tx, a.action, a.id, a.name)
		if err != nil {
			return err
		}
		if len(tags) > 0 {
			if err := resource.SecurityGroupRules.AllowNew(ctx, a.action, tags); err != nil {
				return err
			}
		}
		if err := resource.DryRun(a.dryRun); err != nil {
			return err
		}
		if len(a.permissions) == 0 {
			return resource.Errorf("MissingParameter", "The request must contain the parameter ipPermissions") // source: guess
		}
		rules, err := parse(ctx, tx, g, a.permissions, true)
		if err != nil {
			return err
		}
		before, err := rulesOf(ctx, tx, g)
		if err != nil {
			return err
		}
		had := direction(before, a.egress)
		for i := range rules {
			if slices.ContainsFunc(had, func(r ec2.SecurityGroupRule) bool { return same(&r, &rules[i]) }) {
				return duplicate(&rules[i])
			}
		}
		if err := checkRules(ctx, tx, append(had, rules...)); err != nil {
			return err
		}
		for i := range rules {
			if err := put(ctx, tx, g, ids[i], a.egress, rules[i], tags); err != nil {
				return err
			}
			r, err := resource.SecurityGroupRules.Get(ctx, tx, ids[i])
			if err == nil {
				err = complete(ctx, tx, []*rule{r})
			}
			if err != nil {
				return err
			}
			added = append(added, r.Data.SecurityGroupRule)
		}
		return nil
	})
	return added, err
}
