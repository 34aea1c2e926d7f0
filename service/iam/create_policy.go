package iam

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// CreatePolicy makes a managed policy with its first version.
func (i *IAM) CreatePolicy(ctx context.Context, in *iam.CreatePolicyInput) (*iam.CreatePolicyOutput, error) {
	e := newEntity(ctx, kindPolicy, in.PolicyName, in.Path)
	e.Description, e.Version, e.Versions = api.Or(in.Description, ""), 1, 1
	if err := allowNew(ctx, "iam:CreatePolicy", e, in.Tags); err != nil {
		return nil, err
	}
	if err := check(in.PolicyDocument, policy.Identity, "PolicySize", mostPolicy); err != nil {
		return nil, err
	}
	out := managedPolicy(e, usage{})
	out.Tags = in.Tags
	return &iam.CreatePolicyOutput{Policy: out}, i.create(ctx, e, in.Tags, func(tx *store.Tx) error {
		return rows.New(tx).PutPolicyVersion(ctx, rows.PutPolicyVersionParams{Policy: e.ID, Version: 1, Document: in.PolicyDocument, Created: e.Created})
	})
}
