package iam

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// GetPolicy gives a managed policy, without its text.
func (i *IAM) GetPolicy(ctx context.Context, in *iam.GetPolicyInput) (*iam.GetPolicyOutput, error) {
	out := new(iam.GetPolicyOutput)
	err := i.read(ctx, "iam:GetPolicy", kindPolicy, in.PolicyArn, func(tx *store.Tx, e *entity) error {
		u, err := usageOf(ctx, tx, api.CallFrom(ctx).Account)
		if err != nil {
			return err
		}
		out.Policy = managedPolicy(e, u)
		out.Policy.Description = api.Given(e.Description)
		out.Policy.Tags, err = tagList(ctx, tx, e)
		return err
	})
	return out, err
}
