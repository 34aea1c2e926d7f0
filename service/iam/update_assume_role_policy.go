package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// UpdateAssumeRolePolicy replaces the trust policy of a role.
func (i *IAM) UpdateAssumeRolePolicy(ctx context.Context, in *iam.UpdateAssumeRolePolicyInput) (*iam.UpdateAssumeRolePolicyOutput, error) {
	return &iam.UpdateAssumeRolePolicyOutput{}, i.change(ctx, "iam:UpdateAssumeRolePolicy", kindRole, in.RoleName, func(tx *store.Tx, e *entity) error {
		if err := check(in.PolicyDocument, policy.Trust, "ACLSizePerRole", mostTrust); err != nil {
			return err
		}
		e.Trust = in.PolicyDocument
		return update(ctx, tx, e)
	})
}
