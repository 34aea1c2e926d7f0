package iam

import (
	"context"
	"slices"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/service/iam/managed"
	"github.com/vennel/vennel/store"
)

// ListPolicies lists managed policies, the account's own and AWS's.
func (i *IAM) ListPolicies(ctx context.Context, in *iam.ListPoliciesInput) (*iam.ListPoliciesOutput, error) {
	call := api.CallFrom(ctx)
	if err := Allow(ctx, "iam:ListPolicies", "*"); err != nil {
		return nil, err
	}
	scope, prefix := api.Or(in.Scope, iam.PolicyScopeTypeAll), api.Or(in.PathPrefix, "/")
	out := new(iam.ListPoliciesOutput)
	err := i.db.View(ctx, func(tx *store.Tx) error {
		u, err := usageOf(ctx, tx, call.Account)
		if err != nil {
			return err
		}
		var list []entity
		if scope != iam.PolicyScopeTypeLocal {
			for _, p := range managed.All() {
				list = append(list, *awsPolicy(&p))
			}
		}
		if scope != iam.PolicyScopeTypeAWS {
			own, err := rows.New(tx).ListEntities(ctx, rows.ListEntitiesParams{
				Account: call.Account, Kind: kindPolicy, PathFrom: prefix, PathTo: prefix + last, Most: int32(kinds[kindPolicy].quota),
			})
			if err != nil {
				return err
			}
			list = append(list, own...)
		}
		list = slices.DeleteFunc(list, func(e entity) bool {
			arn := entityARN(&e)
			return !strings.HasPrefix(e.Path, prefix) ||
				api.Or(in.OnlyAttached, false) && u.attached[arn] == 0 ||
				api.Or(in.PolicyUsageFilter, "") == iam.PolicyUsageTypePermissionsPolicy && u.attached[arn] == 0 ||
				api.Or(in.PolicyUsageFilter, "") == iam.PolicyUsageTypePermissionsBoundary && u.bounded[arn] == 0
		})
		slices.SortFunc(list, func(a, b entity) int { return strings.Compare(policyKey(&a), policyKey(&b)) })
		list, out.Marker, out.IsTruncated = page(newPager(in.Marker, in.MaxItems), list, policyKey)
		out.Policies = each(list, func(e *entity) iam.Policy { return *managedPolicy(e, u) })
		return nil
	})
	return out, err
}

// policyKey orders policies: the account's own first, each by name.
func policyKey(e *entity) string {
	if e.Account == awsAccount {
		return "aws/" + e.Key
	}
	return "/" + e.Key
}
