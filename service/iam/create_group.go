package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// CreateGroup makes a group.
func (i *IAM) CreateGroup(ctx context.Context, in *iam.CreateGroupInput) (*iam.CreateGroupOutput, error) {
	e := newEntity(ctx, kindGroup, in.GroupName, in.Path)
	if err := allowNew(ctx, "iam:CreateGroup", e, nil); err != nil {
		return nil, err
	}
	return &iam.CreateGroupOutput{Group: group(e)}, i.create(ctx, e, nil)
}
