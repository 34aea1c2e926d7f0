package command

import (
	"context"

	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/store"
)

// SetChunk sets how many rows a transaction may have.
func (c *Commands) SetChunk(n int32) { c.chunk = n }

// Unfinished does one chunk of work for every command that is left after a start.
func (c *Commands) Unfinished(ctx context.Context) error { return c.unfinished(ctx) }

// Said writes down what a node says of its job: a status, or "" for a mere acknowledgement.
func (c *Commands) Said(ctx context.Context, command, node, status string) error {
	n := news{node: node, command: command, job: job(command, node)}
	if status != "" {
		n.reply = &reply{DocumentStatus: status}
	}
	return c.db.Update(ctx, func(tx *store.Tx) error { return c.apply(tx, []news{n}) })
}

// Given says whether a node's mailbox holds its job of a command.
func (c *Commands) Given(ctx context.Context, command, node string) (there bool, err error) {
	err = c.db.View(ctx, func(tx *store.Tx) (err error) {
		there, err = fleet.Waits(ctx, tx, node, job(command, node))
		return err
	})
	return there, err
}
