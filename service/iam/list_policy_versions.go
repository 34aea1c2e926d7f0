package iam

import (
	"context"
	"fmt"
	"math"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// ListPolicyVersions lists the versions of a managed policy, newest first. Of AWS's policies there is
// the default one alone.
func (i *IAM) ListPolicyVersions(ctx context.Context, in *iam.ListPolicyVersionsInput) (*iam.ListPolicyVersionsOutput, error) {
	out := new(iam.ListPolicyVersionsOutput)
	err := i.read(ctx, "iam:ListPolicyVersions", kindPolicy, in.PolicyArn, func(tx *store.Tx, e *entity) error {
		list, err := rows.New(tx).ListPolicyVersions(ctx, e.ID)
		if err == nil && e.Account == awsAccount {
			var v *rows.IamPolicyVersion
			if v, err = version(ctx, tx, e, versionID(e.Version)); err == nil {
				list = []rows.IamPolicyVersion{*v}
			}
		}
		// Keys of a list go up, versions down.
		list, out.Marker, out.IsTruncated = page(newPager(in.Marker, in.MaxItems), list, func(v *rows.IamPolicyVersion) string {
			return fmt.Sprintf("%016x", math.MaxInt64-v.Version)
		})
		out.Versions = each(list, func(v *rows.IamPolicyVersion) iam.PolicyVersion { return *policyVersion(e, v) })
		return err
	})
	return out, err
}
