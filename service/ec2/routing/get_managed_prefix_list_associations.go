package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// GetManagedPrefixListAssociations lists what refers to a prefix list of the caller's own.
func (o *Routing) GetManagedPrefixListAssociations(ctx context.Context, in *ec2.GetManagedPrefixListAssociationsInput) (*ec2.GetManagedPrefixListAssociationsOutput, error) {
	out := new(ec2.GetManagedPrefixListAssociationsOutput)
	err := o.db.View(ctx, func(tx *store.Tx) error {
		l, err := resource.PrefixLists.FindFor(ctx, tx, "ec2:GetManagedPrefixListAssociations", in.PrefixListId)
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
		out.PrefixListAssociations, out.NextToken, err = resource.Page(users, in.MaxResults, in.NextToken, 5, 255)
		return err
	})
	return out, err
}
