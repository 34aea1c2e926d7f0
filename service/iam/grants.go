package iam

import (
	"context"
	"fmt"

	"github.com/vennel/vennel/service/iam/internal/rows"
	"github.com/vennel/vennel/service/iam/policy"
	"github.com/vennel/vennel/store"
)

// grants are what a user or role is granted, as of a state of the database.
type grants struct {
	seq      uint64 // of the topic when they were read
	entity   entity
	exists   bool
	identity []policy.Attached
	sources  []string // what iam:Simulate* calls each of identity
	boundary policy.Layer
	tags     map[string]string
}

// mostCached bounds each of the caches; they are emptied when full.
const mostCached = 1 << 16

// grantsOf gives what the user or role of an id is granted, from the cache while nothing in IAM has
// changed.
func (i *IAM) grantsOf(ctx context.Context, id string) (*grants, error) {
	seq := i.db.Seq(topic)
	i.mu.Lock()
	g := i.granted[id]
	i.mu.Unlock()
	if g != nil && g.seq == seq {
		return g, nil
	}
	g = &grants{seq: seq}
	err := i.db.View(ctx, func(tx *store.Tx) error { return i.load(ctx, tx, id, g) })
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.granted) >= mostCached {
		clear(i.granted)
	}
	i.granted[id] = g
	return g, nil
}

// load reads an entity with its policies and those of its groups.
func (i *IAM) load(ctx context.Context, tx *store.Tx, id string, g *grants) error {
	if e, ok := identity(id); ok {
		g.entity, g.exists = *e, true
		return nil
	}
	e, ok, err := row(rows.New(tx).GetEntityByID(ctx, id))
	if !ok {
		return err
	}
	g.entity, g.exists = *e, true
	holders := []entity{*e}
	if e.Kind == kindUser {
		groups, err := containers(ctx, tx, id, pager{most: mostGroups})
		if err != nil {
			return err
		}
		holders = append(holders, groups...)
	}
	for n := range holders {
		if err := i.attached(ctx, tx, &holders[n], g); err != nil {
			return err
		}
	}
	if e.Boundary != "" {
		text, err := document(ctx, tx, e.Account, e.Boundary)
		if err != nil {
			return err
		}
		p, err := i.parse(text, policy.Boundary)
		if err != nil {
			return err
		}
		g.boundary = policy.Layer{Present: true, Policies: []policy.Attached{{Name: e.Boundary, Policy: p}}}
	}
	g.tags, err = tagsOf(ctx, tx, id)
	return err
}

// attached adds the inline and managed policies of one holder.
func (i *IAM) attached(ctx context.Context, tx *store.Tx, holder *entity, g *grants) error {
	q := rows.New(tx)
	inline, err := q.ListInlinePolicies(ctx, holder.ID)
	if err != nil {
		return err
	}
	for _, row := range inline {
		if err := i.add(g, row.Name, row.Document, holder.Kind+"_"+holder.Name+"_"+row.Name); err != nil {
			return err
		}
	}
	attachments, err := q.ListAttachments(ctx, holder.ID)
	if err != nil {
		return err
	}
	for _, arn := range attachments {
		text, err := document(ctx, tx, holder.Account, arn)
		if err != nil {
			return err
		}
		_, name := splitPolicy(arn)
		if err := i.add(g, arn, text, name); err != nil {
			return err
		}
	}
	return nil
}

// add adds a policy text under its name and what iam:Simulate* calls it.
func (i *IAM) add(g *grants, name, text, from string) error {
	p, err := i.parse(text, policy.Identity)
	if err == nil {
		g.identity, g.sources = append(g.identity, policy.Attached{Name: name, Policy: p}), append(g.sources, from)
	}
	return err
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
