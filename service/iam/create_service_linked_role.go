package iam

import (
	"context"
	"errors"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/store"
)

// CreateServiceLinkedRole makes the role with which one of AWS's services acts in the account.
func (i *IAM) CreateServiceLinkedRole(ctx context.Context, in *iam.CreateServiceLinkedRoleInput) (*iam.CreateServiceLinkedRoleOutput, error) {
	linked, ok := linkedRoles[in.AWSServiceName]
	e := newEntity(ctx, kindRole, linked.name, new(serviceRoles+in.AWSServiceName+"/"))
	e.Description, e.MaxSession = api.Or(in.Description, ""), sessionSeconds
	e.Trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["` + in.AWSServiceName + `"]},"Action":["sts:AssumeRole"]}]}`
	if err := Allow(ctx, "iam:CreateServiceLinkedRole", entityARN(e), Key("iam:awsservicename", in.AWSServiceName)); err != nil {
		return nil, err
	}
	switch {
	case !ok:
		return nil, iam.ErrInvalidInputException("There is no service-linked role for %s", in.AWSServiceName) // source: guess
	case in.CustomSuffix != nil:
		return nil, iam.ErrInvalidInputException("Custom suffix is not allowed for %s", in.AWSServiceName) // source: aws
	}
	out := role(e)
	err := i.create(ctx, e, nil, func(tx *store.Tx) error {
		return rows.New(tx).Attach(ctx, rows.AttachParams{Owner: e.ID, Policy: awsPolicies + linked.policy, Account: e.Account})
	})
	if failed, ok := errors.AsType[*api.Error](err); ok && failed.Code == "EntityAlreadyExists" {
		// source: aws
		err = iam.ErrInvalidInputException("Service role name %s has been taken in this account, please try a different suffix.", e.Name)
	}
	return &iam.CreateServiceLinkedRoleOutput{Role: &out}, err
}

// linkedRole is what AWS gives the role of a service.
type linkedRole struct{ name, policy string }

// linkedRoles are the services that have a role here. source: aws
var linkedRoles = map[string]linkedRole{
	"ssm.amazonaws.com": {name: "AWSServiceRoleForAmazonSSM", policy: "aws-service-role/AmazonSSMServiceRolePolicy"},
}
