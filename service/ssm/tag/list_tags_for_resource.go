package tag

import (
	"context"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/store"
)

// ListTagsForResource lists a resource's tags by name.
func (t *Tags) ListTagsForResource(ctx context.Context, in *ssm.ListTagsForResourceInput) (*ssm.ListTagsForResourceOutput, error) {
	r, target, err := t.target(ctx, in.ResourceType, in.ResourceId)
	if err != nil {
		return nil, err
	}
	out := new(ssm.ListTagsForResourceOutput)
	err = t.db.View(ctx, func(tx *store.Tx) error {
		tags, err := Of(ctx, tx, target)
		if err != nil {
			return err
		}
		arn := r.ARN(target.Region, target.Account, target.ID)
		if err := iam.Allow(ctx, "ssm:ListTagsForResource", arn, iam.ResourceTags(tags)); err != nil {
			return err
		}
		out.TagList = List(tags)
		return exists(ctx, tx, r, target)
	})
	return out, err
}
