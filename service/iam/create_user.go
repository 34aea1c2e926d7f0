package iam

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// CreateUser makes a user.
func (i *IAM) CreateUser(ctx context.Context, in *iam.CreateUserInput) (*iam.CreateUserOutput, error) {
	call := api.CallFrom(ctx)
	path, boundary := api.Or(in.Path, "/"), api.Or(in.PermissionsBoundary, "")
	about := []About{RequestTags(tagMap(in.Tags))}
	if boundary != "" {
		about = append(about, Key("iam:permissionsboundary", boundary))
	}
	if err := Allow(ctx, "iam:CreateUser", arnOf(call.Account, kindUser, path, in.UserName), about...); err != nil {
		return nil, err
	}
	id := newID(prefixUser, 17)
	out := new(iam.CreateUserOutput)
	err := i.db.Update(ctx, func(tx *store.Tx) error {
		if boundary != "" {
			if _, err := document(ctx, rows.New(tx), call.Account, boundary); err != nil {
				return missingPolicy(boundary)
			}
		}
		n, err := rows.New(tx).PutEntity(ctx, rows.PutEntityParams{
			Account: call.Account, Kind: kindUser, Key: key(in.UserName), Name: in.UserName, Path: path, ID: id,
			Created: call.Time.UnixMilli(), Boundary: boundary,
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return exists(kindUser, in.UserName)
		}
		if err := putTags(ctx, tx, call.Account, kindUser, key(in.UserName), in.Tags); err != nil {
			return err
		}
		tx.Notify(topic, call.Account)
		e, err := must(ctx, tx, call.Account, kindUser, in.UserName)
		if err != nil {
			return err
		}
		out.User, err = user(ctx, tx, e)
		return err
	})
	return out, err
}

// user is a user as answers have it.
func user(ctx context.Context, tx *store.Tx, e *rows.IamEntity) (*iam.User, error) {
	tags, err := tagList(ctx, tx, e)
	return &iam.User{
		Path: e.Path, UserName: e.Name, UserId: e.ID, Arn: entityARN(e), CreateDate: when(e.Created),
		PermissionsBoundary: boundary(e), Tags: tags,
	}, err
}

// boundary is an entity's permissions boundary as answers have it.
func boundary(e *rows.IamEntity) *iam.AttachedPermissionsBoundary {
	if e.Boundary == "" {
		return nil
	}
	return &iam.AttachedPermissionsBoundary{PermissionsBoundaryType: new("Policy"), PermissionsBoundaryArn: &e.Boundary}
}

// tagList is an entity's tags as answers have them, or nil without any.
func tagList(ctx context.Context, tx *store.Tx, e *rows.IamEntity) (out []iam.Tag, err error) {
	list, err := rows.New(tx).ListTags(ctx, rows.ListTagsParams{Account: e.Account, Kind: e.Kind, Owner: e.Key})
	for _, t := range list {
		out = append(out, iam.Tag{Key: t.Name, Value: t.Value})
	}
	return out, err
}

// missingPolicy is the error for a managed policy that there is not. source: aws
func missingPolicy(arn string) error {
	return iam.ErrNoSuchEntityException("Policy %s does not exist or is not attachable.", arn)
}
