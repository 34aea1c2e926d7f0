package iam

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// GetAccountSummary counts what the account has, and tells the quotas. What is not built here counts as
// none.
func (i *IAM) GetAccountSummary(ctx context.Context, _ *iam.GetAccountSummaryInput) (*iam.GetAccountSummaryOutput, error) {
	account := api.CallFrom(ctx).Account
	if err := Allow(ctx, "iam:GetAccountSummary", "*"); err != nil {
		return nil, err
	}
	out := new(iam.GetAccountSummaryOutput)
	return out, i.db.View(ctx, func(tx *store.Tx) error {
		counts, err := countEntities(ctx, tx, account)
		if err != nil {
			return err
		}
		versions, err := rows.New(tx).CountVersions(ctx, account)
		out.SummaryMap = map[string]int64{
			"AccessKeysPerUserQuota": mostKeys, "AssumeRolePolicySizeQuota": mostTrust, "AttachedPoliciesPerGroupQuota": mostAttached,
			"AttachedPoliciesPerRoleQuota": mostAttached, "AttachedPoliciesPerUserQuota": mostAttached, "GroupsPerUserQuota": mostGroups,
			"PolicySizeQuota": mostPolicy, "PolicyVersionsInUse": versions, "PolicyVersionsInUseQuota": 10000, "VersionsPerPolicyQuota": mostVersions,
			"AccountAccessKeysPresent": 0, "AccountMFAEnabled": 0, "AccountPasswordPresent": 0, "AccountSigningCertificatesPresent": 0,
			"GlobalEndpointTokenVersion": 1, "MFADevices": 0, "MFADevicesInUse": 0, "Providers": 0, "ServerCertificates": 0,
			"ServerCertificatesQuota": 20, "SigningCertificatesPerUserQuota": 2,
		}
		for name, k := range kinds {
			out.SummaryMap[k.quotaOf], out.SummaryMap[k.quotaOf+"Quota"] = counts[name], k.quota
			if k.inline > 0 {
				out.SummaryMap[k.label+"PolicySizeQuota"] = int64(k.inline)
			}
		}
		return err
	})
}
