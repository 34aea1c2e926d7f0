package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// UpdateRoleDescription changes the description of a role.
func (i *IAM) UpdateRoleDescription(ctx context.Context, in *iam.UpdateRoleDescriptionInput) (*iam.UpdateRoleDescriptionOutput, error) {
	out := new(iam.UpdateRoleDescriptionOutput)
	err := i.change(ctx, "iam:UpdateRoleDescription", kindRole, in.RoleName, func(tx *store.Tx, e *entity) error {
		e.Description = in.Description
		r := role(e)
		r.Description = &e.Description
		out.Role = &r
		return update(ctx, tx, e)
	})
	return out, err
}
