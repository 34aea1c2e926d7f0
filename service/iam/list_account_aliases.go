package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// ListAccountAliases lists the names of the account's sign-in page, of which there are none: there is no
// such page.
func (i *IAM) ListAccountAliases(ctx context.Context, _ *iam.ListAccountAliasesInput) (*iam.ListAccountAliasesOutput, error) {
	if err := Allow(ctx, "iam:ListAccountAliases", "*"); err != nil {
		return nil, err
	}
	return &iam.ListAccountAliasesOutput{AccountAliases: []string{}, IsTruncated: new(false)}, nil
}
