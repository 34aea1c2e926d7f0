package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// DeleteManagedPrefixList removes a prefix list that nothing refers to.
func (o *Routing) DeleteManagedPrefixList(ctx context.Context, in *ec2.DeleteManagedPrefixListInput) (*ec2.DeleteManagedPrefixListOutput, error) {
	out := new(ec2.DeleteManagedPrefixListOutput)
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		l, err := ownList(ctx, tx, "ec2:DeleteManagedPrefixList", in.PrefixListId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		users, err := referring(ctx, tx, l.ID)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return resource.Errorf("DependencyViolation", "The prefix list '%s' has dependencies and cannot be deleted.", l.ID) // source: guess
		}
		l.Data.State = new(ec2.PrefixListStateDeleteComplete)
		out.PrefixList = new(answerList(l))
		return resource.PrefixLists.Delete(ctx, tx, l)
	})
	return out, err
}

// referring lists what refers to a prefix list, of the caller's own: route tables and security groups, by their ids.
func referring(ctx context.Context, tx *store.Tx, id string) ([]ec2.PrefixListAssociation, error) {
	var users []ec2.PrefixListAssociation
	tables, err := resource.RouteTables.List(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		if _, ok := (destination{list: id}).find(t); ok {
			users = append(users, ec2.PrefixListAssociation{ResourceId: &t.ID, ResourceOwner: &t.Account})
		}
	}
	rules, err := resource.SecurityGroupRules.List(ctx, tx)
	if err != nil {
		return nil, err
	}
	groups := map[string]bool{}
	for _, r := range rules {
		if r.Data.PrefixListId == nil || *r.Data.PrefixListId != id || groups[*r.Data.GroupId] {
			continue
		}
		groups[*r.Data.GroupId] = true
		users = append(users, ec2.PrefixListAssociation{ResourceId: r.Data.GroupId, ResourceOwner: &r.Account})
	}
	return users, nil
}
