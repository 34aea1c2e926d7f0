package routing

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/store"
)

// prefixList is a managed prefix list as it is kept.
type prefixList = resource.Record[resource.PrefixList]

// The limits of prefix lists. AWS does not say how many versions it keeps. source: userguide, "Managed prefix lists"; guess
const (
	mostEntries  = 1000
	mostPerCall  = 100
	mostName     = 255
	mostVersions = 100
)

// aws is the owner of AWS's prefix lists. source: aws
const aws = "AWS"

// CreateManagedPrefixList makes a prefix list of the caller's own.
func (o *Routing) CreateManagedPrefixList(ctx context.Context, in *ec2.CreateManagedPrefixListInput) (*ec2.CreateManagedPrefixListOutput, error) {
	const operation = "CreateManagedPrefixList"
	tags, err := resource.TagsFor(in.TagSpecifications, resource.PrefixLists.Name)
	if err != nil {
		return nil, err
	}
	if err := resource.PrefixLists.AllowNew(ctx, "ec2:"+operation, tags); err != nil {
		return nil, err
	}
	if err := resource.DryRun(in.DryRun); err != nil {
		return nil, err
	}
	switch {
	case in.AddressFamily == "IPv6":
		return nil, resource.NoIPv6()
	case in.AddressFamily != "IPv4":
		return nil, resource.Errorf("InvalidParameterValue", "Value (%s) for parameter addressFamily is invalid. Valid values are IPv4, IPv6.", in.AddressFamily) // source: guess
	}
	if err := checkSize(in.MaxEntries); err != nil {
		return nil, err
	}
	if err := checkName(in.PrefixListName); err != nil {
		return nil, err
	}
	entries, err := change(nil, in.Entries, nil, in.MaxEntries)
	if err != nil {
		return nil, err
	}
	id := resource.PrefixLists.NewID()
	out := new(ec2.CreateManagedPrefixListOutput)
	err = o.db.Update(ctx, func(tx *store.Tx) error {
		made, err := resource.Once(ctx, tx, operation, in.ClientToken, in)
		if err != nil {
			return err
		}
		l := resource.PrefixLists.New(ctx, id, "", resource.PrefixList{Versions: [][]ec2.PrefixListEntry{entries}})
		if made != "" {
			if l, err = resource.PrefixLists.Find(ctx, tx, made); err != nil {
				return err
			}
		} else {
			l.Tags = tags
			l.Data.ManagedPrefixList = ec2.ManagedPrefixList{
				PrefixListId: &l.ID, PrefixListName: &in.PrefixListName, AddressFamily: &in.AddressFamily, MaxEntries: &in.MaxEntries, Version: new(int64(1)),
				OwnerId: &l.Account, PrefixListArn: new(resource.PrefixLists.ARN(l.Region, l.Account, l.ID)), State: new(ec2.PrefixListStateCreateComplete),
			}
			if err := resource.PrefixLists.Create(ctx, tx, l); err != nil {
				return err
			}
			if err := resource.Made(ctx, tx, operation, in.ClientToken, in, id); err != nil {
				return err
			}
		}
		out.PrefixList = new(answerList(l))
		return nil
	})
	return out, err
}

// checkSize refuses a size that a prefix list cannot have.
func checkSize(most int64) error {
	if most < 1 || most > mostEntries {
		return resource.Errorf("InvalidParameterValue", "Value (%d) for parameter maxEntries is invalid. It must be between 1 and %d.", most, mostEntries) // source: guess
	}
	return nil
}

// checkName refuses a name that a prefix list cannot have. source: model
func checkName(name string) error {
	switch {
	case name == "" || len(name) > mostName:
		return resource.Errorf("InvalidParameterValue", "Value (%s) for parameter prefixListName is invalid. It must have up to %d characters.", name, mostName)
	case strings.HasPrefix(name, "com.amazonaws"):
		return resource.Errorf("InvalidParameterValue", "Value (%s) for parameter prefixListName is invalid. It cannot start with com.amazonaws.", name)
	}
	return nil
}

// change gives the entries of a prefix list after some were removed and some added or described anew, in order of their ranges.
func change(has []ec2.PrefixListEntry, add []ec2.AddPrefixListEntry, remove []ec2.RemovePrefixListEntry, most int64) ([]ec2.PrefixListEntry, error) {
	if len(add) > mostPerCall || len(remove) > mostPerCall {
		return nil, resource.Errorf("InvalidParameterValue", "A request can add and remove up to %d entries", mostPerCall) // source: userguide
	}
	list := map[netip.Prefix]*string{}
	for _, e := range has {
		list[resource.Prefix(e.Cidr)] = e.Description
	}
	removed, added := map[netip.Prefix]bool{}, map[netip.Prefix]bool{}
	for _, e := range remove {
		p, err := resource.Range(e.Cidr, "cidr")
		if err != nil {
			return nil, err
		}
		removed[p] = true
		if _, ok := list[p]; !ok {
			return nil, resource.Errorf("InvalidParameterValue", "The CIDR %s is not in the prefix list", p) // source: guess
		}
		delete(list, p)
	}
	for _, e := range add {
		p, err := resource.Range(e.Cidr, "cidr")
		switch {
		case err != nil:
			return nil, err
		case removed[p]:
			return nil, resource.Errorf("InvalidParameterValue", "Request cannot contain Cidr %s in both AddPrefixListEntries and RemovePrefixListEntries", p) // source: aws
		case added[p]:
			return nil, resource.Errorf("InvalidParameterValue", "The CIDR %s is specified more than once", p) // source: guess
		}
		added[p] = true
		if len(api.Or(e.Description, "")) > mostName {
			return nil, resource.Errorf("InvalidParameterValue", "A description can have up to %d characters", mostName) // source: model
		}
		list[p] = api.Given(api.Or(e.Description, ""))
	}
	if int64(len(list)) > most {
		return nil, resource.Errorf("PrefixListMaxEntriesExceeded", "You've reached the maximum number of entries for the prefix list.") // source: aws
	}
	entries := []ec2.PrefixListEntry{}
	for p, description := range list {
		entries = append(entries, ec2.PrefixListEntry{Cidr: new(p.String()), Description: description})
	}
	slices.SortFunc(entries, func(a, b ec2.PrefixListEntry) int { return resource.Prefix(a.Cidr).Compare(resource.Prefix(b.Cidr)) })
	return entries, nil
}

// answerList is a prefix list as answers have it.
func answerList(l *prefixList) ec2.ManagedPrefixList {
	a := l.Data.ManagedPrefixList
	a.Tags = resource.TagList(l.Tags)
	return a
}

// amazons are AWS's prefix lists of the caller's Region, as if they were records.
func amazons(ctx context.Context) []*prefixList {
	region := api.CallFrom(ctx).Region
	var lists []*prefixList
	for _, l := range resource.AWSPrefixLists(region) {
		entries := make([]ec2.PrefixListEntry, len(l.CIDRs))
		for i, p := range l.CIDRs {
			entries[i].Cidr = new(p.String())
		}
		r := &prefixList{ID: l.ID, Account: "aws", Region: region, Data: resource.PrefixList{Versions: [][]ec2.PrefixListEntry{entries}}}
		r.Data.ManagedPrefixList = ec2.ManagedPrefixList{
			PrefixListId: &l.ID, PrefixListName: &l.Name, PrefixListArn: new(l.ARN(region)), OwnerId: new(aws), AddressFamily: new("IPv4"),
			State: new(ec2.PrefixListStateCreateComplete), MaxEntries: new(int64(len(entries))),
		}
		lists = append(lists, r)
	}
	return lists
}

// findList finds a prefix list, of the caller's own or AWS's.
func findList(ctx context.Context, tx *store.Tx, id string) (*prefixList, error) {
	for _, l := range amazons(ctx) {
		if l.ID == id {
			return l, nil
		}
	}
	return resource.PrefixLists.Find(ctx, tx, id)
}

// listFor finds a prefix list for a caller who may do an action to it.
func listFor(ctx context.Context, tx *store.Tx, action, id string) (*prefixList, error) {
	for _, l := range amazons(ctx) {
		if l.ID == id {
			return l, resource.PrefixLists.Allow(ctx, action, l)
		}
	}
	return resource.PrefixLists.FindFor(ctx, tx, action, id)
}

// ownList finds a prefix list of the caller's own to change it.
func ownList(ctx context.Context, tx *store.Tx, action, id string) (*prefixList, error) {
	l, err := listFor(ctx, tx, action, id)
	if err == nil && *l.Data.OwnerId == aws {
		err = resource.Errorf("OperationNotPermitted", "The prefix list '%s' is managed by AWS and cannot be modified", id) // source: guess
	}
	return l, err
}
