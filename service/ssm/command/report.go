package command

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/command/internal/rows"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/store"
)

// news is one thing that a node said about a job.
type news struct {
	node, command, job string
	refused            string // why the agent does not take the job; "" when it does
	reply              *reply // nil for a mere acknowledgement
}

// reply is what an agent says about a job. Which steps it tells of, and in which order replies come,
// is not to be relied on.
type reply struct {
	DocumentStatus      string            `json:"documentStatus"`
	DocumentTraceOutput string            `json:"documentTraceOutput"`
	RuntimeStatus       map[string]result `json:"runtimeStatus"`
}

// result is the result of a step.
type result struct {
	Status             string `json:"status"`
	Code               int64  `json:"code"`
	Name               string `json:"name"`
	Output             string `json:"output"`
	StartDateTime      string `json:"startDateTime"`
	EndDateTime        string `json:"endDateTime"`
	OutputS3BucketName string `json:"outputS3BucketName"`
	OutputS3KeyPrefix  string `json:"outputS3KeyPrefix"`
	StandardOutput     string `json:"standardOutput"`
	StandardError      string `json:"standardError"`
}

// errForeign refuses a node that speaks of another's job.
var errForeign = errors.New("a node may only speak of its own jobs")

// split takes a job's name apart.
func split(job, node string) (command string, err error) {
	rest, ok := strings.CutSuffix(job, "."+node)
	if !ok {
		return "", errForeign
	}
	return rest[strings.LastIndexByte(rest, '.')+1:], nil
}

// The codes with which an agent answers a job. source: agent
const (
	codeTaken     = "200"
	codeClosing   = "51401" // it is shutting down
	codeFull      = "51402" // it has no room; the job is dropped
	codeDuplicate = "51405" // it has the job already
)

// Accepted takes an agent's answer to a job: it has it, has no room for it, or will never do it.
func (c *Commands) Accepted(ctx context.Context, node, job, code, message string) error {
	command, err := split(job, node)
	if err != nil {
		return err
	}
	n := news{node: node, command: command, job: job}
	switch code {
	case codeTaken, codeDuplicate:
	case codeClosing, codeFull:
		c.fleet.Later(node, job)
		return nil
	default:
		n.refused = fmt.Sprintf("The agent refused the command: %s (%s)", clean(message), clean(code))
	}
	return c.take(ctx, n)
}

// Reply takes what an agent says about a job. What cannot be read is passed over: the agent would
// only send the same again.
func (c *Commands) Reply(ctx context.Context, node, job, topic string, content []byte) error {
	command, err := split(job, node)
	if err != nil {
		return err
	}
	if strings.HasPrefix(topic, "aws.ssm.cancelCommand") {
		return nil // an order to cancel has no results of its own
	}
	r := new(reply)
	if err := json.Unmarshal(content, r, jsontext.AllowInvalidUTF8(true)); err != nil {
		c.log.Warn("reply not understood", "node", node, "job", job, "error", err)
		return nil
	}
	return c.take(ctx, news{node: node, command: command, job: job, reply: r})
}

// take writes news down, together with others. When it returns they are safe.
func (c *Commands) take(ctx context.Context, n news) error {
	if err := c.inbox.Add(ctx, n); err != nil {
		return err
	}
	c.fleet.Arrived(n.node, n.job)
	return nil
}

// apply writes a batch of news down.
func (c *Commands) apply(tx *store.Tx, batch []news) error {
	ctx := context.Background() //nolint:forbidigo // the batch belongs to no request
	l := open(tx, time.Now())
	done := make(map[string]bool, len(batch))
	for i := range batch {
		if key := batch[i].job; !done[key] {
			done[key] = true
			if err := c.applyTo(ctx, l, batch[i:]); err != nil {
				return err
			}
		}
	}
	return l.close(ctx)
}

// applyTo applies the news about the first one's job to its invocation.
func (c *Commands) applyTo(ctx context.Context, l *ledger, batch []news) error {
	first := &batch[0]
	if err := fleet.Taken(ctx, l.tx, first.node, first.job); err != nil {
		return err
	}
	i, err := l.q.GetInvocation(ctx, rows.GetInvocationParams{Command: first.command, Node: first.node})
	if errors.Is(err, sql.ErrNoRows) {
		return nil // an order to cancel, or a command that has been forgotten
	} else if err != nil {
		return err
	}
	before := i
	for n := range batch {
		if batch[n].job != first.job {
			continue
		}
		if err := c.learn(ctx, l, &i, &batch[n]); err != nil {
			return err
		}
	}
	if i == before {
		return nil
	}
	return l.save(ctx, &i)
}

// learn applies one piece of news to an invocation. An ended invocation stays ended, but the results
// of its steps may still come.
func (c *Commands) learn(ctx context.Context, l *ledger, i *rows.SsmInvocation, n *news) error {
	begun := i.Open && (i.Status == pending || i.Status == delayed)
	if n.refused != "" {
		if begun {
			i.Trace = n.refused
			return l.end(ctx, i, failed, failed)
		}
		return nil
	}
	if begun {
		if err := l.begin(ctx, i); err != nil {
			return err
		}
	}
	if n.reply == nil {
		return l.stop(ctx, i)
	}
	if err := c.learnSteps(ctx, l, i, n.reply.RuntimeStatus); err != nil {
		return err
	}
	if trace := clip(clean(n.reply.DocumentTraceOutput), mostTrace); trace != "" {
		i.Trace = trace
	}
	switch n.reply.DocumentStatus {
	case "Success":
		return l.end(ctx, i, success, success)
	case "Failed":
		return l.end(ctx, i, failed, failed)
	case "TimedOut":
		return l.end(ctx, i, timedOut, detailExecutionTimedOut)
	case "Cancelled":
		return l.end(ctx, i, cancelled, cancelled)
	}
	return l.stop(ctx, i) // InProgress, or SuccessAndReboot: the node goes on after its reboot
}

// stop tells a node that has begun a job which was cancelled before it could be known: the message
// was on its way.
func (l *ledger) stop(ctx context.Context, i *rows.SsmInvocation) error {
	if i.Open || i.Details != cancelled {
		return nil
	}
	return l.askToCancel(ctx, i)
}

// The sizes that are kept, which are those that AWS answers. Agents cut the streams there themselves.
// source: model
const (
	mostStdout = 24000
	mostStderr = 8000
	mostOutput = 2500
	mostTrace  = 2500
	mostText   = 512
)

// learnSteps keeps the results of steps, the last said of each. Steps that the document has not are
// passed over.
func (c *Commands) learnSteps(ctx context.Context, l *ledger, i *rows.SsmInvocation, steps map[string]result) error {
	if len(steps) == 0 {
		return nil
	}
	cmd, err := l.command(ctx, i.Command)
	if err != nil {
		return err
	}
	p, err := c.cached.of(cmd)
	if err != nil {
		return err
	}
	for name, r := range steps {
		at, ok := p.order[name]
		if !ok {
			continue
		}
		err := l.q.PutStep(ctx, rows.PutStepParams{
			Command: i.Command, Node: i.Node, Name: name, Plugin: p.steps[at].Plugin, Status: clip(clean(r.Status), mostText), Code: r.Code,
			Started: instant(r.StartDateTime), Ended: instant(r.EndDateTime), Output: clip(clean(r.Output), mostOutput),
			Stdout: clip(clean(r.StandardOutput), mostStdout), Stderr: clip(clean(r.StandardError), mostStderr),
			S3Bucket: clip(clean(r.OutputS3BucketName), mostText), S3Prefix: clip(clean(r.OutputS3KeyPrefix), mostText),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// clean makes what a node sent fit to be kept: NUL, which no database takes in a text, is replaced.
func clean(s string) string {
	if !strings.ContainsRune(s, 0) {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// clip cuts a text to a number of characters.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	n := 0
	for at := range s {
		if n == most {
			return s[:at]
		}
		n++
	}
	return s
}

// instant keeps a time of the agent's if it is one.
func instant(s string) string {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 2000 || t.Year() > 9999 {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// stepStatus is what AWS calls the status of a step. A skipped step is a success there, with
// details that say so.
func stepStatus(s string) (status, details string) {
	switch s {
	case "Success", "Failed", "Cancelled", "InProgress":
		return s, s
	case "TimedOut":
		return ssm.CommandPluginStatusTimedOut, detailExecutionTimedOut
	case "Skipped":
		return ssm.CommandPluginStatusSuccess, "Skipped"
	case "NotStarted", "":
		return ssm.CommandPluginStatusPending, pending
	}
	return ssm.CommandPluginStatusInProgress, inProgress
}
