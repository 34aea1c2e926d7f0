package iam

import (
	"context"
	"net/url"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// sessionSeconds is how long a role's sessions may last unless the role says more. source: model
const sessionSeconds = 3600

// CreateRole makes a role.
func (i *IAM) CreateRole(ctx context.Context, in *iam.CreateRoleInput) (*iam.CreateRoleOutput, error) {
	call := api.CallFrom(ctx)
	path, bound := api.Or(in.Path, "/"), api.Or(in.PermissionsBoundary, "")
	about := []About{RequestTags(tagMap(in.Tags))}
	if bound != "" {
		about = append(about, Key("iam:permissionsboundary", bound))
	}
	if err := Allow(ctx, "iam:CreateRole", arnOf(call.Account, kindRole, path, in.RoleName), about...); err != nil {
		return nil, err
	}
	if err := check(in.AssumeRolePolicyDocument, policy.Trust); err != nil {
		return nil, err
	}
	id := newID(prefixRole, 17)
	out := new(iam.CreateRoleOutput)
	err := i.db.Update(ctx, func(tx *store.Tx) error {
		if bound != "" {
			if _, err := document(ctx, rows.New(tx), call.Account, bound); err != nil {
				return missingPolicy(bound)
			}
		}
		n, err := rows.New(tx).PutEntity(ctx, rows.PutEntityParams{
			Account: call.Account, Kind: kindRole, Key: key(in.RoleName), Name: in.RoleName, Path: path, ID: id,
			Created: call.Time.UnixMilli(), Description: api.Or(in.Description, ""), Boundary: bound, Trust: in.AssumeRolePolicyDocument,
			MaxSession: api.Or(in.MaxSessionDuration, sessionSeconds),
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return exists(kindRole, in.RoleName)
		}
		if err := putTags(ctx, tx, call.Account, kindRole, key(in.RoleName), in.Tags); err != nil {
			return err
		}
		tx.Notify(topic, call.Account)
		e, err := must(ctx, tx, call.Account, kindRole, in.RoleName)
		if err != nil {
			return err
		}
		r, err := role(ctx, tx, e)
		if err == nil {
			out.Role = *r
		}
		return err
	})
	return out, err
}

// role is a role as answers have it. Policy documents travel URL-encoded. source: model
func role(ctx context.Context, tx *store.Tx, e *rows.IamEntity) (*iam.Role, error) {
	tags, err := tagList(ctx, tx, e)
	return &iam.Role{
		Path: e.Path, RoleName: e.Name, RoleId: e.ID, Arn: entityARN(e), CreateDate: when(e.Created),
		AssumeRolePolicyDocument: new(url.QueryEscape(e.Trust)), Description: api.Given(e.Description), MaxSessionDuration: &e.MaxSession,
		PermissionsBoundary: boundary(e), Tags: tags,
	}, err
}
