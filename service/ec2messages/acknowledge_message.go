package ec2messages

import (
	"context"

	"github.com/vennel/vennel/api/ec2messages"
)

// accepted is the code with which agents take a job on the other line.
const accepted = "200"

// AcknowledgeMessage says that a node has taken a message.
func (m *Messages) AcknowledgeMessage(ctx context.Context, in *ec2messages.AcknowledgeMessageInput) (*ec2messages.AcknowledgeMessageOutput, error) {
	node, err := allow(ctx, "ec2messages:AcknowledgeMessage", in.MessageId)
	if err != nil {
		return nil, err
	}
	return &ec2messages.AcknowledgeMessageOutput{}, m.inbox.Accepted(ctx, node, in.MessageId, accepted, "")
}
