package command

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/command/internal/rows"
	"github.com/vennel/vennel/store"
)

// ListCommandInvocations lists how commands went on nodes, newest first, with the results of their
// steps when Details are asked for.
func (c *Commands) ListCommandInvocations(ctx context.Context, in *ssm.ListCommandInvocationsInput) (*ssm.ListCommandInvocationsOutput, error) {
	call := api.CallFrom(ctx)
	if err := iam.Allow(ctx, "ssm:ListCommandInvocations", "*"); err != nil {
		return nil, err
	}
	f, err := readFilters(in.Filters)
	if err != nil {
		return nil, err
	}
	f.resume(in.NextToken)
	most := int(api.Or(in.MaxResults, 50))
	out := new(ssm.ListCommandInvocationsOutput)
	err = c.db.View(ctx, func(tx *store.Tx) error {
		out.CommandInvocations, out.NextToken = []ssm.CommandInvocation{}, nil
		l := open(tx, call.Time)
		at := *f
		var last rows.SsmInvocation
		for {
			page, err := invocationsAfter(ctx, l.q, call, in, &at)
			if err != nil {
				return err
			}
			for i := range page {
				at.before, at.command, at.node = page[i].Requested, page[i].Command, page[i].Node
				if page[i].Account != call.Account || page[i].Region != call.Region || !f.stage(page[i].Status) {
					continue
				}
				if len(out.CommandInvocations) == most {
					out.NextToken = new(fmt.Sprintf("%d %s %s", last.Requested, last.Command, last.Node))
					return nil
				}
				answer, err := c.invocation(ctx, l, &page[i], api.Or(in.Details, false))
				if err != nil {
					return err
				}
				out.CommandInvocations = append(out.CommandInvocations, *answer)
				last = page[i]
			}
			if len(page) < listPage {
				return nil
			}
		}
	})
	return out, err
}

// invocationsAfter reads the next page of invocations: of a command, of a node, or all.
func invocationsAfter(ctx context.Context, q *rows.Queries, call *api.Call, in *ssm.ListCommandInvocationsInput, f *filters) ([]rows.SsmInvocation, error) {
	switch {
	case in.CommandId != nil && in.InstanceId != nil:
		i, err := q.GetInvocation(ctx, rows.GetInvocationParams{Command: *in.CommandId, Node: *in.InstanceId})
		if errors.Is(err, sql.ErrNoRows) || err == nil && !f.passes(i.Requested, i.Status, i.Document) {
			return nil, nil
		}
		return []rows.SsmInvocation{i}, err
	case in.CommandId != nil:
		return q.ListInvocationsOfCommand(ctx, rows.ListInvocationsOfCommandParams{
			Command: *in.CommandId, After: f.node, Since: f.since, Until: f.until, Status: f.status, Document: f.document, Most: listPage,
		})
	case in.InstanceId != nil:
		return q.ListInvocationsOfNode(ctx, rows.ListInvocationsOfNodeParams{
			Node: *in.InstanceId, Account: call.Account, Region: call.Region, Before: f.before, After: f.command, Since: f.since,
			Status: f.status, Document: f.document, Most: listPage,
		})
	}
	return q.ListInvocations(ctx, rows.ListInvocationsParams{
		Account: call.Account, Region: call.Region, Before: f.before, AfterCommand: f.command, AfterNode: f.node, Since: f.since,
		Status: f.status, Document: f.document, Most: listPage,
	})
}

// invocation is an invocation as answers have it.
func (c *Commands) invocation(ctx context.Context, l *ledger, i *rows.SsmInvocation, withSteps bool) (*ssm.CommandInvocation, error) {
	cmd, err := l.command(ctx, i.Command)
	if err != nil {
		return nil, err
	}
	p, err := c.cached.of(cmd)
	if err != nil {
		return nil, err
	}
	out := &ssm.CommandInvocation{
		CommandId: &i.Command, InstanceId: &i.Node, InstanceName: new(i.NodeName), Comment: new(cmd.Comment), DocumentName: &cmd.Document,
		DocumentVersion: new(p.version()), RequestedDateTime: new(time.UnixMilli(i.Requested).UTC()), Status: &i.Status, StatusDetails: &i.Details,
		TraceOutput: api.Given(i.Trace), StandardOutputUrl: new(""), StandardErrorUrl: new(""), CommandPlugins: []ssm.CommandPlugin{},
		ServiceRole: new(api.Or(p.request.ServiceRole, "")), NotificationConfig: p.notification(), CloudWatchOutputConfig: p.cloudWatch(),
	}
	if !withSteps {
		return out, nil
	}
	steps, err := l.q.ListSteps(ctx, rows.ListStepsParams{Command: i.Command, Node: i.Node})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(steps, func(a, b rows.SsmStep) int { return p.order[a.Name] - p.order[b.Name] })
	for _, s := range steps {
		status, details := stepStatus(s.Status)
		out.CommandPlugins = append(out.CommandPlugins, ssm.CommandPlugin{
			Name: &s.Name, Status: &status, StatusDetails: &details, ResponseCode: &s.Code, ResponseStartDateTime: parsed(s.Started),
			ResponseFinishDateTime: parsed(s.Ended), Output: &s.Output, StandardOutputUrl: new(p.url(i, &s, "stdout")),
			StandardErrorUrl: new(p.url(i, &s, "stderr")), OutputS3Region: p.request.S3Region, OutputS3BucketName: new(s.S3Bucket),
			OutputS3KeyPrefix: new(s.S3Prefix),
		})
	}
	return out, nil
}

// parsed is a kept time as answers have it.
func parsed(s string) *time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return nil
	}
	return &t
}
