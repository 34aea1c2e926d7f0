package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// mostGroups is how many groups a user may be in. source: userguide, quotas
const mostGroups = 10

// AddUserToGroup makes a user a member of a group; one that is stays so.
func (i *IAM) AddUserToGroup(ctx context.Context, in *iam.AddUserToGroupInput) (*iam.AddUserToGroupOutput, error) {
	return &iam.AddUserToGroupOutput{}, i.change(ctx, "iam:AddUserToGroup", kindGroup, in.GroupName, func(tx *store.Tx, e *entity) error {
		u, err := must(ctx, tx, e.Account, kindUser, in.UserName)
		if err != nil {
			return err
		}
		if err := join(ctx, tx, e, u); err != nil {
			return err
		}
		held, err := rows.New(tx).CountHeld(ctx, u.ID)
		if err == nil && held.Members > mostGroups {
			err = exceeds("GroupsPerUser", mostGroups)
		}
		return err
	})
}
