package securitygroup

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteSecurityGroup removes a group that nothing uses.
func (s *SecurityGroups) DeleteSecurityGroup(ctx context.Context, in *ec2.DeleteSecurityGroupInput) (*ec2.DeleteSecurityGroupOutput, error) {
	var id string
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		g, err := Named(ctx, tx, "ec2:DeleteSecurityGroup", in.GroupId, in.GroupName)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		id = g.ID
		if g.Data.Default {
			// source: aws
			return resource.Errorf("CannotDelete", `the specified group: "%s" name: "%s" cannot be deleted by a user`, g.ID, *g.Data.GroupName)
		}
		if used, err := isUsed(ctx, tx, g); err != nil {
			return err
		} else if used {
			return resource.Errorf("DependencyViolation", "resource %s has a dependent object", g.ID) // source: aws
		}
		return remove(ctx, tx, g)
	})
	return &ec2.DeleteSecurityGroupOutput{Return: new(true), GroupId: &id}, err
}

// isUsed says whether an interface has a group or an endpoint gives it to its own, or another group of its VPC refers to it. Rules of
// other VPCs become stale.
// source: userguide, "Work with stale security group rules"
func isUsed(ctx context.Context, tx *store.Tx, g *group) (bool, error) {
	interfaces, err := resource.NetworkInterfaces.Of(ctx, tx, g.VPC)
	if err != nil {
		return false, err
	}
	for _, n := range interfaces {
		if slices.ContainsFunc(n.Data.Groups, func(of ec2.GroupIdentifier) bool { return api.Or(of.GroupId, "") == g.ID }) {
			return true, nil
		}
	}
	endpoints, err := resource.Endpoints.Of(ctx, tx, g.VPC)
	if err != nil {
		return false, err
	}
	for _, e := range endpoints { // which may have no interface now
		if api.Or(e.Data.State, "") != "deleting" && slices.ContainsFunc(e.Data.Groups, func(of ec2.SecurityGroupIdentifier) bool { return api.Or(of.GroupId, "") == g.ID }) {
			return true, nil
		}
	}
	rules, err := resource.SecurityGroupRules.Of(ctx, tx, g.VPC)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(rules, func(r *rule) bool { return *r.Data.GroupId != g.ID && target(&r.Data.SecurityGroupRule) == g.ID }), nil
}
