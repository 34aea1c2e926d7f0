package fleet

import (
	"context"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/fleet/internal/rows"
	"github.com/vennel/vennel/store"
)

// UpdateManagedInstanceRole gives a node another role, from its next credentials on.
func (f *Fleet) UpdateManagedInstanceRole(ctx context.Context, in *ssm.UpdateManagedInstanceRoleInput) (*ssm.UpdateManagedInstanceRoleOutput, error) {
	call := api.CallFrom(ctx)
	err := f.db.Update(ctx, func(tx *store.Tx) error {
		tags, err := f.Tags(ctx, tx, call.Account, call.Region, in.InstanceId)
		if err != nil {
			return err
		}
		arn := ARN(call.Region, call.Account, in.InstanceId)
		if err := iam.Allow(ctx, "ssm:UpdateManagedInstanceRole", arn, iam.ResourceTags(tags)); err != nil {
			return err
		}
		if err := allowRole(ctx, tx, roleName(in.IamRole)); err != nil {
			return err
		}
		n, err := rows.New(tx).SetNodeRole(ctx, rows.SetNodeRoleParams{
			Role: in.IamRole, ID: in.InstanceId, Account: call.Account, Region: call.Region,
		})
		if err == nil && n == 0 {
			err = noInstance(in.InstanceId)
		}
		return err
	})
	return &ssm.UpdateManagedInstanceRoleOutput{}, err
}

// roleName is a role's name without the path that users may write before it, as service-role/NAME.
func roleName(role string) string { return role[strings.LastIndexByte(role, '/')+1:] }
