package iam

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// SetDefaultPolicyVersion makes a version of a managed policy the one in force.
func (i *IAM) SetDefaultPolicyVersion(ctx context.Context, in *iam.SetDefaultPolicyVersionInput) (*iam.SetDefaultPolicyVersionOutput, error) {
	call := api.CallFrom(ctx)
	err := i.change(ctx, "iam:SetDefaultPolicyVersion", kindPolicy, in.PolicyArn, func(tx *store.Tx, e *entity) error {
		v, err := version(ctx, tx, e, in.VersionId)
		if err != nil {
			return err
		}
		e.Version, e.Updated = v.Version, call.Time.UnixMilli()
		return update(ctx, tx, e)
	})
	return &iam.SetDefaultPolicyVersionOutput{}, withVersion(err, in.PolicyArn, in.VersionId)
}
