package command

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/command/internal/rows"
	"github.com/vennel/vennel/store"
)

// CancelCommand cancels a command, or its invocations on some nodes. What has not begun never will;
// what has begun is asked to stop, and what has ended stays as it is.
func (c *Commands) CancelCommand(ctx context.Context, in *ssm.CancelCommandInput) (*ssm.CancelCommandOutput, error) {
	call := api.CallFrom(ctx)
	if err := iam.Allow(ctx, "ssm:CancelCommand", "*"); err != nil {
		return nil, err
	}
	for i, id := range in.InstanceIds {
		if slices.Contains(in.InstanceIds[:i], id) {
			return nil, ssm.ErrDuplicateInstanceId("%s", id)
		}
	}
	err := c.db.Update(ctx, func(tx *store.Tx) error {
		l := open(tx, call.Time)
		cmd, err := l.command(ctx, in.CommandId)
		if errors.Is(err, sql.ErrNoRows) || err == nil && (cmd.Account != call.Account || cmd.Region != call.Region) {
			return ssm.ErrInvalidCommandId("The command %s does not exist", in.CommandId)
		} else if err != nil {
			return err
		}
		if len(in.InstanceIds) == 0 {
			if cmd.Expanding || cmd.Active > 0 || cmd.Waiting > 0 {
				cmd.Cancelled, cmd.Expanding, cmd.CursorNode = true, false, ""
				err = l.cancelSome(ctx, cmd, c.chunk)
			}
		} else {
			err = l.cancelNamed(ctx, in)
		}
		if err != nil {
			return err
		}
		return l.close(ctx)
	})
	return &ssm.CancelCommandOutput{}, err
}

// cancelNamed cancels the invocations on some nodes.
func (l *ledger) cancelNamed(ctx context.Context, in *ssm.CancelCommandInput) error {
	for _, node := range in.InstanceIds {
		i, err := l.q.GetInvocation(ctx, rows.GetInvocationParams{Command: in.CommandId, Node: node})
		if errors.Is(err, sql.ErrNoRows) {
			return ssm.ErrInvalidInstanceId("The command %s has no invocation on %s", in.CommandId, node)
		} else if err != nil {
			return err
		}
		if !i.Open {
			continue
		}
		if err := l.cancel(ctx, &i); err != nil {
			return err
		}
	}
	return nil
}

// cancelSpace is the name space of cancelID.
var cancelSpace = uuid.MustParse("6f6c0c59-4e70-4b3e-9a53-5d1f3f0a7d11")

// cancelID is the id of the order to cancel a command on a node.
func cancelID(command, node string) string {
	return uuid.NewSHA1(cancelSpace, []byte(job(command, node))).String()
}
