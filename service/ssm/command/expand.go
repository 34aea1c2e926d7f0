package command

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/command/internal/rows"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/store"
)

// The waits of an invocation.
const (
	delayedAfter = time.Minute      // a node that has not taken a job after this long is late
	cancelWait   = time.Minute      // for a node to say that it has cancelled
	lastWait     = 30 * time.Second // for the report of a node whose time is over
)

// candidate is a node that a command's targets name.
type candidate struct {
	fleet.Node
	tags map[string]string
}

// expand looks up the next chunk of a command's targets. It acts for the caller of ctx.
func (c *Commands) expand(ctx context.Context, l *ledger, cmd *rows.SsmCommand) error {
	p, err := c.cached.of(cmd)
	if err != nil {
		return err
	}
	list, last, err := c.candidates(ctx, l.tx, cmd, &p.request, int(c.chunk))
	if err != nil {
		return err
	}
	targets := cmd.Targets + int64(len(list)) // as many as there will be, for a limit that is a percentage
	for i := range list {
		if err := c.add(ctx, l, cmd, p, &list[i], targets); err != nil {
			return err
		}
	}
	cmd.CursorNode, cmd.Expanding = last, last != ""
	return nil
}

// add makes the invocation of one node. A node that the caller may not command, or on which the
// document does nothing, has ended before it began.
func (c *Commands) add(ctx context.Context, l *ledger, cmd *rows.SsmCommand, p *plan, n *candidate, targets int64) error {
	status, details := pending, pending
	arn := fleet.ARN(n.Region, n.Account, n.ID)
	if ok, why := iam.Allowed(ctx, "ssm:SendCommand", arn, iam.ResourceTags(n.tags)); !ok {
		status, details = failed, detailAccessDenied
		api.CallFrom(ctx).Decide(api.Decision{Action: "ssm:SendCommand", Resource: arn, Reason: why}) // the call goes on
	} else if !runs(p.platforms, n.Platform) {
		status, details = failed, detailInvalidPlatform
	}
	i := rows.SsmInvocation{
		Command: cmd.ID, Node: n.ID, Account: n.Account, Region: n.Region, Requested: cmd.Requested, NodeName: n.Name, Document: cmd.Document,
		Status: status, Details: details, Open: status == pending,
	}
	if i.Open && room(cmd, targets) > 0 && !failing(cmd) {
		if err := l.release(ctx, &i); err != nil {
			return err
		}
	}
	made, err := l.q.PutInvocation(ctx, rows.PutInvocationParams{
		Command: i.Command, Node: i.Node, Account: i.Account, Region: i.Region, Requested: i.Requested, NodeName: i.NodeName,
		Document: i.Document, Status: i.Status, Details: i.Details, Released: i.Released, Open: i.Open, Due: i.Due,
	})
	if err != nil || made == 0 {
		return err
	}
	cmd.Targets++
	switch {
	case !i.Open:
		count(cmd, i.Status, i.Details)
	case i.Released > 0:
		cmd.Active++
	default:
		cmd.Waiting++
	}
	return nil
}

// release gives an invocation to its node's mailbox.
func (l *ledger) release(ctx context.Context, i *rows.SsmInvocation) error {
	i.Released = l.now.UnixMilli()
	i.Due = l.now.Add(delayedAfter).UnixMilli()
	l.tx.Notify(dueTopic, "")
	return fleet.Enqueue(ctx, l.tx, i.Node, job(i.Command, i.Node), i.Command, time.UnixMilli(i.Requested), false)
}

// candidates gives the next nodes that a command's targets name, in order of their ids, and the last
// node looked at; "" when there are no more.
func (c *Commands) candidates(ctx context.Context, tx *store.Tx, cmd *rows.SsmCommand, r *request, chunk int) (list []candidate, last string, err error) {
	ids, last, err := c.named(ctx, tx, cmd, r, chunk)
	if err != nil {
		return nil, "", err
	}
	for _, id := range ids {
		n, ok, err := fleet.Find(ctx, tx, cmd.Account, cmd.Region, id)
		if err != nil {
			return nil, "", err
		}
		if !ok {
			continue
		}
		tags, err := c.fleet.Tags(ctx, tx, cmd.Account, cmd.Region, id)
		if err != nil {
			return nil, "", err
		}
		if meets(id, tags, r.Targets) {
			list = append(list, candidate{n, tags})
		}
	}
	return list, last, nil
}

// named gives a chunk of ids that may meet the targets: those named, or those with the tag of the
// first target.
func (c *Commands) named(ctx context.Context, tx *store.Tx, cmd *rows.SsmCommand, r *request, chunk int) (ids []string, last string, err error) {
	if len(r.InstanceIDs) > 0 {
		return r.InstanceIDs, "", nil
	}
	first := r.Targets[0]
	key := api.Or(first.Key, "")
	if key == "InstanceIds" {
		return first.Values, "", nil
	}
	name, byValue := strings.CutPrefix(key, "tag:")
	for _, value := range first.Values {
		key, of := value, (*string)(nil)
		if byValue {
			key, of = name, &value
		}
		found, err := c.fleet.Tagged(ctx, tx, cmd.Account, cmd.Region, key, of, cmd.CursorNode, chunk)
		if err != nil {
			return nil, "", err
		}
		ids = append(ids, found...)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) >= chunk {
		ids = ids[:chunk]
		last = ids[chunk-1]
	}
	return ids, last, nil
}

// meets says whether a node meets all targets; the values of one are alternatives.
func meets(id string, tags map[string]string, targets []ssm.Target) bool {
	for _, t := range targets {
		key := api.Or(t.Key, "")
		ok := false
		for _, value := range t.Values {
			switch name, byTag := strings.CutPrefix(key, "tag:"); {
			case byTag:
				has, there := tags[name]
				ok = ok || there && has == value
			case key == "tag-key":
				_, there := tags[value]
				ok = ok || there
			default:
				ok = ok || id == value
			}
		}
		if !ok {
			return false
		}
	}
	return true
}
