package iam

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// CreatePolicyVersion gives a managed policy a new version, which may become the default.
func (i *IAM) CreatePolicyVersion(ctx context.Context, in *iam.CreatePolicyVersionInput) (*iam.CreatePolicyVersionOutput, error) {
	call := api.CallFrom(ctx)
	out := new(iam.CreatePolicyVersionOutput)
	err := i.change(ctx, "iam:CreatePolicyVersion", kindPolicy, in.PolicyArn, func(tx *store.Tx, e *entity) error {
		if err := check(in.PolicyDocument, policy.Identity, "PolicySize", mostPolicy); err != nil {
			return err
		}
		q := rows.New(tx)
		list, err := q.ListPolicyVersions(ctx, e.ID)
		if err != nil {
			return err
		}
		if len(list) >= mostVersions {
			// source: aws
			return iam.ErrLimitExceededException("A managed policy can have up to %d versions. "+
				"Before you create a new version, you must delete an existing version.", mostVersions)
		}
		e.Versions++
		v := rows.IamPolicyVersion{Policy: e.ID, Version: e.Versions, Document: in.PolicyDocument, Created: call.Time.UnixMilli()}
		if err := q.PutPolicyVersion(ctx, rows.PutPolicyVersionParams(v)); err != nil {
			return err
		}
		if api.Or(in.SetAsDefault, false) {
			e.Version = v.Version
		}
		e.Updated = v.Created
		out.PolicyVersion = policyVersion(e, &v)
		return update(ctx, tx, e)
	})
	return out, err
}
