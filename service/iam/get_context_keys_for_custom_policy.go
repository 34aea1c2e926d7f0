package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// GetContextKeysForCustomPolicy lists the condition keys that policies of the request read.
func (i *IAM) GetContextKeysForCustomPolicy(ctx context.Context, in *iam.GetContextKeysForCustomPolicyInput) (*iam.GetContextKeysForCustomPolicyOutput, error) {
	if err := Allow(ctx, "iam:GetContextKeysForCustomPolicy", "*"); err != nil {
		return nil, err
	}
	s := new(simulation)
	err := s.read(&iam.SimulateCustomPolicyInput{PolicyInputList: in.PolicyInputList})
	return &iam.GetContextKeysForCustomPolicyOutput{ContextKeyNames: contextKeys(s.policies.Identity)}, err
}
