package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// ListGroupPolicies lists the names of the inline policies of a group.
func (i *IAM) ListGroupPolicies(ctx context.Context, in *iam.ListGroupPoliciesInput) (*iam.ListGroupPoliciesOutput, error) {
	out := new(iam.ListGroupPoliciesOutput)
	var err error
	out.PolicyNames, out.Marker, out.IsTruncated, err = i.listInline(ctx, "iam:ListGroupPolicies", kindGroup, in.GroupName, in.Marker, in.MaxItems)
	return out, err
}
