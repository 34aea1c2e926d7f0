package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// AttachRolePolicy attaches a managed policy to a role.
func (i *IAM) AttachRolePolicy(ctx context.Context, in *iam.AttachRolePolicyInput) (*iam.AttachRolePolicyOutput, error) {
	err := i.db.Update(ctx, func(tx *store.Tx) error {
		e, err := allow(ctx, tx, "iam:AttachRolePolicy", kindRole, in.RoleName, Key("iam:policyarn", in.PolicyArn))
		if err != nil {
			return err
		}
		return attach(ctx, tx, e, in.PolicyArn)
	})
	return &iam.AttachRolePolicyOutput{}, err
}
