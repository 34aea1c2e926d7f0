package resource

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource/internal/rows"
	"github.com/vennel/vennel/store"
)

// The limits of tags. source: userguide, "Tag restrictions"
const (
	mostTags  = 50
	mostKey   = 128
	mostValue = 256
)

// cutColon cuts an action at its colon.
func cutColon(action string) (service, operation string, ok bool) { return strings.Cut(action, ":") }

// TagsFor reads the tags that a request gives to a kind of resource it makes. Those for other kinds than the operation makes
// are refused.
func TagsFor(specs []ec2.TagSpecification, kind string, others ...string) (map[string]string, error) {
	tags := map[string]string{}
	for _, s := range specs {
		of := api.Or(s.ResourceType, "")
		if of != kind {
			if slices.Contains(others, of) {
				continue
			}
			return nil, Errorf("InvalidParameterValue", "'%s' is not a valid taggable resource type for this operation.", of) // source: aws
		}
		if err := AddTags(tags, s.Tags); err != nil {
			return nil, err
		}
	}
	return tags, nil
}

// AddTags adds tags of a request to a set, within the limits. source: userguide, "Tag restrictions"
func AddTags(to map[string]string, tags []ec2.Tag) error {
	for _, t := range tags {
		key, value := api.Or(t.Key, ""), api.Or(t.Value, "")
		switch {
		case key == "":
			return Errorf("InvalidParameterValue", "Tag keys cannot be empty")
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return Errorf("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
		case len([]rune(key)) > mostKey:
			return Errorf("InvalidParameterValue", "Tag key exceeds the maximum length of %d characters", mostKey)
		case len([]rune(value)) > mostValue:
			return Errorf("InvalidParameterValue", "Tag value exceeds the maximum length of %d characters", mostValue)
		}
		to[key] = value
	}
	if len(to) > mostTags {
		return Errorf("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.") // source: aws
	}
	return nil
}

// TagList writes tags as an answer has them, by name.
func TagList(tags map[string]string) []ec2.Tag {
	list := []ec2.Tag{}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		list = append(list, ec2.Tag{Key: new(name), Value: new(tags[name])})
	}
	return list
}

// tagsOf gives a resource's tags.
func tagsOf(ctx context.Context, tx *store.Tx, id string) (map[string]string, error) {
	list, err := rows.New(tx).ListResourceTags(ctx, id)
	tags := make(map[string]string, len(list))
	for _, t := range list {
		tags[t.Name] = t.Value
	}
	return tags, err
}

// SetTags adds tags to a resource, or changes their values.
func SetTags(ctx context.Context, tx *store.Tx, id string, tags map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		if err := rows.New(tx).PutResourceTag(ctx, rows.PutResourceTagParams{ID: id, Name: name, Value: tags[name]}); err != nil {
			return err
		}
	}
	return nil
}

// Item is a resource of any kind.
type Item struct {
	ID, Account, Region, Kind, VPC string
	Tags                           map[string]string
}

// ARN is the name of the resource as policies know it.
func (i *Item) ARN() string { return api.ARN("ec2", i.Region, i.Account, i.Kind+"/"+i.ID) }

// Lookup gives a resource of the caller's account and Region, of whatever kind of EC2's, or nil.
func Lookup(ctx context.Context, tx *store.Tx, id string) (*Item, error) {
	row, err := rows.New(tx).GetResource(ctx, id)
	call := api.CallFrom(ctx)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (row.Account != call.Account || row.Region != call.Region || ofKind(id) == nil) {
		return nil, nil //nolint:nilnil // nothing is an answer
	} else if err != nil {
		return nil, err
	}
	tags, err := tagsOf(ctx, tx, id)
	return &Item{row.ID, row.Account, row.Region, row.Kind, row.Vpc, tags}, err
}

// Tag is a tag of a resource.
type Tag struct{ ID, Kind, Name, Value string }

// Tags lists the tags of all resources of the caller's account and Region, by the ids of the resources and the tags' names.
func Tags(ctx context.Context, tx *store.Tx) ([]Tag, error) {
	call := api.CallFrom(ctx)
	list, err := rows.New(tx).ListTagsOfAccount(ctx, rows.ListTagsOfAccountParams{Account: call.Account, Region: call.Region})
	tags := make([]Tag, len(list))
	for i, t := range list {
		tags[i] = Tag{t.ID, t.Kind, t.Name, t.Value}
	}
	return tags, err
}

// Retag changes a resource's tags: it sets some and removes others, and wakes those who carry the network, because a
// machine may see its tags.
func (i *Item) Retag(ctx context.Context, tx *store.Tx, set map[string]string, remove []string) error {
	notify(tx, i.VPC, i.ID)
	for _, name := range remove {
		if err := rows.New(tx).DeleteResourceTag(ctx, rows.DeleteResourceTagParams{ID: i.ID, Name: name}); err != nil {
			return err
		}
	}
	return SetTags(ctx, tx, i.ID, set)
}

// Tagged gives the ids of an account's resources of a kind in a Region that have a tag, with the value if there is one, in order.
func Tagged(ctx context.Context, tx *store.Tx, account, region, kind, name string, value *string) ([]string, error) {
	list, err := rows.New(tx).ListTagged(ctx, rows.ListTaggedParams{Account: account, Region: region, Kind: kind, Name: name})
	ids := []string{}
	for _, t := range list {
		if value == nil || t.Value == *value {
			ids = append(ids, t.ID)
		}
	}
	return ids, err
}
