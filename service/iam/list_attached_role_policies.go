package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// ListAttachedRolePolicies lists the managed policies of a role.
func (i *IAM) ListAttachedRolePolicies(ctx context.Context, in *iam.ListAttachedRolePoliciesInput) (*iam.ListAttachedRolePoliciesOutput, error) {
	out := new(iam.ListAttachedRolePoliciesOutput)
	var err error
	out.AttachedPolicies, out.Marker, out.IsTruncated, err = i.listAttached(
		ctx, "iam:ListAttachedRolePolicies", kindRole, in.RoleName, in.PathPrefix, in.Marker, in.MaxItems)
	return out, err
}
