package fleet

import (
	"context"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/service/ssm/tag"
	"github.com/vennel/vennel/store"
)

// DeleteActivation deletes an activation. The nodes that registered with it stay.
func (f *Fleet) DeleteActivation(ctx context.Context, in *ssm.DeleteActivationInput) (*ssm.DeleteActivationOutput, error) {
	call := api.CallFrom(ctx)
	if err := iam.Allow(ctx, "ssm:DeleteActivation", "*"); err != nil {
		return nil, err
	}
	if uuid.Validate(in.ActivationId) != nil {
		return nil, ssm.ErrInvalidActivationId("The activation ID %s is not valid", in.ActivationId)
	}
	err := f.db.Update(ctx, func(tx *store.Tx) error {
		n, err := rows.New(tx).DeleteActivation(ctx, rows.DeleteActivationParams{
			ID: in.ActivationId, Account: call.Account, Region: call.Region,
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return ssm.ErrInvalidActivation("The activation %s does not exist", in.ActivationId)
		}
		return tag.Drop(ctx, tx, activationTags(call.Account, call.Region, in.ActivationId))
	})
	return &ssm.DeleteActivationOutput{}, err
}
