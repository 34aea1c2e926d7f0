package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// DeletePolicy deletes a managed policy that is attached to nothing and has one version.
func (i *IAM) DeletePolicy(ctx context.Context, in *iam.DeletePolicyInput) (*iam.DeletePolicyOutput, error) {
	return &iam.DeletePolicyOutput{}, i.change(ctx, "iam:DeletePolicy", kindPolicy, in.PolicyArn, func(tx *store.Tx, e *entity) error {
		u, err := usageOf(ctx, tx, e.Account)
		if err != nil {
			return err
		}
		q := rows.New(tx)
		versions, err := q.ListPolicyVersions(ctx, e.ID)
		if err != nil {
			return err
		}
		switch {
		case u.attached[in.PolicyArn]+u.bounded[in.PolicyArn] > 0:
			return conflict("Cannot delete a policy attached to entities.") // source: aws
		case len(versions) > 1:
			// source: aws
			return conflict("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. " +
				"The default version is deleted with the policy.")
		}
		if err := q.DeletePolicyVersions(ctx, e.ID); err != nil {
			return err
		}
		return remove(ctx, tx, e)
	})
}
