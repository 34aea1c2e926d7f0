package ec2messages

import (
	"context"

	"github.com/vennel/vennel/api/ec2messages"
)

// sendCommand is the topic of replies on this line, which do not name one.
const sendCommand = "aws.ssm.sendCommand"

// SendReply says what a node has to say about a message.
func (m *Messages) SendReply(ctx context.Context, in *ec2messages.SendReplyInput) (*ec2messages.SendReplyOutput, error) {
	node, err := allow(ctx, "ec2messages:SendReply", in.MessageId)
	if err != nil {
		return nil, err
	}
	if err := m.inbox.Reply(ctx, node, in.MessageId, sendCommand, []byte(in.Payload)); err != nil {
		return nil, err
	}
	return &ec2messages.SendReplyOutput{MessageId: &in.MessageId, ReplyId: &in.ReplyId, ReplyStatus: new("Sent")}, nil
}
