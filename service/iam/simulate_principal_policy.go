package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// SimulatePrincipalPolicy says what the policies of a user, group or role, and further ones of the
// request, would make of some actions.
func (i *IAM) SimulatePrincipalPolicy(ctx context.Context, in *iam.SimulatePrincipalPolicyInput) (*iam.SimulatePrincipalPolicyOutput, error) {
	out := new(iam.SimulatePrincipalPolicyOutput)
	err := i.readPrincipal(ctx, "iam:SimulatePrincipalPolicy", in.PolicySourceArn, func(g *grants) (err error) {
		out.EvaluationResults, out.Marker, out.IsTruncated, err = i.simulation(g).answer(&iam.SimulateCustomPolicyInput{
			PolicyInputList: in.PolicyInputList, PermissionsBoundaryPolicyInputList: in.PermissionsBoundaryPolicyInputList,
			ActionNames: in.ActionNames, ResourceArns: in.ResourceArns, ResourcePolicy: in.ResourcePolicy, ResourceOwner: in.ResourceOwner,
			CallerArn: in.CallerArn, ContextEntries: in.ContextEntries, MaxItems: in.MaxItems, Marker: in.Marker,
		})
		return err
	})
	return out, err
}
