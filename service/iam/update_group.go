package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// UpdateGroup gives a group another name or path. What belongs to it stays.
func (i *IAM) UpdateGroup(ctx context.Context, in *iam.UpdateGroupInput) (*iam.UpdateGroupOutput, error) {
	const action = "iam:UpdateGroup"
	return &iam.UpdateGroupOutput{}, i.change(ctx, action, kindGroup, in.GroupName, func(tx *store.Tx, e *entity) error {
		return rename(ctx, tx, action, e, in.NewGroupName, in.NewPath)
	})
}
