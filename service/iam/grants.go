package iam

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/service/iam/managed"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// owner is an entity that can hold policies.
type owner struct{ account, kind, key string }

// The kinds of entity.
const (
	kindUser    = "user"
	kindGroup   = "group"
	kindRole    = "role"
	kindPolicy  = "policy"
	kindProfile = "instance-profile"
)

// grants are what a user or role is granted, as of a state of the database.
type grants struct {
	seq      uint64 // of the topic when they were read
	entity   rows.IamEntity
	exists   bool
	identity []policy.Attached
	boundary policy.Layer
	tags     map[string]string
}

// mostCached bounds each of the caches; they are emptied when full.
const mostCached = 1 << 16

// grantsOf gives what a user or role is granted, from the cache while nothing in IAM has changed.
func (i *IAM) grantsOf(ctx context.Context, o owner) (*grants, error) {
	seq := i.db.Seq(topic)
	i.mu.Lock()
	g := i.granted[o]
	i.mu.Unlock()
	if g != nil && g.seq == seq {
		return g, nil
	}
	g = &grants{seq: seq}
	err := i.db.View(ctx, func(tx *store.Tx) error { return i.load(ctx, tx, o, g) })
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.granted) >= mostCached {
		clear(i.granted)
	}
	i.granted[o] = g
	return g, nil
}

// load reads an entity with its policies and those of its groups.
func (i *IAM) load(ctx context.Context, tx *store.Tx, o owner, g *grants) error {
	q := rows.New(tx)
	entity, err := q.GetEntity(ctx, rows.GetEntityParams{Account: o.account, Kind: o.kind, Key: o.key})
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	g.entity, g.exists = entity, true
	holders := []owner{o}
	if o.kind == kindUser {
		groups, err := q.ListContainers(ctx, rows.ListContainersParams{Account: o.account, Kind: kindGroup, Member: o.key})
		if err != nil {
			return err
		}
		for _, group := range groups {
			holders = append(holders, owner{o.account, kindGroup, group})
		}
	}
	for _, h := range holders {
		if g.identity, err = i.attached(ctx, q, h, g.identity); err != nil {
			return err
		}
	}
	if entity.Boundary != "" {
		text, err := document(ctx, q, o.account, entity.Boundary)
		if err != nil {
			return err
		}
		p, err := i.parse(text, policy.Boundary)
		if err != nil {
			return err
		}
		g.boundary = policy.Layer{Present: true, Policies: []policy.Attached{{Name: entity.Boundary, Policy: p}}}
	}
	tags, err := q.ListTags(ctx, rows.ListTagsParams{Account: o.account, Kind: o.kind, Owner: o.key})
	if err != nil {
		return err
	}
	g.tags = map[string]string{}
	for _, t := range tags {
		g.tags[t.Name] = t.Value
	}
	return nil
}

// attached adds the inline and managed policies of one holder.
func (i *IAM) attached(ctx context.Context, q *rows.Queries, h owner, out []policy.Attached) ([]policy.Attached, error) {
	inline, err := q.ListInlinePolicies(ctx, rows.ListInlinePoliciesParams{Account: h.account, Kind: h.kind, Owner: h.key})
	if err != nil {
		return nil, err
	}
	for _, row := range inline {
		p, err := i.parse(row.Document, policy.Identity)
		if err != nil {
			return nil, err
		}
		out = append(out, policy.Attached{Name: row.Name, Policy: p})
	}
	attachments, err := q.ListAttachments(ctx, rows.ListAttachmentsParams{Account: h.account, Kind: h.kind, Owner: h.key})
	if err != nil {
		return nil, err
	}
	for _, a := range attachments {
		text, err := document(ctx, q, h.account, a.Policy)
		if err != nil {
			return nil, err
		}
		p, err := i.parse(text, policy.Identity)
		if err != nil {
			return nil, err
		}
		out = append(out, policy.Attached{Name: a.Policy, Policy: p})
	}
	return out, nil
}

// document is the text of a managed policy's default version.
func document(ctx context.Context, q *rows.Queries, account, arn string) (string, error) {
	if strings.Contains(arn, "::aws:policy/") {
		p, ok := managed.Lookup(arn)
		if !ok {
			return "", fmt.Errorf("iam: %s is attached, but there is no such policy", arn)
		}
		return string(p.Document), nil
	}
	key := strings.ToLower(arn[strings.LastIndexByte(arn, '/')+1:])
	entity, err := q.GetEntity(ctx, rows.GetEntityParams{Account: account, Kind: kindPolicy, Key: key})
	if err != nil {
		return "", fmt.Errorf("iam: %s is attached: %w", arn, err)
	}
	version, err := q.GetPolicyVersion(ctx, rows.GetPolicyVersionParams{Account: account, Policy: key, Version: entity.Version})
	if err != nil {
		return "", fmt.Errorf("iam: the default version of %s: %w", arn, err)
	}
	return version.Document, nil
}

// parse compiles a policy text, each once.
func (i *IAM) parse(text string, kind policy.Kind) (*policy.Policy, error) {
	key := kind.String() + "\x00" + text
	i.mu.Lock()
	p := i.parsed[key]
	i.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := policy.Parse([]byte(text), kind)
	if err != nil {
		return nil, fmt.Errorf("iam: a stored policy does not parse: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.parsed) >= mostCached {
		clear(i.parsed)
	}
	i.parsed[key] = p
	return p, nil
}
