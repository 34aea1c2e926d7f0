package ssmmessages

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssmmessages"
)

// OpenDataChannel is one side of a session, for as long as its connection lasts.
func (m *Messages) OpenDataChannel(ctx context.Context, in *ssmmessages.OpenDataChannelInput, s api.Stream) error {
	return m.sessions.Open(ctx, in, s)
}
