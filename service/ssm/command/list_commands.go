package command

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/command/internal/rows"
	"github.com/vennel/vennel/store"
)

// ListCommands lists commands, newest first.
func (c *Commands) ListCommands(ctx context.Context, in *ssm.ListCommandsInput) (*ssm.ListCommandsOutput, error) {
	call := api.CallFrom(ctx)
	if err := iam.Allow(ctx, "ssm:ListCommands", "*"); err != nil {
		return nil, err
	}
	f, err := readFilters(in.Filters)
	if err != nil {
		return nil, err
	}
	f.resume(in.NextToken)
	most := int(api.Or(in.MaxResults, 50))
	out := new(ssm.ListCommandsOutput)
	err = c.db.View(ctx, func(tx *store.Tx) error {
		out.Commands, out.NextToken = []ssm.Command{}, nil
		q := rows.New(tx)
		at := *f
		for {
			page, err := commandsAfter(ctx, q, call, in, &at)
			if err != nil {
				return err
			}
			for i := range page {
				at.before, at.command = page[i].Requested, page[i].ID
				if !f.stage(page[i].Status) || f.status != "" && f.status != page[i].Status {
					continue
				}
				if len(out.Commands) == most {
					last := out.Commands[most-1]
					out.NextToken = new(strconv.FormatInt(last.RequestedDateTime.UnixMilli(), 10) + " " + *last.CommandId)
					return nil
				}
				answer, err := c.answer(&page[i])
				if err != nil {
					return err
				}
				out.Commands = append(out.Commands, *answer)
			}
			if len(page) < listPage {
				return nil
			}
		}
	})
	return out, err
}

// listPage is how many rows are read at a time.
const listPage = 100

// commandsAfter reads the next page of commands: the one that is named, those of a node, or all. One
// that is named is also of the node if that is named.
func commandsAfter(ctx context.Context, q *rows.Queries, call *api.Call, in *ssm.ListCommandsInput, f *filters) ([]rows.SsmCommand, error) {
	if in.CommandId != nil {
		cmd, err := q.GetCommand(ctx, *in.CommandId)
		if errors.Is(err, sql.ErrNoRows) || err == nil && (cmd.Account != call.Account || cmd.Region != call.Region) {
			return nil, ssm.ErrInvalidCommandId("The command %s does not exist", *in.CommandId)
		}
		if err != nil || !f.passes(cmd.Requested, cmd.Status, cmd.Document) {
			return nil, err
		}
		if in.InstanceId != nil {
			_, err = q.GetInvocation(ctx, rows.GetInvocationParams{Command: cmd.ID, Node: *in.InstanceId})
			if errors.Is(err, sql.ErrNoRows) {
				return nil, nil
			}
		}
		return []rows.SsmCommand{cmd}, err
	}
	if in.InstanceId != nil {
		list, err := q.ListInvocationsOfNode(ctx, rows.ListInvocationsOfNodeParams{
			Node: *in.InstanceId, Account: call.Account, Region: call.Region, Before: f.before, After: f.command, Since: f.since,
			Document: f.document, Most: listPage,
		})
		commands := make([]rows.SsmCommand, len(list))
		for i := range list {
			if err == nil {
				commands[i], err = q.GetCommand(ctx, list[i].Command)
			}
		}
		return commands, err
	}
	return q.ListCommands(ctx, rows.ListCommandsParams{
		Account: call.Account, Region: call.Region, Before: f.before, After: f.command, Since: f.since, Status: f.status, Document: f.document,
		Most: listPage,
	})
}

// filters are the conditions of a list, and where it goes on.
type filters struct {
	before        int64 // milliseconds; those at the same time come after command and node
	command, node string
	since, until  int64 // milliseconds; those at until do not pass
	status        string
	document      string
	complete      string // ExecutionStage
}

// readFilters reads the filters of a request.
func readFilters(list []ssm.CommandFilter) (*filters, error) {
	f := &filters{until: math.MaxInt64}
	for _, filter := range list {
		switch filter.Key {
		case ssm.CommandFilterKeyInvokedAfter, ssm.CommandFilterKeyInvokedBefore:
			t, err := time.Parse(time.RFC3339, filter.Value)
			if err != nil {
				return nil, ssm.ErrInvalidFilterKey("The value %s of %s is not a time such as 2024-07-07T00:00:00Z", filter.Value, filter.Key)
			}
			if filter.Key == ssm.CommandFilterKeyInvokedAfter {
				f.since = t.UnixMilli()
			} else {
				f.until = t.UnixMilli()
			}
		case ssm.CommandFilterKeyStatus:
			f.status = filter.Value
		case ssm.CommandFilterKeyDocumentName:
			f.document = filter.Value
		case ssm.CommandFilterKeyExecutionStage:
			if filter.Value != "Executing" && filter.Value != "Complete" {
				return nil, ssm.ErrInvalidFilterKey("ExecutionStage is Executing or Complete, not %s", filter.Value)
			}
			f.complete = filter.Value
		}
	}
	f.before = f.until
	return f, nil
}

// resume goes on behind a cursor.
func (f *filters) resume(token *string) {
	parts := strings.Split(api.Or(token, ""), " ")
	if at, err := strconv.ParseInt(parts[0], 10, 64); err == nil && len(parts) > 1 {
		f.before, f.command = at, parts[1]
		if len(parts) > 2 {
			f.node = parts[2]
		}
	}
}

// stage applies ExecutionStage.
func (f *filters) stage(status string) bool {
	complete := slices.Contains([]string{success, failed, cancelled, timedOut}, status)
	return f.complete == "" || complete == (f.complete == "Complete")
}

// passes applies the filters that the query applies otherwise.
func (f *filters) passes(requested int64, status, document string) bool {
	return requested >= f.since && requested < f.until && (f.status == "" || f.status == status) && (f.document == "" || f.document == document)
}

// answer is a command as answers have it.
func (c *Commands) answer(cmd *rows.SsmCommand) (*ssm.Command, error) {
	p, err := c.cached.of(cmd)
	if err != nil {
		return nil, err
	}
	r := &p.request
	out := &ssm.Command{
		CommandId: &cmd.ID, DocumentName: &cmd.Document, DocumentVersion: new(p.version()), Comment: new(cmd.Comment),
		ExpiresAfter: new(time.UnixMilli(cmd.Expires).UTC()), Parameters: r.Parameters, InstanceIds: r.InstanceIDs, Targets: r.Targets,
		RequestedDateTime: new(time.UnixMilli(cmd.Requested).UTC()), Status: &cmd.Status, StatusDetails: &cmd.Details, OutputS3Region: r.S3Region,
		OutputS3BucketName: new(api.Or(r.S3Bucket, "")), OutputS3KeyPrefix: new(api.Or(r.S3Prefix, "")), MaxConcurrency: &cmd.MaxConcurrency,
		MaxErrors: &cmd.MaxErrors, TargetCount: &cmd.Targets, CompletedCount: &cmd.Completed, ErrorCount: &cmd.Errors,
		DeliveryTimedOutCount: &cmd.DeliveryTimeouts, ServiceRole: new(api.Or(r.ServiceRole, "")), NotificationConfig: p.notification(),
		CloudWatchOutputConfig: p.cloudWatch(), TimeoutSeconds: &cmd.Timeout,
	}
	if out.Parameters == nil {
		out.Parameters = map[string][]string{}
	}
	if out.InstanceIds == nil {
		out.InstanceIds = []string{}
	}
	if out.Targets == nil {
		out.Targets = []ssm.Target{}
	}
	return out, nil
}

// notification is whom the caller wants told; without a wish nobody.
func (p *plan) notification() *ssm.NotificationConfig {
	if p.request.Notification != nil {
		return p.request.Notification
	}
	return &ssm.NotificationConfig{NotificationArn: new(""), NotificationEvents: []string{}, NotificationType: new("")}
}
