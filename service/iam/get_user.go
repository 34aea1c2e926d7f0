package iam

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// GetUser gives a user, the caller where none is named.
func (i *IAM) GetUser(ctx context.Context, in *iam.GetUserInput) (*iam.GetUserOutput, error) {
	name, err := userName(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	out := new(iam.GetUserOutput)
	err = i.read(ctx, "iam:GetUser", kindUser, name, func(tx *store.Tx, e *entity) error {
		tags, err := tagList(ctx, tx, e)
		out.User = user(e)
		out.User.Tags, out.User.PermissionsBoundary = orNone(tags), boundary(e)
		return err
	})
	return out, err
}

// userName is the user that a request names, or else the caller.
func userName(ctx context.Context, given *string) (string, error) {
	if given != nil {
		return *given, nil
	}
	if p, ok := api.CallFrom(ctx).Principal.(*Principal); ok && p.name != "" {
		return p.name, nil
	}
	return "", api.Errorf(api.Invalid, "Must specify userName when calling with non-User credentials") // source: aws
}
