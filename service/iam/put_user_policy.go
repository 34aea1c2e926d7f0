package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// PutUserPolicy gives a user an inline policy, or changes one.
func (i *IAM) PutUserPolicy(ctx context.Context, in *iam.PutUserPolicyInput) (*iam.PutUserPolicyOutput, error) {
	err := i.db.Update(ctx, func(tx *store.Tx) error {
		e, err := allow(ctx, tx, "iam:PutUserPolicy", kindUser, in.UserName)
		if err != nil {
			return err
		}
		return putInline(ctx, tx, e, in.PolicyName, in.PolicyDocument)
	})
	return &iam.PutUserPolicyOutput{}, err
}
