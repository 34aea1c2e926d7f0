package tag

import (
	"context"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/tag/internal/rows"
	"github.com/vennel/vennel/store"
)

// RemoveTagsFromResource removes tags by name; those that a resource has not are passed over.
func (t *Tags) RemoveTagsFromResource(ctx context.Context, in *ssm.RemoveTagsFromResourceInput) (*ssm.RemoveTagsFromResourceOutput, error) {
	r, target, err := t.target(ctx, in.ResourceType, in.ResourceId)
	if err != nil {
		return nil, err
	}
	err = t.db.Update(ctx, func(tx *store.Tx) error {
		old, err := Of(ctx, tx, target)
		if err != nil {
			return err
		}
		arn := r.ARN(target.Region, target.Account, target.ID)
		if err := iam.Allow(ctx, "ssm:RemoveTagsFromResource", arn, iam.ResourceTags(old), iam.Key("aws:tagkeys", in.TagKeys...)); err != nil {
			return err
		}
		if err := exists(ctx, tx, r, target); err != nil {
			return err
		}
		for _, name := range in.TagKeys {
			err := rows.New(tx).DeleteTag(ctx, rows.DeleteTagParams{
				Account: target.Account, Region: target.Region, Kind: target.Kind, ID: target.ID, Name: name,
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return &ssm.RemoveTagsFromResourceOutput{}, err
}
