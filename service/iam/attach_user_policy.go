package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// AttachUserPolicy attaches a managed policy to a user.
func (i *IAM) AttachUserPolicy(ctx context.Context, in *iam.AttachUserPolicyInput) (*iam.AttachUserPolicyOutput, error) {
	return &iam.AttachUserPolicyOutput{}, i.attach(ctx, "iam:AttachUserPolicy", kindUser, in.UserName, in.PolicyArn)
}
