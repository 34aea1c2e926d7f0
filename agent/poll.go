package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2messages"
)

// The times of polling. source: agent, but for the last
const (
	pollTime   = 20 * time.Second // the longest that a server holds a poll
	quickPoll  = time.Second      // after which an empty answer is taken for a hurried one
	quickPause = 2 * time.Second
	pollWait   = time.Minute // the longest pause after failures
)

// visibility is the time in which a message must be acknowledged. source: agent
const visibility = 10

// poll polls while the control channel is refused.
func (l *lines) poll(ctx context.Context, in *inbox) {
	for failures := 0; ctx.Err() == nil; {
		line, changed := l.current()
		if line != pollLine {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		if err := l.pollOnce(ctx, in); err != nil {
			failures++
			if ctx.Err() == nil {
				l.log.Warn("polling failed", "error", err)
			}
			sleep(ctx, backoff(failures, pollWait))
			continue
		}
		failures = 0
	}
}

// pollOnce makes one poll. A poll that ends with its time is no error.
func (l *lines) pollOnce(ctx context.Context, in *inbox) error {
	begin := time.Now()
	var out ec2messages.GetMessagesOutput
	err := l.calls.signed("ec2messages", pollTime, l.creds).Call(ctx, "GetMessages", &ec2messages.GetMessagesInput{
		Destination: l.node.InstanceID, MessagesRequestId: uuid.NewString(), VisibilityTimeoutInSeconds: api.Given[int64](visibility),
	}, &out)
	took := time.Since(begin)
	if err != nil && took < pollTime {
		return err
	}
	for _, m := range out.Messages {
		l.message(ctx, in, m)
	}
	if len(out.Messages) == 0 && took < quickPoll {
		sleep(ctx, quickPause+rand.N(quickPause/4))
	}
	return nil
}

// message handles one message: it tells the server that the job has begun before it acknowledges the
// message, as the official agent does. A message for which there is no room is not acknowledged, so
// that the server delivers it again when it is visible again.
func (l *lines) message(ctx context.Context, in *inbox, m ec2messages.Message) {
	log := l.log.With("message", m.MessageId)
	verdict, j := in.accept(&delivery{JobID: m.MessageId, Topic: m.Topic, Content: m.Payload, Line: pollLine})
	switch {
	case verdict == accepted:
		if err := l.sendReply(ctx, begun(j, topicOf(m.Topic)), false); err != nil {
			log.Warn("the job's beginning was not reported", "error", err)
		}
	case verdict.refuse:
		if err := l.call(ctx, "FailMessage", &ec2messages.FailMessageInput{MessageId: m.MessageId, FailureType: ec2messages.FailureTypeInternalHandlerException}, new(ec2messages.FailMessageOutput)); err != nil {
			log.Warn("the message was not refused", "error", err)
		}
		return
	case verdict != duplicate:
		return // a reply says why, or the server delivers it again
	}
	if err := l.call(ctx, "AcknowledgeMessage", &ec2messages.AcknowledgeMessageInput{MessageId: m.MessageId}, new(ec2messages.AcknowledgeMessageOutput)); err != nil {
		log.Warn("the message was not acknowledged", "error", err)
	}
	in.start(j)
}

// call calls ec2messages.
func (l *lines) call(ctx context.Context, operation string, in, out any) error {
	return l.calls.signed("ec2messages", callTime, l.creds).Call(ctx, operation, in, out)
}

// sendReply sends a reply; the answer is its acknowledgement.
func (l *lines) sendReply(ctx context.Context, r *reply, ableToOpen bool) error {
	content, err := r.content(&ableToOpen)
	if err != nil {
		return err
	}
	err = l.call(ctx, "SendReply", &ec2messages.SendReplyInput{MessageId: r.JobID, Payload: string(content), ReplyId: r.ID.String()}, new(ec2messages.SendReplyOutput))
	if err != nil {
		return fmt.Errorf("SendReply: %w", err)
	}
	return nil
}
