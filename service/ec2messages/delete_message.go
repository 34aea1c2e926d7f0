package ec2messages

import (
	"context"

	"github.com/vennel/vennel/api/ec2messages"
)

// DeleteMessage says that a node is done with a message. Agents acknowledge instead; to the mailbox
// it is the same.
func (m *Messages) DeleteMessage(ctx context.Context, in *ec2messages.DeleteMessageInput) (*ec2messages.DeleteMessageOutput, error) {
	node, err := allow(ctx, "ec2messages:DeleteMessage", in.MessageId)
	if err != nil {
		return nil, err
	}
	return &ec2messages.DeleteMessageOutput{}, m.inbox.Accepted(ctx, node, in.MessageId, accepted, "")
}
