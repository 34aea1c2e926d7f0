package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// ListAttachedUserPolicies lists the managed policies of a user.
func (i *IAM) ListAttachedUserPolicies(ctx context.Context, in *iam.ListAttachedUserPoliciesInput) (*iam.ListAttachedUserPoliciesOutput, error) {
	out := new(iam.ListAttachedUserPoliciesOutput)
	var err error
	out.AttachedPolicies, out.Marker, out.IsTruncated, err = i.listAttached(
		ctx, "iam:ListAttachedUserPolicies", kindUser, in.UserName, in.PathPrefix, in.Marker, in.MaxItems)
	return out, err
}
