package ssmmessages

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/service/ssm/fleet"
)

// OpenControlChannel is a node's control channel, for as long as it lasts: jobs go out on it, and
// what the node says about them comes back.
func (m *Messages) OpenControlChannel(ctx context.Context, in *ssmmessages.OpenControlChannelInput, s api.Stream) error {
	c := &channel{Messages: m, node: in.ChannelId, stream: s, detach: func() {}}
	defer func() { c.detach() }()
	if err := api.Aside(func() error { return c.open(ctx, in) }); err != nil {
		return err
	}
	for {
		message, err := s.Receive()
		if err != nil {
			return err
		}
		if err := api.Aside(func() error { return c.receive(message) }); err != nil {
			return err
		}
	}
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
	if c.ctx, err = c.stream.Accept(in); err != nil {
		return err
	}
	if err := c.checkToken(c.node, in.TokenValue, time.Now()); err != nil {
		return err
	}
	c.detach = c.fleet.AttachChannel(c.ctx, c.node, c)
	return c.registered(ctx, c.node) // asked now, for a deregistration that comes later ends the channel
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
	case "agent_telemetry", "agent_update_result", "agent_task_complete":
		return nil // said for the record, and no answer is expected
	}
	return fmt.Errorf("a node sent a message of type %s", m.Type)
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
		return errors.New("a node sent a malformed acknowledgement")
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
		return errors.New("a node sent a malformed reply")
	}
	if err := c.inbox.Reply(ctx, c.node, reply.JobID, reply.Topic, []byte(reply.Content)); err != nil {
		return err
	}
	return c.Tell("agent_job_reply_ack", replyAck{JobID: reply.JobID, AcknowledgedMessageID: m.ID.String()})
}
