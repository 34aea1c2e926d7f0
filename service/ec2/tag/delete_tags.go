package tag

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// DeleteTags takes tags from resources: those named, whatever their values or with just the value that is given, or all when
// none is named. source: userguide, the operation's page
func (t *Tags) DeleteTags(ctx context.Context, in *ec2.DeleteTagsInput) (*ec2.DeleteTagsOutput, error) {
	var names []string
	for _, tag := range in.Tags {
		names = append(names, api.Or(tag.Key, ""))
	}
	err := t.db.Update(ctx, func(tx *store.Tx) error {
		items, err := find(ctx, tx, "ec2:DeleteTags", in.Resources, iam.TagKeys(names))
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		for _, name := range names {
			if strings.HasPrefix(strings.ToLower(name), "aws:") {
				return resource.Errorf("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use") // source: aws
			}
		}
		for _, item := range items {
			if err := item.Retag(ctx, tx, nil, going(item.Tags, in.Tags)); err != nil {
				return err
			}
		}
		return nil
	})
	return new(ec2.DeleteTagsOutput), err
}

// going are the names of the tags that a request takes away.
func going(has map[string]string, tags []ec2.Tag) (names []string) {
	if len(tags) == 0 {
		return slices.Sorted(maps.Keys(has))
	}
	for _, tag := range tags {
		name := api.Or(tag.Key, "")
		if value, ok := has[name]; ok && (tag.Value == nil || *tag.Value == value) {
			names = append(names, name)
		}
	}
	return names
}
