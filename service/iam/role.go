package iam

import (
	"context"
	"time"

	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// Role is what other services may know of a role.
type Role struct {
	Name, ARN, ID string
	Trust         string
	MaxSession    time.Duration
	account       string
}

// FindRole reads a role of an account by name, inside the caller's transaction.
func FindRole(ctx context.Context, tx *store.Tx, account, name string) (*Role, bool, error) {
	e, ok, err := find(ctx, tx, account, kindRole, name)
	if !ok {
		return nil, false, err
	}
	return newRole(e), true, nil
}

// newRole makes a Role of its entity.
func newRole(e *entity) *Role {
	return &Role{
		Name: e.Name, ARN: entityARN(e), ID: e.ID, Trust: e.Trust, MaxSession: time.Duration(e.MaxSession) * time.Second, account: e.Account,
	}
}

// Trusts asks whether a role's trust policy lets a service assume it, on behalf of what it acts
// for. It says why not.
func (r *Role) Trusts(service, sourceARN, sourceAccount string) (ok bool, why string, err error) {
	trust, err := policy.Parse([]byte(r.Trust), policy.Trust)
	if err != nil {
		return false, "", err
	}
	request := &policy.Request{
		Action: "sts:AssumeRole", Resource: r.ARN, ResourceAccount: r.account,
		Principal: policy.Principal{Type: policy.Service, Names: []string{service}},
	}
	request.Context.Set("aws:SourceArn", sourceARN)
	request.Context.Set("aws:SourceAccount", sourceAccount)
	d := policy.Evaluate(request, &policy.Policies{Resource: []policy.Attached{{Name: r.ARN, Policy: trust}}})
	return d.Allowed, d.Explain(), nil
}
