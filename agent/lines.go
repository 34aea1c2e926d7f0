package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
)

// The lines, by the names that nodes report. Before the first is open there is none.
const (
	controlLine = "ssmmessages"
	pollLine    = "ec2messages"
)

// lines are the two ways on which jobs come and replies go. The control channel is tried for ever;
// polling stands in while the server refuses it.
type lines struct {
	node  *node
	calls *calls
	creds *credentials
	pace  pace
	log   *slog.Logger

	mu      sync.Mutex
	line    string        // the line in use; guarded by mu
	channel *channel      // nil when none is open; guarded by mu
	changed chan struct{} // closed when either changes; guarded by mu
}

// newLines makes the lines; nothing is open yet.
func newLines(n *node, c *calls, creds *credentials, p pace, log *slog.Logger) *lines {
	return &lines{node: n, calls: c, creds: creds, pace: p, log: log, changed: make(chan struct{})}
}

// current is the line in use, and a channel that is closed when that, or the control channel,
// changes.
func (l *lines) current() (line string, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.line, l.changed
}

// open is the control channel, or nil.
func (l *lines) open() *channel {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.channel
}

// set changes the line in use and the control channel.
func (l *lines) set(line string, ch *channel) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if line == l.line && ch == l.channel {
		return
	}
	if line != l.line {
		l.log.Info("line changed", "line", line)
	}
	l.line, l.channel = line, ch
	close(l.changed)
	l.changed = make(chan struct{})
}

// run keeps a line open until ctx ends.
func (l *lines) run(ctx context.Context, in *inbox, ss *sessions) {
	var parts sync.WaitGroup
	parts.Go(func() { l.control(ctx, in, ss) })
	parts.Go(func() { l.poll(ctx, in) })
	parts.Wait()
}

// control keeps the control channel open. A channel that was good is replaced at once; after
// failures the pauses grow.
func (l *lines) control(ctx context.Context, in *inbox, ss *sessions) {
	for failures := 0; ctx.Err() == nil; {
		begin := time.Now()
		opened, err := l.converse(ctx, in, ss)
		if ctx.Err() != nil {
			return
		}
		if opened && time.Since(begin) >= l.pace.steady {
			failures = 0
		}
		l.calls.close() // what broke the channel may have broken idle connections, too
		var pause time.Duration
		if failures > 0 {
			pause = backoff(failures, passingWait)
		}
		failures++
		l.log.Warn("no control channel", "error", err, "next_try", pause.Round(time.Second).String())
		if deniesChannel(err) {
			l.set(pollLine, nil)
		}
		sleep(ctx, pause)
	}
}

// converse opens a control channel and takes messages from it until it ends.
func (l *lines) converse(ctx context.Context, in *inbox, ss *sessions) (opened bool, err error) {
	ch, err := openChannel(ctx, l.node, l.calls, l.creds, l.pace)
	if err != nil {
		return false, err
	}
	var pinging sync.WaitGroup
	pinging.Go(ch.ping)
	defer pinging.Wait()
	defer ch.close()
	defer context.AfterFunc(ctx, ch.close)()
	l.set(controlLine, ch)
	defer func() { l.set(controlLine, nil) }()
	for {
		m, err := ch.receive(func(err error) { l.log.Warn("a message was skipped", "error", err) })
		if err != nil {
			return true, err
		}
		if err := l.take(ctx, ch, m, in, ss); err != nil {
			l.log.Warn("a message could not be handled", "type", m.Type, "error", err)
		}
	}
}

// agentJob is the payload of an agent_job. source: agent
type agentJob struct {
	SchemaVersion int
	JobID         string `json:"JobId"`
	Topic         string
	Content       string
}

// jobAck is the payload of an agent_job_ack. source: agent
type jobAck struct {
	JobID                 string    `json:"jobId"`
	AcknowledgedMessageID uuid.UUID `json:"acknowledgedMessageId"`
	CreatedDate           string    `json:"createdDate"`
	StatusCode            string    `json:"statusCode"`
	ErrorMessage          string    `json:"errorMessage"`
}

// take handles one message of the control channel.
func (l *lines) take(ctx context.Context, ch *channel, m *api.Message, in *inbox, ss *sessions) error {
	switch m.Type {
	case "agent_job":
		var a agentJob
		if err := json.Unmarshal(m.Payload, &a); err != nil {
			return err
		}
		verdict, j := in.accept(&delivery{JobID: a.JobID, Topic: a.Topic, Content: a.Content, Line: controlLine})
		err := ch.send("agent_job_ack", uuid.New(), jobAck{
			JobID: a.JobID, AcknowledgedMessageID: m.ID, CreatedDate: m.Created.UTC().Format(timeFormat),
			StatusCode: verdict.code, ErrorMessage: verdict.text,
		})
		if verdict == accepted && err == nil {
			err = ch.tell(begun(j, topicOf(a.Topic)))
		}
		in.start(j) // whether or not the server has heard: it is ours now
		return err
	case "agent_job_reply_ack":
		return ch.acknowledged(m.Payload)
	case "interactive_shell":
		return ss.accept(ctx, m.Payload)
	case "channel_closed":
		return ss.end(m.Payload)
	case "agent_task_acknowledge":
		return ss.acknowledged(m.Payload)
	}
	return errors.New("an unknown type")
}

// errNoLine says that there is no line for a reply at present.
var errNoLine = errors.New("no line is open")

// post sends a reply and returns when the server has it. A reply goes by the line on which its job
// came, if that can be.
func (l *lines) post(ctx context.Context, r *reply) error {
	line, _ := l.current()
	ch := l.open()
	switch {
	case r.Line == pollLine && line != "":
		err := l.sendReply(ctx, r, ch != nil)
		if err == nil || ch == nil {
			return err
		}
		if other := ch.post(ctx, r); other != nil {
			return fmt.Errorf("%w; over the control channel: %w", err, other)
		}
		return nil
	case ch != nil:
		return ch.post(ctx, r)
	case line == pollLine:
		return l.sendReply(ctx, r, false)
	}
	return errNoLine
}
