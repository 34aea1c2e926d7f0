package iam

import (
	"context"

	"github.com/vennel/vennel/api/iam"
)

// CreateInstanceProfile makes an instance profile.
func (i *IAM) CreateInstanceProfile(ctx context.Context, in *iam.CreateInstanceProfileInput) (*iam.CreateInstanceProfileOutput, error) {
	e := newEntity(ctx, kindProfile, in.InstanceProfileName, in.Path)
	if err := allowNew(ctx, "iam:CreateInstanceProfile", e, in.Tags); err != nil {
		return nil, err
	}
	return &iam.CreateInstanceProfileOutput{InstanceProfile: iam.InstanceProfile{
		Path: e.Path, InstanceProfileName: e.Name, InstanceProfileId: e.ID, Arn: entityARN(e), CreateDate: when(e.Created), Roles: []iam.Role{},
		Tags: in.Tags,
	}}, i.create(ctx, e, in.Tags)
}
