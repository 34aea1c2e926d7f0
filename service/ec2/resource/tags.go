package resource

import (
	"context"
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
