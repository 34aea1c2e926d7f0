package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// ListAttachedGroupPolicies lists the managed policies of a group.
func (i *IAM) ListAttachedGroupPolicies(ctx context.Context, in *iam.ListAttachedGroupPoliciesInput) (*iam.ListAttachedGroupPoliciesOutput, error) {
	out := new(iam.ListAttachedGroupPoliciesOutput)
	var err error
	out.AttachedPolicies, out.Marker, out.IsTruncated, err = i.listAttached(
		ctx, "iam:ListAttachedGroupPolicies", kindGroup, in.GroupName, in.PathPrefix, in.Marker, in.MaxItems)
	return out, err
}
