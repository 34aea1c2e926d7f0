package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// searchLists is DescribeManagedPrefixLists. source: userguide, the operation's page
var searchLists = resource.Search[resource.PrefixList]{
	Kind: resource.PrefixLists, Operation: "DescribeManagedPrefixLists", Beside: beside, Least: 1, Most: 100,
	Filters: resource.Filters[resource.PrefixList]{
		"owner-id":         func(l *prefixList) []string { return resource.One(l.Data.OwnerId) },
		"prefix-list-id":   func(l *prefixList) []string { return []string{l.ID} },
		"prefix-list-name": func(l *prefixList) []string { return resource.One(l.Data.PrefixListName) },
	},
}

// beside gives AWS's lists, which are no records.
func beside(ctx context.Context, _ *store.Tx) ([]*prefixList, error) { return amazons(ctx), nil }

// DescribeManagedPrefixLists lists prefix lists, the caller's own and AWS's.
func (o *Routing) DescribeManagedPrefixLists(ctx context.Context, in *ec2.DescribeManagedPrefixListsInput) (*ec2.DescribeManagedPrefixListsOutput, error) {
	page, next, err := searchLists.Run(ctx, o.db, resource.Query{DryRun: in.DryRun, IDs: in.PrefixListIds, Filters: in.Filters, Max: in.MaxResults, After: in.NextToken})
	out := &ec2.DescribeManagedPrefixListsOutput{PrefixLists: []ec2.ManagedPrefixList{}, NextToken: next}
	for _, l := range page {
		out.PrefixLists = append(out.PrefixLists, answerList(l))
	}
	return out, err
}
