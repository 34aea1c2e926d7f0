package ssmmessages

import (
	"context"

	"github.com/vennel/vennel/api/ssmmessages"
)

// CreateDataChannel gives the node of a session the token with which it opens its side of it.
func (m *Messages) CreateDataChannel(ctx context.Context, in *ssmmessages.CreateDataChannelInput) (*ssmmessages.CreateDataChannelOutput, error) {
	token, err := m.sessions.CreateChannel(ctx, in.SessionId)
	if err != nil {
		return nil, err
	}
	return &ssmmessages.CreateDataChannelOutput{MessageSchemaVersion: schemaVersion, TokenValue: token}, nil
}
