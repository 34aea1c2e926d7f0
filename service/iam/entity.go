package iam

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// key is the form of a name under which it is unique.
func key(name string) string { return strings.ToLower(name) }

// entityARN is the name of an entity: its kind, path and name.
func entityARN(e *rows.IamEntity) string { return arnOf(e.Account, e.Kind, e.Path, e.Name) }

// arnOf is the name that an entity has or would have.
func arnOf(account, kind, path, name string) string {
	if path == "" {
		path = "/"
	}
	return api.ARN("iam", "", account, kind+path+name)
}

// find reads an entity by name.
func find(ctx context.Context, tx *store.Tx, account, kind, name string) (*rows.IamEntity, bool, error) {
	e, err := rows.New(tx).GetEntity(ctx, rows.GetEntityParams{Account: account, Kind: kind, Key: key(name)})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return &e, err == nil, err
}

// Role is what other services may know of a role.
type Role struct {
	Name, ARN, ID string
	Trust         string
	MaxSession    time.Duration
	key           string
	account       string
}

// FindRole reads a role of an account by name, inside the caller's transaction.
func FindRole(ctx context.Context, tx *store.Tx, account, name string) (*Role, bool, error) {
	e, ok, err := find(ctx, tx, account, kindRole, name)
	if !ok {
		return nil, false, err
	}
	return &Role{
		Name: e.Name, ARN: entityARN(e), ID: e.ID, Trust: e.Trust, MaxSession: time.Duration(e.MaxSession) * time.Second,
		key: e.Key, account: e.Account,
	}, true, nil
}

// PolicyText gives the text of a managed policy that may serve as a session policy.
func PolicyText(ctx context.Context, tx *store.Tx, account, arn string) (string, error) {
	text, err := document(ctx, rows.New(tx), account, arn)
	if err != nil {
		return "", api.Errorf(api.Invalid, "The policy %s does not exist or is not attachable.", arn)
	}
	return text, nil
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

// NewSession makes credentials for a session of a role. Whether the role may be assumed is the
// caller's question.
func (i *IAM) NewSession(r *Role, spec SessionSpec) (*Credentials, error) {
	s := session{Account: r.account, Kind: kindRole, Owner: r.key, ID: r.ID, Name: spec.Name, Policies: spec.Policies, Tags: spec.Tags, Source: spec.Source}
	return i.seal(s, time.Now(), spec.Duration)
}

// NewUserSession makes credentials for a session of the calling user, as GetSessionToken does.
func (i *IAM) NewUserSession(p *Principal, life time.Duration) (*Credentials, error) {
	s := session{Account: p.Account, Kind: kindUser, Owner: key(p.name), ID: p.ID}
	return i.seal(s, time.Now(), life)
}
