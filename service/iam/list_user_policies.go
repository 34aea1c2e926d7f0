package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// ListUserPolicies lists the names of the inline policies of a user.
func (i *IAM) ListUserPolicies(ctx context.Context, in *iam.ListUserPoliciesInput) (*iam.ListUserPoliciesOutput, error) {
	out := new(iam.ListUserPoliciesOutput)
	var err error
	out.PolicyNames, out.Marker, out.IsTruncated, err = i.listInline(ctx, "iam:ListUserPolicies", kindUser, in.UserName, in.Marker, in.MaxItems)
	return out, err
}
