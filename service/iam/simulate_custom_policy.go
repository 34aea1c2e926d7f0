package iam

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/policy"
)

// SimulateCustomPolicy says what policies of the request would make of some actions.
func (i *IAM) SimulateCustomPolicy(ctx context.Context, in *iam.SimulateCustomPolicyInput) (*iam.SimulateCustomPolicyOutput, error) {
	account := api.CallFrom(ctx).Account
	if err := Allow(ctx, "iam:SimulateCustomPolicy", "*"); err != nil {
		return nil, err
	}
	out := new(iam.SimulateCustomPolicyOutput)
	var err error
	s := &simulation{principal: policy.Principal{Type: policy.User, Account: account}}
	out.EvaluationResults, out.Marker, out.IsTruncated, err = s.answer(in)
	return out, err
}
