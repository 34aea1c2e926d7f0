package command

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/command/internal/rows"
	"github.com/vennel/vennel/store"
)

// GetCommandInvocation tells how a command went on a node: of its only step, or of the one named.
func (c *Commands) GetCommandInvocation(ctx context.Context, in *ssm.GetCommandInvocationInput) (*ssm.GetCommandInvocationOutput, error) {
	call := api.CallFrom(ctx)
	if err := iam.Allow(ctx, "ssm:GetCommandInvocation", "*"); err != nil {
		return nil, err
	}
	out := new(ssm.GetCommandInvocationOutput)
	err := c.db.View(ctx, func(tx *store.Tx) error {
		l := open(tx, call.Time)
		i, err := l.q.GetInvocation(ctx, rows.GetInvocationParams{Command: in.CommandId, Node: in.InstanceId})
		if errors.Is(err, sql.ErrNoRows) || err == nil && (i.Account != call.Account || i.Region != call.Region) {
			return ssm.ErrInvocationDoesNotExist("")
		} else if err != nil {
			return err
		}
		cmd, err := l.command(ctx, i.Command)
		if err != nil {
			return err
		}
		p, err := c.cached.of(cmd)
		if err != nil {
			return err
		}
		at, err := p.find(in.PluginName)
		if err != nil {
			return err
		}
		steps, err := l.q.ListSteps(ctx, rows.ListStepsParams{Command: i.Command, Node: i.Node})
		if err != nil {
			return err
		}
		r := rows.SsmStep{Name: p.steps[at].Name, Code: -1}
		for _, s := range steps {
			if s.Name == r.Name {
				r = s
			}
		}
		*out = details(cmd, &i, p, &r)
		if len(p.steps) > 1 {
			status, detail := stepStatus(r.Status)
			out.Status, out.StatusDetails = &status, &detail
		}
		return nil
	})
	return out, err
}

// find gives the step that a caller means. Where there is more than one it must be named.
func (p *plan) find(name *string) (int, error) {
	if name == nil {
		if len(p.steps) > 1 {
			return 0, ssm.ErrInvalidPluginName("The document has %d steps; name one of them", len(p.steps))
		}
		return 0, nil
	}
	at, ok := p.order[*name]
	if !ok {
		return 0, ssm.ErrInvalidPluginName("The document has no step %s", *name)
	}
	return at, nil
}

// details is an invocation with the result of a step as GetCommandInvocation answers it.
func details(cmd *rows.SsmCommand, i *rows.SsmInvocation, p *plan, r *rows.SsmStep) ssm.GetCommandInvocationOutput {
	return ssm.GetCommandInvocationOutput{
		CommandId: &i.Command, InstanceId: &i.Node, Comment: new(cmd.Comment), DocumentName: &cmd.Document,
		DocumentVersion: new(p.version()), PluginName: &r.Name, ResponseCode: &r.Code, ExecutionStartDateTime: &r.Started,
		ExecutionElapsedTime: new(elapsed(r.Started, r.Ended)), ExecutionEndDateTime: &r.Ended, Status: &i.Status, StatusDetails: &i.Details,
		StandardOutputContent: &r.Stdout, StandardOutputUrl: new(p.url(i, r, "stdout")),
		StandardErrorContent: &r.Stderr, StandardErrorUrl: new(p.url(i, r, "stderr")),
		CloudWatchOutputConfig: p.cloudWatch(),
	}
}

// version is the document's version as the caller asked for it. source: aws
func (p *plan) version() string { return p.request.DocumentVersion }

// url is where a stream of a step is kept, if it is.
func (p *plan) url(i *rows.SsmInvocation, r *rows.SsmStep, stream string) string {
	if p.request.S3Bucket == nil || r.S3Bucket == "" {
		return ""
	}
	region := api.Or(p.request.S3Region, i.Region)
	return fmt.Sprintf("https://s3.%s.amazonaws.com/%s/%s/%s/%s", region, r.S3Bucket, r.S3Prefix, r.Name, stream)
}

// cloudWatch is where the output goes; without a wish it goes nowhere.
func (p *plan) cloudWatch() *ssm.CloudWatchOutputConfig {
	if p.request.CloudWatch != nil {
		return p.request.CloudWatch
	}
	return &ssm.CloudWatchOutputConfig{CloudWatchLogGroupName: new(""), CloudWatchOutputEnabled: new(false)}
}

// elapsed is the time between two of the agent's times, in ISO 8601.
func elapsed(from, to string) string {
	a, err := time.Parse(time.RFC3339Nano, from)
	if err != nil {
		return ""
	}
	b, err := time.Parse(time.RFC3339Nano, to)
	if err != nil || b.Before(a) {
		return ""
	}
	d := b.Sub(a)
	text := "PT"
	if h := d / time.Hour; h > 0 {
		text += fmt.Sprintf("%dH", h)
	}
	if m := d % time.Hour / time.Minute; m > 0 {
		text += fmt.Sprintf("%dM", m)
	}
	if s := d % time.Minute; s > 0 || text == "PT" {
		text += fmt.Sprintf("%gS", s.Seconds())
	}
	return text
}
