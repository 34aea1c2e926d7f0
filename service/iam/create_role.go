package iam

import (
	"context"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/policy"
)

// sessionSeconds is how long a role's sessions may last unless the role says more. source: model
const sessionSeconds = 3600

// mostTrust is how long a trust policy may be. source: userguide, quotas
const mostTrust = 2048

// CreateRole makes a role.
func (i *IAM) CreateRole(ctx context.Context, in *iam.CreateRoleInput) (*iam.CreateRoleOutput, error) {
	e := newEntity(ctx, kindRole, in.RoleName, in.Path)
	e.Description, e.Boundary, e.Trust = api.Or(in.Description, ""), api.Or(in.PermissionsBoundary, ""), in.AssumeRolePolicyDocument
	e.MaxSession = api.Or(in.MaxSessionDuration, sessionSeconds)
	if err := allowNew(ctx, "iam:CreateRole", e, in.Tags); err != nil {
		return nil, err
	}
	if strings.HasPrefix(e.Path, serviceRoles) {
		return nil, api.Errorf(api.Invalid, "The path %s is reserved for service-linked roles", serviceRoles) // source: guess
	}
	if err := check(e.Trust, policy.Trust, "ACLSizePerRole", mostTrust); err != nil {
		return nil, err
	}
	out := role(e)
	out.Tags, out.PermissionsBoundary = in.Tags, boundary(e)
	return &iam.CreateRoleOutput{Role: out}, i.create(ctx, e, in.Tags)
}
