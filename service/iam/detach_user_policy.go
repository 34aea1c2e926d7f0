package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// DetachUserPolicy takes a managed policy from a user.
func (i *IAM) DetachUserPolicy(ctx context.Context, in *iam.DetachUserPolicyInput) (*iam.DetachUserPolicyOutput, error) {
	return &iam.DetachUserPolicyOutput{}, i.detach(ctx, "iam:DetachUserPolicy", kindUser, in.UserName, in.PolicyArn)
}
