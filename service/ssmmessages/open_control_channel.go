package ssmmessages

import (
	"context"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/service/ssm/session"
)

// OpenControlChannel is a node's control channel, for as long as it lasts: jobs go out on it, and
// what the node says about them comes back.
func (m *Messages) OpenControlChannel(ctx context.Context, in *ssmmessages.OpenControlChannelInput, s api.Stream) error {
	c := &channel{Messages: m, node: in.ChannelId, stream: s, detach: func() {}}
	opened := false
	defer func() {
		if !opened { // a panic is an end, too
			c.detach()
		}
	}()
	if err := c.open(ctx, in); err != nil {
		return err
	}
	opened = true
	return s.Listen(c.receive, c.detach)
}

// channel is an open control channel.
type channel struct {
	*Messages
	node   string
	stream api.Stream
	ctx    context.Context //nolint:containedctx // of the conversation, not of the request
	detach func()
}

// open accepts the stream and makes it the node's control channel.
func (c *channel) open(ctx context.Context, in *ssmmessages.OpenControlChannelInput) (err error) {
	if err := fleet.AllowNode(ctx, "ssmmessages:OpenControlChannel", "*", c.node); err != nil {
		return err
	}
	if c.ctx, err = c.stream.Accept(in, func(context.Context) error { return c.checkToken(c.node, in.TokenValue, time.Now()) }); err != nil {
		return err
	}
	c.detach = c.fleet.AttachChannel(c.ctx, c.node, c)
	if err := c.registered(ctx, c.node); err != nil { // asked now, for a deregistration that comes later ends the channel
		return err
	}
	return c.sessions.NodeConnected(c.ctx, c.node)
}

var _ fleet.Channel = (*channel)(nil)

// agentJob is a job as the agent takes it.
type agentJob struct {
	SchemaVersion int
	JobID         string `json:"JobId"`
	Topic         string
	Content       string
}

// Deliver sends a job.
func (c *channel) Deliver(_ context.Context, m fleet.Message) error {
	return c.Tell("agent_job", agentJob{SchemaVersion: 1, JobID: m.Job, Topic: m.Topic, Content: m.Content})
}

// HangUp ends the channel.
func (c *channel) HangUp(reason string) {
	_ = c.stream.Close(reason) // it may be gone already
}

// Tell sends a message of a type.
func (c *channel) Tell(kind string, payload any) error {
	text, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	return c.stream.Send(&api.Message{Type: kind, Schema: 1, Created: time.Now(), ID: uuid.New(), Payload: text})
}

// receive acts on a message of the agent. An error ends the channel: the agent opens another.
func (c *channel) receive(m *api.Message) error {
	switch m.Type {
	case "agent_job_ack":
		return c.acknowledged(c.ctx, m)
	case "agent_job_reply":
		return c.replied(c.ctx, m)
	case "agent_task_complete":
		return c.completed(c.ctx, m)
	case "agent_telemetry", "agent_update_result":
		return nil // said for the record, and no answer is expected
	}
	return api.Errorf(api.Unserializable, "A node does not send messages of type %q", m.Type)
}

// jobAck says that the agent has taken a job, or why it did not.
type jobAck struct {
	JobID        string `json:"jobId"`
	StatusCode   string `json:"statusCode"`
	ErrorMessage string `json:"errorMessage"`
}

// acknowledged acts on a jobAck.
func (c *channel) acknowledged(ctx context.Context, m *api.Message) error {
	var ack jobAck
	if err := json.Unmarshal(m.Payload, &ack); err != nil {
		return api.Errorf(api.Unserializable, "The acknowledgement is malformed")
	}
	return c.inbox.Accepted(ctx, c.node, ack.JobID, ack.StatusCode, ack.ErrorMessage)
}

// jobReply is what the agent says about a job.
type jobReply struct {
	JobID   string `json:"jobId"`
	Topic   string `json:"topic"`
	Content string `json:"content"`
}

// replyAck tells the agent that its reply is safe.
type replyAck struct {
	JobID                 string `json:"jobId"`
	AcknowledgedMessageID string `json:"acknowledgedMessageId"`
}

// replied passes a reply on and acknowledges it when it is safe. A node may only speak of its own
// jobs, which is for the inbox to know.
func (c *channel) replied(ctx context.Context, m *api.Message) error {
	var reply jobReply
	if err := json.Unmarshal(m.Payload, &reply); err != nil {
		return api.Errorf(api.Unserializable, "The reply is malformed")
	}
	if err := c.inbox.Reply(ctx, c.node, reply.JobID, reply.Topic, []byte(reply.Content)); err != nil {
		return err
	}
	return c.Tell("agent_job_reply_ack", replyAck{JobID: reply.JobID, AcknowledgedMessageID: m.ID.String()})
}

// taskComplete is what the agent says about a session that is over there.
type taskComplete struct {
	TaskID          string `json:"TaskId"`
	Topic           string
	FinalTaskStatus string
	Output          string
	S3Bucket        string
	S3URLSuffix     string `json:"S3UrlSuffix"`
	CwlGroup        string
	CwlStream       string
}

// taskAck tells the agent that what it said about a session is safe.
type taskAck struct {
	SchemaVersion int
	MessageID     string `json:"MessageId"`
	TaskID        string `json:"TaskId"`
	Topic         string
}

// completed passes on that a session is over, and acknowledges that when it is safe.
func (c *channel) completed(ctx context.Context, m *api.Message) error {
	var t taskComplete
	if err := json.Unmarshal(m.Payload, &t, jsontext.AllowInvalidUTF8(true)); err != nil {
		return api.Errorf(api.Unserializable, "The completion is malformed")
	}
	err := c.sessions.Completed(ctx, c.node, &session.Completion{
		Session: t.TaskID, Status: t.FinalTaskStatus, Output: t.Output, S3Bucket: t.S3Bucket, S3Key: t.S3URLSuffix, LogGroup: t.CwlGroup, LogStream: t.CwlStream,
	})
	if err != nil {
		return err
	}
	return c.Tell("agent_task_acknowledge", taskAck{SchemaVersion: 1, MessageID: m.ID.String(), TaskID: t.TaskID, Topic: t.Topic})
}
