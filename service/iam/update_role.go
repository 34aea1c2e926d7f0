package iam

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// UpdateRole changes the description of a role and how long its sessions may last.
func (i *IAM) UpdateRole(ctx context.Context, in *iam.UpdateRoleInput) (*iam.UpdateRoleOutput, error) {
	return &iam.UpdateRoleOutput{}, i.change(ctx, "iam:UpdateRole", kindRole, in.RoleName, func(tx *store.Tx, e *entity) error {
		e.Description, e.MaxSession = api.Or(in.Description, e.Description), api.Or(in.MaxSessionDuration, e.MaxSession)
		return update(ctx, tx, e)
	})
}
