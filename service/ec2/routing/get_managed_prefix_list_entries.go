package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// GetManagedPrefixListEntries lists the entries of a version of a prefix list.
func (o *Routing) GetManagedPrefixListEntries(ctx context.Context, in *ec2.GetManagedPrefixListEntriesInput) (*ec2.GetManagedPrefixListEntriesOutput, error) {
	out := new(ec2.GetManagedPrefixListEntriesOutput)
	err := o.db.View(ctx, func(tx *store.Tx) error {
		l, err := listFor(ctx, tx, "ec2:GetManagedPrefixListEntries", in.PrefixListId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		entries := l.Data.Entries()
		if in.TargetVersion != nil {
			if entries, err = versionOf(l, *in.TargetVersion); err != nil {
				return err
			}
		}
		out.Entries, out.NextToken, err = resource.Page(entries, in.MaxResults, in.NextToken, 1, 100)
		return err
	})
	return out, err
}
