package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// GetContextKeysForPrincipalPolicy lists the condition keys that the policies of a user, group or role
// read, and further ones of the request.
func (i *IAM) GetContextKeysForPrincipalPolicy(ctx context.Context, in *iam.GetContextKeysForPrincipalPolicyInput) (*iam.GetContextKeysForPrincipalPolicyOutput, error) {
	out := new(iam.GetContextKeysForPrincipalPolicyOutput)
	err := i.readPrincipal(ctx, "iam:GetContextKeysForPrincipalPolicy", in.PolicySourceArn, func(g *grants) error {
		s := i.simulation(g)
		err := s.read(&iam.SimulateCustomPolicyInput{PolicyInputList: in.PolicyInputList})
		out.ContextKeyNames = contextKeys(s.policies.Identity)
		return err
	})
	return out, err
}
