package routing

import (
	"context"

	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// ModifyManagedPrefixList changes a prefix list's name or size, or makes a new version of its entries.
func (o *Routing) ModifyManagedPrefixList(ctx context.Context, in *ec2.ModifyManagedPrefixListInput) (*ec2.ModifyManagedPrefixListOutput, error) {
	out := new(ec2.ModifyManagedPrefixListOutput)
	err := o.db.Update(ctx, func(tx *store.Tx) error {
		l, err := ownList(ctx, tx, "ec2:ModifyManagedPrefixList", in.PrefixListId)
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		entries := len(in.AddEntries)+len(in.RemoveEntries) > 0
		switch {
		case in.IpamPrefixListResolverSyncEnabled != nil:
			return resource.Unsupported("IPAM")
		case entries && in.MaxEntries != nil:
			// source: userguide
			return resource.Errorf("InvalidParameterCombination", "You cannot modify the entries of a prefix list and modify the size of a prefix list at the same time.")
		case in.CurrentVersion != nil && *in.CurrentVersion != *l.Data.Version:
			return outdated()
		case entries && in.CurrentVersion == nil:
			return resource.Errorf("InvalidParameterCombination", "The current version must be specified when entries are modified") // source: guess
		}
		if in.PrefixListName != nil {
			if err := checkName(*in.PrefixListName); err != nil {
				return err
			}
			l.Data.PrefixListName = in.PrefixListName
		}
		if in.MaxEntries != nil {
			if err := resize(ctx, tx, l, *in.MaxEntries); err != nil {
				return err
			}
		}
		if entries {
			list, err := change(l.Data.Entries(), in.AddEntries, in.RemoveEntries, *l.Data.MaxEntries)
			if err != nil {
				return err
			}
			renew(l, list)
		}
		l.Data.State = new(ec2.PrefixListStateModifyComplete)
		out.PrefixList = new(answerList(l))
		return resource.PrefixLists.Put(ctx, tx, l)
	})
	return out, err
}

// renew gives a prefix list a new version.
func renew(l *prefixList, entries []ec2.PrefixListEntry) {
	l.Data.Versions = append(l.Data.Versions, entries)
	if n := len(l.Data.Versions); n > mostVersions {
		l.Data.Versions = l.Data.Versions[n-mostVersions:]
	}
	l.Data.Version = new(*l.Data.Version + 1)
}

// resize changes how many entries a prefix list may have. The route tables that name it must have room for them.
func resize(ctx context.Context, tx *store.Tx, l *prefixList, most int64) error {
	if err := checkSize(most); err != nil {
		return err
	}
	if int64(len(l.Data.Entries())) > most {
		return resource.Errorf("InvalidParameterValue", "The prefix list %s has more than %d entries", l.ID, most) // source: guess
	}
	grow := int(most - *l.Data.MaxEntries)
	l.Data.MaxEntries = &most
	tables, err := resource.RouteTables.List(ctx, tx)
	if err != nil || grow <= 0 {
		return err
	}
	for _, t := range tables {
		if _, ok := (destination{list: l.ID}).find(t); !ok {
			continue
		}
		has := grow - 1
		for _, r := range t.Data.Routes {
			to := destination{}
			if r.DestinationPrefixListId != nil {
				to.list = *r.DestinationPrefixListId
			}
			n, err := weigh(ctx, tx, to)
			if err != nil {
				return err
			}
			has += n
		}
		if err := routes.Check(has); err != nil {
			return err
		}
	}
	return nil
}

// outdated is the error for a version that is not the current one. source: aws
func outdated() error {
	return resource.Errorf("PrefixListVersionMismatch", "The prefix list has the incorrect version number.")
}
