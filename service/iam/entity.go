package iam

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	vocabulary "github.com/vennel/vennel/api/iam"
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

// AWS's words for the kinds, in messages.
var kindWords = map[string]string{
	kindUser: "User", kindGroup: "Group", kindRole: "Role", kindPolicy: "Policy", kindProfile: "Instance Profile",
}

// exists is the error for a name that is taken. source: aws
func exists(kind, name string) error {
	return vocabulary.ErrEntityAlreadyExistsException("%s with name %s already exists.", kindWords[kind], name)
}

// missing is the error for a name that nothing has. source: aws
func missing(kind, name string) error {
	article := "The " + kind
	if kind == kindProfile {
		article = "Instance Profile"
	}
	return vocabulary.ErrNoSuchEntityException("%s with name %s cannot be found.", article, name)
}

// must reads an entity by name, inside the caller's transaction, or refuses.
func must(ctx context.Context, tx *store.Tx, account, kind, name string) (*rows.IamEntity, error) {
	e, ok, err := find(ctx, tx, account, kind, name)
	if err == nil && !ok {
		err = missing(kind, name)
	}
	return e, err
}

// allow asks whether the caller may do an action to an entity, there or not, and gives its row when
// it is there.
func allow(ctx context.Context, tx *store.Tx, action, kind, name string, about ...About) (*rows.IamEntity, error) {
	account := api.CallFrom(ctx).Account
	e, ok, err := find(ctx, tx, account, kind, name)
	if err != nil {
		return nil, err
	}
	arn := arnOf(account, kind, "/", name)
	if ok {
		arn = entityARN(e)
		tags, err := tagsOf(ctx, tx, e)
		if err != nil {
			return nil, err
		}
		about = append(about, ResourceTags(tags))
	}
	if err := Allow(ctx, action, arn, about...); err != nil {
		return nil, err
	}
	if !ok {
		return nil, missing(kind, name)
	}
	return e, nil
}

// tagsOf gives an entity's tags.
func tagsOf(ctx context.Context, tx *store.Tx, e *rows.IamEntity) (map[string]string, error) {
	list, err := rows.New(tx).ListTags(ctx, rows.ListTagsParams{Account: e.Account, Kind: e.Kind, Owner: e.Key})
	tags := make(map[string]string, len(list))
	for _, t := range list {
		tags[t.Name] = t.Value
	}
	return tags, err
}

// putTags adds tags to an entity.
func putTags(ctx context.Context, tx *store.Tx, account, kind, owner string, tags []vocabulary.Tag) error {
	for _, t := range tags {
		err := rows.New(tx).PutTag(ctx, rows.PutTagParams{Account: account, Kind: kind, Owner: owner, Name: t.Key, Value: t.Value})
		if err != nil {
			return err
		}
	}
	return nil
}

// tagMap is the tags of a request, for conditions.
func tagMap(tags []vocabulary.Tag) map[string]string {
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		out[t.Key] = t.Value
	}
	return out
}

// when is a time of a row as answers have it.
func when(ms int64) time.Time { return time.UnixMilli(ms).UTC().Truncate(time.Second) }

// check refuses a policy text that is none.
func check(text string, kind policy.Kind) error {
	_, err := policy.Parse([]byte(text), kind)
	if e, ok := errors.AsType[*policy.SyntaxError](err); ok {
		return vocabulary.ErrMalformedPolicyDocumentException("%s", e.Message)
	}
	return err
}
