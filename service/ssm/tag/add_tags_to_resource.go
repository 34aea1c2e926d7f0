package tag

import (
	"context"
	"maps"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// AddTagsToResource adds tags to a resource or changes their values.
func (t *Tags) AddTagsToResource(ctx context.Context, in *ssm.AddTagsToResourceInput) (*ssm.AddTagsToResourceOutput, error) {
	r, target, err := t.target(ctx, in.ResourceType, in.ResourceId)
	if err != nil {
		return nil, err
	}
	tags, err := Parse(in.Tags)
	if err != nil {
		return nil, err
	}
	err = t.db.Update(ctx, func(tx *store.Tx) error {
		old, err := Of(ctx, tx, target)
		if err != nil {
			return err
		}
		arn := r.ARN(target.Region, target.Account, target.ID)
		if err := iam.Allow(ctx, "ssm:AddTagsToResource", arn, iam.ResourceTags(old), iam.RequestTags(tags)); err != nil {
			return err
		}
		if err := exists(ctx, tx, r, target); err != nil {
			return err
		}
		all := maps.Clone(old)
		maps.Copy(all, tags)
		if len(all) > MostTags {
			return ssm.ErrTooManyTagsError("A resource can have at most %d tags", MostTags)
		}
		return Put(ctx, tx, target, tags)
	})
	return &ssm.AddTagsToResourceOutput{}, err
}
