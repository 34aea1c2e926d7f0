package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// RestoreManagedPrefixListVersion makes a new version of a prefix list with the entries of an earlier one.
func (o *Routing) RestoreManagedPrefixListVersion(ctx context.Context, in *ec2.RestoreManagedPrefixListVersionInput) (*ec2.RestoreManagedPrefixListVersionOutput, error) {
	out := new(ec2.RestoreManagedPrefixListVersionOutput)
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		l, err := ownList(ctx, tx, "ec2:RestoreManagedPrefixListVersion", in.PrefixListId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if in.CurrentVersion != *l.Data.Version {
			return outdated()
		}
		entries, err := versionOf(l, in.PreviousVersion)
		if err != nil {
			return err
		}
		if int64(len(entries)) > *l.Data.MaxEntries {
			return resource.Errorf("PrefixListMaxEntriesExceeded", "You've reached the maximum number of entries for the prefix list.") // source: aws
		}
		renew(l, entries)
		l.Data.State = new(ec2.PrefixListStateRestoreComplete)
		out.PrefixList = new(answerList(l))
		return resource.PrefixLists.Put(ctx, tx, l)
	})
	return out, err
}

// versionOf gives the entries of a version of a prefix list.
func versionOf(l *prefixList, version int64) ([]ec2.PrefixListEntry, error) {
	current := int64(1)
	if l.Data.Version != nil {
		current = *l.Data.Version
	}
	i := int64(len(l.Data.Versions)) - 1 - (current - version)
	if version > current || i < 0 {
		return nil, resource.Errorf("InvalidPrefixListVersion.NotFound", "The prefix list '%s' has no version %d", l.ID, version) // source: guess
	}
	return l.Data.Versions[i], nil
}
