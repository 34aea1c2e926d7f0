package iam

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
)

// CreateUser makes a user.
func (i *IAM) CreateUser(ctx context.Context, in *iam.CreateUserInput) (*iam.CreateUserOutput, error) {
	e := newEntity(ctx, kindUser, in.UserName, in.Path)
	e.Boundary = api.Or(in.PermissionsBoundary, "")
	if err := allowNew(ctx, "iam:CreateUser", e, in.Tags); err != nil {
		return nil, err
	}
	out := user(e)
	out.Tags, out.PermissionsBoundary = in.Tags, boundary(e)
	return &iam.CreateUserOutput{User: &out}, i.create(ctx, e, in.Tags)
}
