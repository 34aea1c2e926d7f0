package tag

import (
	"context"
	"maps"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/service/ec2/resource"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// mostResources is how many resources a request may name. source: model
const mostResources = 1000

// CreateTags adds tags to resources, or changes their values.
func (t *Tags) CreateTags(ctx context.Context, in *ec2.CreateTagsInput) (*ec2.CreateTagsOutput, error) {
	err := t.db.Update(ctx, func(tx *store.Tx) error {
		tags := map[string]string{}
		for _, tag := range in.Tags {
			tags[api.Or(tag.Key, "")] = api.Or(tag.Value, "")
		}
		items, err := find(ctx, tx, "ec2:CreateTags", in.Resources, iam.RequestTags(tags))
		if err != nil {
			return err
		}
		if err := resource.DryRun(in.DryRun); err != nil {
			return err
		}
		if len(in.Tags) == 0 {
			return api.Errorf(api.Missing, "The request must contain the parameter tagSet")
		}
		for _, item := range items {
			all := maps.Clone(item.Tags)
			if err := resource.AddTags(all, in.Tags); err != nil {
				return err
			}
			if err := item.Retag(ctx, tx, tags, nil); err != nil {
				return err
			}
		}
		return nil
	})
	return new(ec2.CreateTagsOutput), err
}

// find finds resources of any kind for a caller who may do an action to each.
func find(ctx context.Context, tx *store.Tx, action string, ids []string, about ...iam.About) ([]*resource.Item, error) {
	region := iam.Key("ec2:region", api.CallFrom(ctx).Region)
	if len(ids) == 0 || len(ids) > mostResources {
		if err := iam.Allow(ctx, action, "*", append(about, region)...); err != nil {
			return nil, err
		}
		return nil, resource.Errorf("InvalidParameterValue", "A request can name 1 to %d resources", mostResources) // source: guess
	}
	items := make([]*resource.Item, len(ids))
	for i, id := range ids {
		item, err := resource.Lookup(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		if item == nil {
			if err := iam.Allow(ctx, action, "*", append(about, region)...); err != nil {
				return nil, err
			}
			return nil, resource.MissingAny(id)
		}
		if err := iam.Allow(ctx, action, item.ARN(), append(about, region, iam.ResourceTags(item.Tags))...); err != nil {
			return nil, err
		}
		items[i] = item
	}
	return items, nil
}
