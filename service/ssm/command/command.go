// Package command is Run Command: commands, their invocations on nodes, and the results of their
// steps. A command is written with its first targets in one transaction; the rest is looked up,
// released and cancelled in chunks by Run, so that a crash at any point is repaired by the next.
//
// It keeps commands, invocations and steps, each for 30 days. It uses document and fleet, and of the
// other services iam. What nodes say comes in through Accepted and Reply.
package command

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/store"
)

// topic wakes whoever moves commands on; its keys are commands.
const topic = "ssm command"

// mostRows bounds the rows of one transaction.
const mostRows = 500

// Commands is the capability.
type Commands struct {
	db     *store.DB
	iam    *iam.IAM
	fleet  *fleet.Fleet
	log    *slog.Logger
	inbox  *store.Batcher[news]
	wake   *store.Subscription
	due    *store.Subscription
	cached plans
	chunk  int32 // mostRows, but in tests
}

// New gives the capability.
func New(db *store.DB, identity *iam.IAM, nodes *fleet.Fleet, log *slog.Logger) *Commands {
	c := &Commands{db: db, iam: identity, fleet: nodes, log: log, wake: db.Subscribe(topic), due: db.Subscribe(dueTopic), cached: plans{known: map[string]*plan{}}, chunk: mostRows}
	c.inbox = store.NewBatcher(db, mostRows, c.apply)
	return c
}

// Run moves commands on, keeps their time and takes in what nodes say, until ctx ends.
func (c *Commands) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.inbox.Run(ctx) })
	g.Go(func() error { return c.moveOn(ctx) })
	g.Go(func() error { return c.keepTime(ctx) })
	g.Go(func() error { return c.dropOld(ctx) })
	return g.Wait()
}

// job is the name under which a node knows its part of a command.
func job(command, node string) string { return "aws.ssm." + command + "." + node }

// seconds is a number of seconds as a duration.
func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }
