package agenttest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2messages"
	"github.com/vennel/vennel/api/ssmmessages"
)

// messagesServer answers the control channel.
type messagesServer struct {
	ssmmessages.Unimplemented
	*Plane
}

// CreateControlChannel gives a token.
func (s *messagesServer) CreateControlChannel(ctx context.Context, in *ssmmessages.CreateControlChannelInput) (out *ssmmessages.CreateControlChannelOutput, err error) {
	n, leave, err := s.enter(ctx, "CreateControlChannel")
	if err != nil {
		return nil, err
	}
	defer leave(&err)
	if err := mustBe(n, in.ChannelId); err != nil {
		return nil, err
	}
	if n.Refuse {
		return nil, &api.Error{Code: "AccessDeniedException", Status: 400, Message: "refused for a test"}
	}
	n.token = uuid.NewString()
	return &ssmmessages.CreateControlChannelOutput{MessageSchemaVersion: ssmmessages.SchemaVersion10, TokenValue: n.token}, nil
}

// OpenControlChannel takes messages until the node or the plane goes.
func (s *messagesServer) OpenControlChannel(ctx context.Context, in *ssmmessages.OpenControlChannelInput, stream api.Stream) error {
	n, leave, err := s.enter(ctx, "OpenControlChannel")
	if err != nil {
		return err
	}
	err = mustBe(n, in.ChannelId)
	leave(&err)
	if err != nil {
		return err
	}
	if _, err := stream.Accept(in, unchecked); err != nil {
		return err
	}
	s.mu.Lock()
	if in.TokenValue != n.token {
		s.mu.Unlock()
		return errors.New("a wrong token")
	}
	for _, c := range n.Order { // what was sent and not acknowledged on an earlier channel
		c.waiting = c.waiting || c.Sent > 0 && len(c.Acks) == 0
	}
	n.stream = stream
	n.Opened = append(n.Opened, *in)
	n.deliver()
	s.change()
	hangsUp := n.HangsUp
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if n.stream == stream {
			n.stream = nil
		}
		s.change()
	}()
	for !hangsUp {
		m, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := s.message(n, stream, m); err != nil {
			return err
		}
	}
	return nil
}

// message takes one message of a node's.
func (s *messagesServer) message(n *Node, stream api.Stream, m *api.Message) error {
	var body struct {
		JobID      string `json:"jobId"`
		StatusCode string `json:"statusCode"`
		Topic      string `json:"topic"`
		Content    string `json:"content"`
		Message    string `json:"acknowledgedMessageId"`
	}
	if err := json.Unmarshal(m.Payload, &body); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.change()
	switch m.Type {
	case "agent_job_ack":
		for _, c := range n.Order {
			if c.message.String() == body.Message && c.JobID == body.JobID {
				c.Acks = append(c.Acks, body.StatusCode)
				c.waiting = body.StatusCode == "51401" || body.StatusCode == "51402"
			}
		}
	case "agent_job_reply":
		if n.reply(body.JobID, "ssmmessages", m.ID.String(), body.Topic, body.Content) {
			payload, err := json.Marshal(map[string]string{"jobId": body.JobID, "acknowledgedMessageId": m.ID.String()})
			if err != nil {
				return err
			}
			return stream.Send(&api.Message{Type: "agent_job_reply_ack", Schema: 1, Created: time.Now(), ID: uuid.New(), Payload: payload})
		}
	default:
		n.Others = append(n.Others, *m)
		if m.Type != "agent_task_complete" {
			break
		}
		if ack := n.completed(m); ack != nil {
			return stream.Send(&api.Message{Type: "agent_task_acknowledge", Schema: 1, Created: time.Now(), ID: uuid.New(), Payload: ack})
		}
	}
	return nil
}

// pollServer answers ec2messages.
type pollServer struct {
	ec2messages.Unimplemented
	*Plane
}

// The times of polling.
const (
	holdTime   = 5 * time.Second
	visibility = 2 * time.Second
)

// GetMessages holds the call until there is a job, for nodes that have no control channel.
func (s *pollServer) GetMessages(ctx context.Context, in *ec2messages.GetMessagesInput) (out *ec2messages.GetMessagesOutput, err error) {
	n, leave, err := s.enter(ctx, "GetMessages")
	if err != nil {
		return nil, err
	}
	err = mustBe(n, in.Destination)
	n.Polls++
	leave(&err)
	if err != nil {
		return nil, err
	}
	out = &ec2messages.GetMessagesOutput{Destination: in.Destination, MessagesRequestId: in.MessagesRequestId, Messages: []ec2messages.Message{}}
	for end := time.After(holdTime); ; {
		s.mu.Lock()
		changed := s.changed
		for _, c := range n.Order {
			if n.stream == nil && (c.waiting || c.Sent > 0 && !c.Acknowledged && len(c.Acks) == 0) && time.Now().After(c.visible) {
				out.Messages = append(out.Messages, ec2messages.Message{
					CreatedDate: time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), Destination: n.ID, MessageId: c.JobID,
					Payload: c.Content, PayloadDigest: "x", Topic: c.Topic,
				})
				c.waiting = false
				c.Sent++
				c.visible = time.Now().Add(visibility)
			}
		}
		s.mu.Unlock()
		if len(out.Messages) > 0 {
			return out, nil
		}
		select {
		case <-end:
			return out, nil
		case <-ctx.Done():
			return out, nil
		case <-changed:
		}
	}
}

// find is the command of a message.
func (n *Node) find(messageID string) *Command {
	for _, c := range n.Order {
		if c.JobID == messageID {
			return c
		}
	}
	return nil
}

// AcknowledgeMessage takes a message off the queue.
func (s *pollServer) AcknowledgeMessage(ctx context.Context, in *ec2messages.AcknowledgeMessageInput) (out *ec2messages.AcknowledgeMessageOutput, err error) {
	n, leave, err := s.enter(ctx, "AcknowledgeMessage")
	if err != nil {
		return nil, err
	}
	defer leave(&err)
	if c := n.find(in.MessageId); c != nil && !c.Acknowledged {
		c.Acknowledged, c.Before = true, len(c.Replies)
	}
	return &ec2messages.AcknowledgeMessageOutput{}, nil
}

// FailMessage takes a message off the queue that the node cannot handle.
func (s *pollServer) FailMessage(ctx context.Context, in *ec2messages.FailMessageInput) (out *ec2messages.FailMessageOutput, err error) {
	n, leave, err := s.enter(ctx, "FailMessage")
	if err != nil {
		return nil, err
	}
	defer leave(&err)
	n.Failed = append(n.Failed, strings.TrimSpace(in.MessageId+" "+in.FailureType))
	if c := n.find(in.MessageId); c != nil {
		c.Acknowledged = true
	}
	return &ec2messages.FailMessageOutput{}, nil
}

// SendReply takes a reply; if it is not to be acknowledged, the call fails.
func (s *pollServer) SendReply(ctx context.Context, in *ec2messages.SendReplyInput) (out *ec2messages.SendReplyOutput, err error) {
	n, leave, err := s.enter(ctx, "SendReply")
	if err != nil {
		return nil, err
	}
	defer leave(&err)
	if !n.reply(in.MessageId, "ec2messages", in.ReplyId, "", in.Payload) {
		return nil, Broken
	}
	return &ec2messages.SendReplyOutput{}, nil
}

// unchecked takes any opening message.
func unchecked(context.Context) error { return nil }
