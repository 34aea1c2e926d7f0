package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// DeletePolicyVersion deletes a version of a managed policy that is not the default.
func (i *IAM) DeletePolicyVersion(ctx context.Context, in *iam.DeletePolicyVersionInput) (*iam.DeletePolicyVersionOutput, error) {
	err := i.change(ctx, "iam:DeletePolicyVersion", kindPolicy, in.PolicyArn, func(tx *store.Tx, e *entity) error {
		v, err := version(ctx, tx, e, in.VersionId)
		if err != nil {
			return err
		}
		if v.Version == e.Version {
			return conflict("Cannot delete the default version of a policy.") // source: aws
		}
		return rows.New(tx).DeletePolicyVersion(ctx, rows.DeletePolicyVersionParams{Policy: e.ID, Version: v.Version})
	})
	return &iam.DeletePolicyVersionOutput{}, withVersion(err, in.PolicyArn, in.VersionId)
}
