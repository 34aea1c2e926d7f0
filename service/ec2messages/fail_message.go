package ec2messages

import (
	"context"

	"github.com/vennel/vennel/api/ec2messages"
)

// FailMessage says that a node cannot do anything with a message.
func (m *Messages) FailMessage(ctx context.Context, in *ec2messages.FailMessageInput) (*ec2messages.FailMessageOutput, error) {
	node, err := allow(ctx, "ec2messages:FailMessage", in.MessageId)
	if err != nil {
		return nil, err
	}
	return &ec2messages.FailMessageOutput{}, m.inbox.Accepted(ctx, node, in.MessageId, "51408", in.FailureType)
}
