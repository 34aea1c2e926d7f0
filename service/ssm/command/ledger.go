package command

import (
	"context"
	"time"

	"github.com/vennel/vennel/service/ssm/command/internal/rows"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/store"
)

// ledger is one transaction's view of commands and invocations: what it changes is written once, at
// the end, with the counters that follow from it.
type ledger struct {
	tx       *store.Tx
	q        *rows.Queries
	now      time.Time
	commands map[string]*rows.SsmCommand
}

// open begins a ledger.
func open(tx *store.Tx, now time.Time) *ledger {
	return &ledger{tx: tx, q: rows.New(tx), now: now, commands: map[string]*rows.SsmCommand{}}
}

// command gives a command, read once.
func (l *ledger) command(ctx context.Context, id string) (*rows.SsmCommand, error) {
	if c := l.commands[id]; c != nil {
		return c, nil
	}
	c, err := l.q.GetCommand(ctx, id)
	if err != nil {
		return nil, err
	}
	l.commands[id] = &c
	return &c, nil
}

// close writes the commands that were touched, with the statuses that follow.
func (l *ledger) close(ctx context.Context) error {
	for id, c := range l.commands {
		settle(c)
		if c.Expanding || c.Waiting > 0 && (room(c, c.Targets) > 0 || failing(c) || c.Cancelled) {
			l.tx.Notify(topic, id)
		}
		err := l.q.SetCommand(ctx, rows.SetCommandParams{
			Status: c.Status, Details: c.Details, Cancelled: c.Cancelled, Expanding: c.Expanding, CursorNode: c.CursorNode,
			Targets: c.Targets, Active: c.Active, Waiting: c.Waiting, Completed: c.Completed, Succeeded: c.Succeeded,
			Errors: c.Errors, DeliveryTimeouts: c.DeliveryTimeouts, ID: id,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// save writes an invocation.
func (l *ledger) save(ctx context.Context, i *rows.SsmInvocation) error {
	return l.q.SetInvocation(ctx, rows.SetInvocationParams{
		Status: i.Status, Details: i.Details, Trace: i.Trace, Released: i.Released, Open: i.Open, Due: i.Due, Command: i.Command, Node: i.Node,
	})
}

// begin notes that a node works on an invocation.
func (l *ledger) begin(ctx context.Context, i *rows.SsmInvocation) error {
	c, err := l.command(ctx, i.Command)
	if err != nil {
		return err
	}
	i.Status, i.Details = inProgress, inProgress
	i.Due = i.Released + seconds(c.Timeout+c.Execution).Milliseconds() + lastWait.Milliseconds()
	if c.Status == pending {
		c.Status, c.Details = inProgress, inProgress
	}
	return nil
}

// end ends an invocation, once: an ended one stays as it is. Nothing is left for the node to take.
func (l *ledger) end(ctx context.Context, i *rows.SsmInvocation, status, details string) error {
	if !i.Open {
		return nil
	}
	c, err := l.command(ctx, i.Command)
	if err != nil {
		return err
	}
	if i.Released > 0 {
		c.Active--
		if _, err := fleet.Done(ctx, l.tx, i.Node, job(i.Command, i.Node)); err != nil {
			return err
		}
	} else {
		c.Waiting--
	}
	i.Status, i.Details, i.Open, i.Due = status, details, false, 0
	count(c, status, details)
	return nil
}

// count adds an ended invocation to its command's counters.
func count(c *rows.SsmCommand, status, details string) {
	c.Completed++
	switch {
	case status == success:
		c.Succeeded++
	case details == detailDeliveryTimedOut:
		c.DeliveryTimeouts++
	case details == failed || details == detailExecutionTimedOut:
		c.Errors++
	}
}
