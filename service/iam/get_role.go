package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// GetRole gives a role.
func (i *IAM) GetRole(ctx context.Context, in *iam.GetRoleInput) (*iam.GetRoleOutput, error) {
	out := new(iam.GetRoleOutput)
	err := i.read(ctx, "iam:GetRole", kindRole, in.RoleName, func(tx *store.Tx, e *entity) error {
		tags, err := tagList(ctx, tx, e)
		out.Role = listedRole(e)
		out.Role.Tags, out.Role.PermissionsBoundary, out.Role.RoleLastUsed = orNone(tags), boundary(e), lastUsed(e)
		return err
	})
	return out, err
}
