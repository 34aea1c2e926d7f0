package ec2messages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2messages"
	"github.com/vennel/vennel/service/ssm/fleet"
)

// pollTime is how long a poll is held: agents give up at 20 seconds.
const pollTime = 17 * time.Second

// gatherTime is how long a poll waits for more when it has something.
const gatherTime = 5 * time.Millisecond

// GetMessages waits for messages to a node. While the node holds its control channel there are none.
func (m *Messages) GetMessages(ctx context.Context, in *ec2messages.GetMessagesInput) (*ec2messages.GetMessagesOutput, error) {
	if err := fleet.AllowNode(ctx, "ec2messages:GetMessages", "*", in.Destination); err != nil {
		return nil, err
	}
	if ok, err := m.fleet.Registered(ctx, in.Destination); err != nil {
		return nil, err
	} else if !ok {
		return nil, ec2messages.ErrInvalidDestinationException("The destination %s is not a managed node", in.Destination)
	}
	m.fleet.Seen(in.Destination, api.CallFrom(ctx).Time)
	p := &poll{wake: make(chan struct{}, 1)}
	defer m.fleet.AttachPoll(ctx, in.Destination, p)()
	p.wait(ctx)
	out := &ec2messages.GetMessagesOutput{Destination: in.Destination, MessagesRequestId: in.MessagesRequestId, Messages: []ec2messages.Message{}}
	for _, message := range p.take() {
		digest := sha256.Sum256([]byte(message.Content))
		out.Messages = append(out.Messages, ec2messages.Message{
			CreatedDate: message.Created.Format("2006-01-02T15:04:05.000Z"), Destination: in.Destination, MessageId: message.Job,
			Payload: message.Content, PayloadDigest: hex.EncodeToString(digest[:]), Topic: message.Topic,
		})
	}
	m.fleet.Seen(in.Destination, time.Now())
	return out, nil
}

// poll is a waiting poll as a line.
type poll struct {
	wake chan struct{} // something has come, or the poll is to end

	mu    sync.Mutex
	mail  []fleet.Message // guarded by mu
	taken bool            // the answer is on its way; guarded by mu
}

// errAnswered says that a message came too late for a poll.
var errAnswered = errors.New("the poll has been answered")

var _ fleet.Line = (*poll)(nil)

// Deliver keeps a message for the answer.
func (p *poll) Deliver(_ context.Context, m fleet.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken {
		return errAnswered
	}
	p.mail = append(p.mail, m)
	p.HangUp("")
	return nil
}

// HangUp ends the wait.
func (p *poll) HangUp(string) {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// wait returns when a message has come, or when the time is over.
func (p *poll) wait(ctx context.Context) {
	timer := time.NewTimer(pollTime)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-p.wake:
		timer.Reset(gatherTime)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
}

// take gives what has come, and refuses what comes later.
func (p *poll) take() []fleet.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = true
	return p.mail
}
