package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// ListRolePolicies lists the names of the inline policies of a role.
func (i *IAM) ListRolePolicies(ctx context.Context, in *iam.ListRolePoliciesInput) (*iam.ListRolePoliciesOutput, error) {
	out := new(iam.ListRolePoliciesOutput)
	var err error
	out.PolicyNames, out.Marker, out.IsTruncated, err = i.listInline(ctx, "iam:ListRolePolicies", kindRole, in.RoleName, in.Marker, in.MaxItems)
	return out, err
}
