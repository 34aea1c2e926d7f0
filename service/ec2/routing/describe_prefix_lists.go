package routing

import (
	"context"
	"slices"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
)

// serviceFilters are those of DescribePrefixLists. source: userguide, the operation's page
var serviceFilters = map[string]func(*ec2.PrefixList) []string{
	"prefix-list-id":   func(l *ec2.PrefixList) []string { return resource.One(l.PrefixListId) },
	"prefix-list-name": func(l *ec2.PrefixList) []string { return resource.One(l.PrefixListName) },
}

// DescribePrefixLists lists the prefix lists of AWS's services. There are so few that one page holds them.
func (o *Routing) DescribePrefixLists(ctx context.Context, in *ec2.DescribePrefixListsInput) (*ec2.DescribePrefixListsOutput, error) {
	if err := iam.Allow(ctx, "ec2:DescribePrefixLists", "*", iam.Key("ec2:region", api.CallFrom(ctx).Region)); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	list := []ec2.PrefixList{}
	found := map[string]bool{}
	for _, l := range amazons(ctx) {
		found[l.ID] = true
		if len(in.PrefixListIds) == 0 || slices.Contains(in.PrefixListIds, l.ID) {
			cidrs := resource.Each(l.Data.Entries(), func(e *ec2.PrefixListEntry) *string { return e.Cidr })
			list = append(list, ec2.PrefixList{PrefixListId: &l.ID, PrefixListName: l.Data.PrefixListName, Cidrs: cidrs})
		}
	}
	for _, id := range in.PrefixListIds {
		if err := resource.PrefixLists.Check(id); err != nil {
			return nil, err
		}
		if !found[id] {
			return nil, resource.PrefixLists.Missing(id)
		}
	}
	list, err := resource.Select(list, in.Filters, serviceFilters)
	return &ec2.DescribePrefixListsOutput{PrefixLists: list}, err
}
