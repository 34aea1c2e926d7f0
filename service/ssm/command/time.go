package command

import (
	"context"
	"errors"
	"time"

	"github.com/vennel/vennel/service/ssm/command/internal/rows"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/store"
)

// dueTopic wakes whoever keeps the time when something is due sooner than before.
const dueTopic = "ssm command due"

// longestLook is how long at most the clock is not looked at when nothing is due.
const longestLook = time.Hour

// history is how long commands are kept. source: userguide, quotas
const history = 30 * 24 * time.Hour

// keepTime acts on invocations of which nothing was heard in time.
func (c *Commands) keepTime(ctx context.Context) error {
	defer c.due.Close()
	for {
		wait, err := c.overdue(ctx, time.Now())
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			c.log.Error("overdue invocations not ended", "error", err)
			wait = time.Second
		}
		if wait == 0 {
			continue
		}
		look, cancel := context.WithTimeout(ctx, wait)
		_, err = c.due.Next(look)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

// overdue acts on a chunk of overdue invocations, and says when to look again.
func (c *Commands) overdue(ctx context.Context, now time.Time) (wait time.Duration, err error) {
	var next int64
	err = c.db.View(ctx, func(tx *store.Tx) (err error) {
		next, err = rows.New(tx).NextDue(ctx)
		return err
	})
	if err != nil {
		return 0, err
	}
	if next == 0 || next > now.UnixMilli() {
		wait = longestLook
		if next != 0 {
			wait = min(wait, time.Duration(next-now.UnixMilli())*time.Millisecond)
		}
		return wait, nil
	}
	return 0, c.db.Update(ctx, func(tx *store.Tx) error {
		l := open(tx, now)
		list, err := l.q.ListDue(ctx, rows.ListDueParams{Now: now.UnixMilli(), Most: c.chunk})
		if err != nil {
			return err
		}
		for i := range list {
			if err := l.late(ctx, &list[i]); err != nil {
				return err
			}
			if err := l.save(ctx, &list[i]); err != nil {
				return err
			}
		}
		return l.close(ctx)
	})
}

// late decides what becomes of an invocation of which nothing was heard in time.
func (l *ledger) late(ctx context.Context, i *rows.SsmInvocation) error {
	if i.Due == 0 {
		return nil // it waits for its turn
	}
	c, err := l.command(ctx, i.Command)
	if err != nil {
		return err
	}
	limit := i.Released + seconds(c.Timeout).Milliseconds()
	switch {
	case i.Status == cancelling:
		return l.end(ctx, i, cancelled, cancelled)
	case i.Status == inProgress:
		return l.end(ctx, i, timedOut, detailDeliveryTimedOut)
	case l.now.UnixMilli() < limit:
		i.Status, i.Details, i.Due = delayed, delayed, limit
		return nil
	}
	_, there, err := fleet.Find(ctx, l.tx, i.Account, i.Region, i.Node)
	if err != nil {
		return err
	}
	if !there {
		return l.end(ctx, i, failed, detailUndeliverable)
	}
	return l.end(ctx, i, timedOut, detailDeliveryTimedOut)
}

// dropOld drops the commands whose time is over, from time to time.
func (c *Commands) dropOld(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		for more := true; more; {
			var err error
			if more, err = c.dropSome(ctx, time.Now()); err != nil {
				if ctx.Err() == nil {
					c.log.Error("old commands not dropped", "error", err)
				}
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// dropSome drops a chunk of old invocations, then their command; more says that there may be others.
func (c *Commands) dropSome(ctx context.Context, now time.Time) (more bool, err error) {
	err = c.db.Update(ctx, func(tx *store.Tx) error {
		q := rows.New(tx)
		if more, err = fleet.ExpireMessages(ctx, tx, now); err != nil {
			return err
		}
		ids, err := q.ListOldCommands(ctx, rows.ListOldCommandsParams{Before: now.Add(-history).UnixMilli(), Most: 1})
		if err != nil || len(ids) == 0 {
			return err
		}
		more = true
		last, err := q.LastOfPage(ctx, rows.LastOfPageParams{Command: ids[0], Most: c.chunk})
		if err != nil {
			return err
		}
		if last == "" {
			return q.DeleteCommand(ctx, ids[0])
		}
		if err := q.DeleteSteps(ctx, rows.DeleteStepsParams{Command: ids[0], Last: last}); err != nil {
			return err
		}
		return q.DeleteInvocations(ctx, rows.DeleteInvocationsParams{Command: ids[0], Last: last})
	})
	return more, err
}
