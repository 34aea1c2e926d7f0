package command

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/vennel/vennel/service/ssm/command/internal/rows"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/store"
)

// moveOn moves commands on as they have room, and after a start those that were left.
func (c *Commands) moveOn(ctx context.Context) error {
	defer c.wake.Close()
	if err := c.unfinished(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	for {
		keys, err := c.wake.Next(ctx)
		if ctx.Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
		for _, id := range keys {
			if id == "*" {
				err = c.unfinished(ctx)
			} else {
				err = c.move(ctx, id)
			}
			if err != nil && ctx.Err() == nil {
				c.log.Error("command not moved on", "command", id, "error", err)
			}
		}
	}
}

// unfinished moves on all commands that have something left to do.
func (c *Commands) unfinished(ctx context.Context) error {
	for after := ""; ; {
		var ids []string
		err := c.db.View(ctx, func(tx *store.Tx) (err error) {
			ids, err = rows.New(tx).ListUnfinished(ctx, rows.ListUnfinishedParams{After: after, Most: c.chunk})
			return err
		})
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := c.move(ctx, id); err != nil {
				return err
			}
			after = id
		}
		if len(ids) < int(c.chunk) {
			return nil
		}
	}
}

// move does a command's next chunk of work; ledger.close wakes us for the one after.
func (c *Commands) move(ctx context.Context, id string) error {
	now := time.Now()
	var caller string
	err := c.db.View(ctx, func(tx *store.Tx) error {
		cmd, err := rows.New(tx).GetCommand(ctx, id)
		caller = cmd.Caller
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return err
	}
	behalf, err := c.iam.Resume(ctx, caller)
	if err != nil {
		return err
	}
	return c.db.Update(ctx, func(tx *store.Tx) error {
		l := open(tx, now)
		cmd, err := l.command(ctx, id)
		if err != nil {
			return err
		}
		switch {
		case cmd.Cancelled:
			err = l.cancelSome(ctx, cmd, c.chunk)
		case cmd.Waiting > 0 && room(cmd, cmd.Targets) > 0 && !failing(cmd):
			err = l.releaseSome(ctx, cmd, c.chunk)
		case cmd.Expanding: // also when it is failing: the targets count, and what is a percentage of them
			err = c.expand(behalf, l, cmd)
		case failing(cmd):
			err = l.endWaiting(ctx, cmd, cancelled, detailTerminated, c.chunk)
		}
		if err != nil {
			return err
		}
		return l.close(ctx)
	})
}

// releaseSome gives waiting invocations to their nodes, as many as there is room for.
func (l *ledger) releaseSome(ctx context.Context, cmd *rows.SsmCommand, chunk int32) error {
	list, err := l.q.ListWaiting(ctx, rows.ListWaitingParams{Command: cmd.ID, Most: int32(min(room(cmd, cmd.Targets), int64(chunk)))})
	if err != nil {
		return err
	}
	for i := range list {
		if err := l.release(ctx, &list[i]); err != nil {
			return err
		}
		if err := l.save(ctx, &list[i]); err != nil {
			return err
		}
		cmd.Waiting--
		cmd.Active++
	}
	return nil
}

// endWaiting ends invocations that have not had their turn.
func (l *ledger) endWaiting(ctx context.Context, cmd *rows.SsmCommand, status, details string, chunk int32) error {
	list, err := l.q.ListWaiting(ctx, rows.ListWaitingParams{Command: cmd.ID, Most: chunk})
	if err != nil {
		return err
	}
	for i := range list {
		if err := l.end(ctx, &list[i], status, details); err != nil {
			return err
		}
		if err := l.save(ctx, &list[i]); err != nil {
			return err
		}
	}
	return nil
}

// cancelSome cancels a chunk of a command's invocations; the cursor says how far it has come.
func (l *ledger) cancelSome(ctx context.Context, cmd *rows.SsmCommand, chunk int32) error {
	list, err := l.q.ListOpen(ctx, rows.ListOpenParams{Command: cmd.ID, After: cmd.CursorNode, Most: chunk})
	if err != nil {
		return err
	}
	for i := range list {
		if err := l.cancel(ctx, &list[i]); err != nil {
			return err
		}
		cmd.CursorNode = list[i].Node
	}
	if len(list) == int(chunk) {
		l.tx.Notify(topic, cmd.ID)
	}
	return nil
}

// cancel cancels an invocation: at once while its node has not begun, otherwise by asking the node.
func (l *ledger) cancel(ctx context.Context, i *rows.SsmInvocation) error {
	switch i.Status {
	case inProgress:
		i.Status, i.Details, i.Due = cancelling, cancelling, l.now.Add(cancelWait).UnixMilli()
		l.tx.Notify(dueTopic, "")
		if err := l.askToCancel(ctx, i); err != nil {
			return err
		}
	case cancelling:
		return nil
	default:
		if err := l.end(ctx, i, cancelled, cancelled); err != nil {
			return err
		}
	}
	return l.save(ctx, i)
}

// askToCancel sends a node the order to stop its job. The order's own id follows from the job's, so
// that it is sent once.
func (l *ledger) askToCancel(ctx context.Context, i *rows.SsmInvocation) error {
	order := cancelID(i.Command, i.Node)
	text := `{"CancelMessageId":"` + job(i.Command, i.Node) + `"}`
	err := fleet.PutMessage(ctx, l.tx, order, "aws.ssm.cancelCommand", text, l.now.Add(messageKept))
	if err != nil {
		return err
	}
	there, err := fleet.Waits(ctx, l.tx, i.Node, job(order, i.Node))
	if err != nil || there {
		return err
	}
	return fleet.Enqueue(ctx, l.tx, i.Node, job(order, i.Node), order, l.now, true)
}
