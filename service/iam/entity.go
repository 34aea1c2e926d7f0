package iam

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	vocabulary "github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/service/iam/actions"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// entity is a user, group, role, policy or instance profile. What they share, which is nearly
// everything, is in this file: an operation says what it does to one, and leaves the rest to read,
// change and create.
type entity = rows.IamEntity

// serviceRoles is the path of the roles that belong to AWS's services; only those change them.
const serviceRoles = "/aws-service-role/"

// entityARN is the name of an entity: its kind, path and name.
func entityARN(e *entity) string { return arnOf(e.Account, e.Kind, e.Path, e.Name) }

// arnOf is the name that an entity has or would have.
func arnOf(account, kind, path, name string) string {
	return api.ARN("iam", "", account, kind+path+name)
}

// find reads an entity by name, a policy by its ARN.
func find(ctx context.Context, tx *store.Tx, account, kind, name string) (*entity, bool, error) {
	if kind == kindPolicy {
		return findPolicy(ctx, tx, account, name)
	}
	return row(rows.New(tx).GetEntity(ctx, rows.GetEntityParams{Account: account, Kind: kind, Key: key(name)}))
}

// row says whether there was a row.
func row(e entity, err error) (*entity, bool, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	return &e, err == nil, err
}

// must reads an entity by name, or refuses.
func must(ctx context.Context, tx *store.Tx, account, kind, name string) (*entity, error) {
	e, ok, err := find(ctx, tx, account, kind, name)
	if err == nil && !ok {
		err = missing(kind, name)
	}
	return e, err
}

// allow asks whether the caller may do an action to an entity, there or not, and gives the entity
// when it is there. A refusal is the same in both cases.
func allow(ctx context.Context, tx *store.Tx, action, kind, name string, about ...About) (*entity, error) {
	account := api.CallFrom(ctx).Account
	arn, owner := arnOf(account, kind, "/", name), account
	if kind == kindPolicy {
		var err error
		if owner, err = policyOwner(name); err != nil {
			return nil, err
		}
		arn = name
	}
	known := []About{Named(kinds[kind].resource, name)}
	if owner != account && owner != awsAccount {
		known = append(known, Owner(owner))
	}
	e, ok, err := find(ctx, tx, account, kind, name)
	if err != nil {
		return nil, err
	}
	if ok {
		arn = entityARN(e)
		tags, err := tagsOf(ctx, tx, e.ID)
		if err != nil {
			return nil, err
		}
		known = append(known, ResourceTags(tags))
		if e.Boundary != "" && hasKey(action, "iam:PermissionsBoundary") {
			known = append(known, Key("iam:permissionsboundary", e.Boundary))
		}
	}
	if err := Allow(ctx, action, arn, append(known, about...)...); err != nil {
		return nil, err
	}
	if !ok {
		return nil, missing(kind, name)
	}
	return e, nil
}

// hasKey says whether an action has a condition key.
func hasKey(action, key string) bool {
	a, _ := actions.Lookup(action)
	return slices.ContainsFunc(a.Keys, func(k actions.Key) bool { return k.Name == key })
}

// read does a reading operation on an entity: one transaction, one authorization.
func (i *IAM) read(ctx context.Context, action, kind, name string, do func(tx *store.Tx, e *entity) error) error {
	return i.db.View(ctx, func(tx *store.Tx) error {
		e, err := allow(ctx, tx, action, kind, name)
		if err != nil {
			return err
		}
		return do(tx, e)
	})
}

// change does a writing operation on an entity: one transaction, one authorization. AWS's own
// policies belong to another account, so that nobody is allowed to change them; AWS's own roles are
// for AWS to change.
func (i *IAM) change(ctx context.Context, action, kind, name string, do func(tx *store.Tx, e *entity) error, about ...About) error {
	if kind == kindPolicy && strings.HasPrefix(name, awsPolicies) {
		about = append(about, Owner(awsAccount))
	}
	return i.db.Update(ctx, func(tx *store.Tx) error {
		e, err := allow(ctx, tx, action, kind, name, about...)
		if err != nil {
			return err
		}
		if e.Kind == kindRole && strings.HasPrefix(e.Path, serviceRoles) && !onServiceRoles[action] {
			// source: aws
			return vocabulary.ErrUnmodifiableEntityException(
				"Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", e.Name)
		}
		tx.Notify(topic, e.Account)
		return do(tx, e)
	})
}

// onServiceRoles are the changes that AWS's own roles allow. source: userguide, "Edit a service-linked role description"
var onServiceRoles = map[string]bool{"iam:UpdateRole": true, "iam:UpdateRoleDescription": true, "iam:TagRole": true, "iam:UntagRole": true}

// newEntity is an entity that is to be made by the calling account. It must be called outside of
// transactions.
func newEntity(ctx context.Context, kind, name string, path *string) *entity {
	call := api.CallFrom(ctx)
	now := call.Time.UnixMilli()
	return &entity{
		ID: newID(kinds[kind].prefix, 17), Account: call.Account, Kind: kind, Key: key(name), Name: name, Path: api.Or(path, "/"), Created: now, Updated: now,
	}
}

// allowNew asks whether the caller may make an entity.
func allowNew(ctx context.Context, action string, e *entity, tags []vocabulary.Tag) error {
	about := []About{RequestTags(tagMap(tags))}
	if e.Boundary != "" {
		about = append(about, Key("iam:permissionsboundary", e.Boundary))
	}
	return Allow(ctx, action, entityARN(e), about...)
}

// create writes a new entity, and in the same transaction whatever belongs to it.
func (i *IAM) create(ctx context.Context, e *entity, tags []vocabulary.Tag, more ...func(tx *store.Tx) error) error {
	return i.db.Update(ctx, func(tx *store.Tx) error {
		q := rows.New(tx)
		if e.Boundary != "" {
			if err := attachable(ctx, tx, e.Account, e.Boundary); err != nil {
				return err
			}
		}
		n, err := q.PutEntity(ctx, rows.PutEntityParams(*e))
		if err != nil {
			return err
		}
		if n == 0 {
			return exists(e.Kind, e.Name)
		}
		counts, err := countEntities(ctx, tx, e.Account)
		if err != nil {
			return err
		}
		if k := kinds[e.Kind]; counts[e.Kind] > k.quota {
			return exceeds(k.quotaOf+"PerAccount", k.quota)
		}
		if err := putTags(ctx, tx, e, tags); err != nil {
			return err
		}
		for _, do := range more {
			if err := do(tx); err != nil {
				return err
			}
		}
		tx.Notify(topic, e.Account)
		return nil
	})
}

// countEntities counts an account's entities by kind.
func countEntities(ctx context.Context, tx *store.Tx, account string) (map[string]int64, error) {
	list, err := rows.New(tx).CountEntities(ctx, account)
	counts := map[string]int64{}
	for _, c := range list {
		counts[c.Kind] = c.N
	}
	return counts, err
}

// rename gives an entity another name or path. The caller must be allowed to do so to the new name
// too. source: userguide, "Rename an IAM user"
func rename(ctx context.Context, tx *store.Tx, action string, e *entity, name, path *string) error {
	old := e.Key
	e.Name, e.Path = api.Or(name, e.Name), api.Or(path, e.Path)
	e.Key = key(e.Name)
	if err := Allow(ctx, action, entityARN(e)); err != nil {
		return err
	}
	if e.Key != old {
		if _, taken, err := find(ctx, tx, e.Account, e.Kind, e.Name); err != nil {
			return err
		} else if taken {
			return exists(e.Kind, e.Name)
		}
	}
	return update(ctx, tx, e)
}

// update writes an entity's row.
func update(ctx context.Context, tx *store.Tx, e *entity) error {
	return rows.New(tx).UpdateEntity(ctx, rows.UpdateEntityParams{
		ID: e.ID, Key: e.Key, Name: e.Name, Path: e.Path, Updated: e.Updated, Description: e.Description, Boundary: e.Boundary, Trust: e.Trust,
		MaxSession: e.MaxSession, Version: e.Version, Versions: e.Versions,
	})
}

// remove deletes an entity that nothing stands against. source: aws
func remove(ctx context.Context, tx *store.Tx, e *entity) error {
	q := rows.New(tx)
	held, err := q.CountHeld(ctx, e.ID)
	if err != nil {
		return err
	}
	switch {
	case held.Members > 0:
		return conflict("Cannot delete entity, must remove %s first.", kinds[e.Kind].members)
	case held.Attached > 0:
		return conflict("Cannot delete entity, must detach all policies first.")
	case held.Inline > 0:
		return conflict("Cannot delete entity, must delete policies first.")
	case held.Keys > 0:
		return conflict("Cannot delete entity, must delete access keys first.")
	}
	if err := q.DeleteTags(ctx, e.ID); err != nil {
		return err
	}
	return q.DeleteEntity(ctx, e.ID)
}

// when is a time of a row as answers have it.
func when(ms int64) time.Time { return time.UnixMilli(ms).UTC().Truncate(time.Second) }

// check refuses a policy text that is none, or too long: quotas count no white space.
func check(text string, kind policy.Kind, quota string, most int64) error {
	_, err := policy.Parse([]byte(text), kind)
	if e, ok := errors.AsType[*policy.SyntaxError](err); ok {
		return vocabulary.ErrMalformedPolicyDocumentException("%s", e.Message)
	}
	if err == nil && int64(weight(text)) > most {
		err = exceeds(quota, most)
	}
	return err
}
