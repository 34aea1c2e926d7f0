package iam

import (
	"context"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/store"
)

// What each answer has of an entity differs from operation to operation; the functions here give
// what all have, and the operations add the rest. source: aws

// user is a user as lists have it.
func user(e *entity) iam.User {
	return iam.User{Path: e.Path, UserName: e.Name, UserId: e.ID, Arn: entityARN(e), CreateDate: when(e.Created)}
}

// group is a group.
func group(e *entity) iam.Group {
	return iam.Group{Path: e.Path, GroupName: e.Name, GroupId: e.ID, Arn: entityARN(e), CreateDate: when(e.Created)}
}

// role is a role as it stands in an instance profile.
func role(e *entity) iam.Role {
	return iam.Role{
		Path: e.Path, RoleName: e.Name, RoleId: e.ID, Arn: entityARN(e), CreateDate: when(e.Created), AssumeRolePolicyDocument: new(encode(e.Trust)),
	}
}

// listedRole is a role as lists have it.
func listedRole(e *entity) iam.Role {
	r := role(e)
	r.Description, r.MaxSessionDuration = api.Given(e.Description), &e.MaxSession
	return r
}

// lastUsed is when a role was last used, an empty structure for never.
func lastUsed(e *entity) *iam.RoleLastUsed {
	var at *time.Time
	if e.Used != 0 {
		at = new(when(e.Used))
	}
	return &iam.RoleLastUsed{LastUsedDate: at, Region: api.Given(e.UsedRegion)}
}

// profile is an instance profile with its role.
func profile(ctx context.Context, tx *store.Tx, e *entity) (iam.InstanceProfile, error) {
	roles, err := members(ctx, tx, e.ID, newPager(nil, nil))
	return iam.InstanceProfile{
		Path: e.Path, InstanceProfileName: e.Name, InstanceProfileId: e.ID, Arn: entityARN(e), CreateDate: when(e.Created), Roles: each(roles, role),
	}, err
}

// profiles are instance profiles with their roles.
func profiles(ctx context.Context, tx *store.Tx, list []entity) ([]iam.InstanceProfile, error) {
	out := make([]iam.InstanceProfile, len(list))
	for n := range list {
		var err error
		if out[n], err = profile(ctx, tx, &list[n]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
