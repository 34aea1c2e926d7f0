package iam

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// accessKey is a user's key as the cache holds it.
type accessKey struct {
	seq    uint64
	secret string
	owner  string
	active bool
}

// Lookup finds who holds a key: a user, or the session of a token. It gives the secret that the
// request must have been signed with.
func (i *IAM) Lookup(ctx context.Context, keyID, token string) (secret string, p *Principal, err error) {
	if strings.HasPrefix(keyID, prefixTemporary) {
		return i.lookupSession(ctx, keyID, token)
	}
	k, err := i.accessKey(ctx, keyID)
	if err != nil {
		return "", nil, err
	}
	if !k.active {
		return "", nil, errToken
	}
	g, err := i.grantsOf(ctx, k.owner)
	if err != nil {
		return "", nil, err
	}
	if !g.exists {
		return "", nil, errToken
	}
	return k.secret, i.userPrincipal(g, keyID), nil
}

// lookupSession finds the session of a token.
func (i *IAM) lookupSession(ctx context.Context, keyID, token string) (string, *Principal, error) {
	s, err := i.unseal(keyID, token)
	if err != nil {
		return "", nil, err
	}
	if time.Now().Unix() >= s.Expires {
		return "", nil, &api.Error{Reason: api.ExpiredToken}
	}
	g, err := i.grantsOf(ctx, s.Owner)
	if err != nil {
		return "", nil, err
	}
	if !g.exists {
		return "", nil, errToken
	}
	p, err := i.sessionPrincipal(ctx, g, s)
	return s.Secret, p, err
}

// sessionPrincipal is a session as a caller.
func (i *IAM) sessionPrincipal(ctx context.Context, g *grants, s *session) (p *Principal, err error) {
	if g.entity.Kind == kindUser {
		p = i.userPrincipal(g, s.KeyID)
	} else {
		p = i.rolePrincipal(g, s.KeyID, s)
	}
	p.made, p.issued, p.source, p.identity = s, time.Unix(s.Issued, 0), s.Source, s.Identity
	p.lasting = map[string]string{}
	for _, name := range s.Lasting {
		p.lasting[name] = s.Tags[name]
	}
	p.session, err = i.sessionPolicies(ctx, g.entity.Account, s)
	return p, err
}

// sessionPolicies are the policies that a session was given. A managed one that is gone allows
// nothing.
func (i *IAM) sessionPolicies(ctx context.Context, account string, s *session) (layer policy.Layer, err error) {
	layer.Present = len(s.Policies)+len(s.Managed) > 0
	for n, text := range s.Policies {
		p, err := i.parse(text, policy.Session)
		if err != nil {
			return layer, err
		}
		layer.Policies = append(layer.Policies, policy.Attached{Name: fmt.Sprintf("#%d of the session", n+1), Policy: p})
	}
	if len(s.Managed) == 0 {
		return layer, nil
	}
	return layer, i.db.View(ctx, func(tx *store.Tx) error {
		for _, arn := range s.Managed {
			a := policy.Attached{Name: arn}
			if _, ok, err := findPolicy(ctx, tx, account, arn); err != nil {
				return err
			} else if ok {
				text, err := document(ctx, tx, account, arn)
				if err != nil {
					return err
				}
				if a.Policy, err = i.parse(text, policy.Session); err != nil {
					return err
				}
			}
			layer.Policies = append(layer.Policies, a)
		}
		return nil
	})
}

// userPrincipal is a user as a caller.
func (i *IAM) userPrincipal(g *grants, keyID string) *Principal {
	e := &g.entity
	return &Principal{
		Principal: policy.Principal{Type: policy.User, ARN: entityARN(e), Account: e.Account, ID: e.ID},
		iam:       i, keyID: keyID, name: e.Name, tags: g.tags, grants: g,
	}
}

// rolePrincipal is a session of a role as a caller. The session's tags win over the role's.
func (i *IAM) rolePrincipal(g *grants, keyID string, s *session) *Principal {
	e := &g.entity
	tags := g.tags
	if len(s.Tags) > 0 {
		tags = maps.Clone(g.tags)
		for name := range s.Tags {
			maps.DeleteFunc(tags, func(old, _ string) bool { return strings.EqualFold(old, name) })
		}
		maps.Copy(tags, s.Tags)
	}
	return &Principal{
		Principal: policy.Principal{
			Type: policy.AssumedRole, ARN: api.ARN("sts", "", e.Account, "assumed-role/"+e.Name+"/"+s.Name), RoleARN: entityARN(e),
			Account: e.Account, ID: e.ID + ":" + s.Name,
		},
		iam: i, keyID: keyID, tags: tags, grants: g,
	}
}

// accessKey reads a user's key, from the cache while nothing in IAM has changed.
func (i *IAM) accessKey(ctx context.Context, id string) (accessKey, error) {
	seq := i.db.Seq(topic)
	i.mu.Lock()
	k, ok := i.known[id]
	i.mu.Unlock()
	if ok && k.seq == seq {
		return k, nil
	}
	var row rows.IamAccessKey
	err := i.db.View(ctx, func(tx *store.Tx) (err error) {
		row, err = rows.New(tx).GetAccessKey(ctx, id)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return k, errToken
	} else if err != nil {
		return k, err
	}
	secret, err := i.keys.Open(row.Secret, row.ID)
	if err != nil {
		return k, err
	}
	k = accessKey{seq: seq, secret: string(secret), owner: row.Owner, active: row.Status == "Active"}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.known) >= mostCached {
		clear(i.known)
	}
	i.known[id] = k
	return k, nil
}
