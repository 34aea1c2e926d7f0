package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// GetPolicyVersion gives a version of a managed policy with its text.
func (i *IAM) GetPolicyVersion(ctx context.Context, in *iam.GetPolicyVersionInput) (*iam.GetPolicyVersionOutput, error) {
	out := new(iam.GetPolicyVersionOutput)
	err := i.read(ctx, "iam:GetPolicyVersion", kindPolicy, in.PolicyArn, func(tx *store.Tx, e *entity) error {
		v, err := version(ctx, tx, e, in.VersionId)
		if err != nil {
			return err
		}
		out.PolicyVersion = policyVersion(e, v)
		out.PolicyVersion.Document = new(encode(v.Document))
		return nil
	})
	return out, withVersion(err, in.PolicyArn, in.VersionId)
}
