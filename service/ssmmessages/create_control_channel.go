package ssmmessages

import (
	"context"
	"encoding/base64"
	"strconv"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/service/ssm/fleet"
)

// tokenLife is how long after its making a token opens a channel: an agent opens it at once.
const tokenLife = 5 * time.Minute

// schemaVersion is the only version of the channel's messages.
const schemaVersion = "1.0"

// CreateControlChannel gives a node the token with which it opens its control channel.
func (m *Messages) CreateControlChannel(ctx context.Context, in *ssmmessages.CreateControlChannelInput) (*ssmmessages.CreateControlChannelOutput, error) {
	if err := fleet.AllowNode(ctx, "ssmmessages:CreateControlChannel", "*", in.ChannelId); err != nil {
		return nil, err
	}
	call := api.CallFrom(ctx)
	call.Last = true // the agent keeps a connection of its own for this one request, and would leave it open
	if err := m.registered(ctx, in.ChannelId); err != nil {
		return nil, err
	}
	return &ssmmessages.CreateControlChannelOutput{MessageSchemaVersion: schemaVersion, TokenValue: m.token(in.ChannelId, call.Time)}, nil
}

// token seals a channel's name and the time.
func (m *Messages) token(channel string, now time.Time) string {
	return base64.StdEncoding.EncodeToString(m.tokens.Seal(strconv.AppendInt(nil, now.Unix(), 10), channel))
}

// checkToken refuses a token that was not made for the channel, or too long ago.
func (m *Messages) checkToken(channel, token string, now time.Time) error {
	sealed, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		return denied()
	}
	text, err := m.tokens.Open(sealed, channel)
	if err != nil {
		return denied()
	}
	made, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || now.Sub(time.Unix(made, 0)) > tokenLife {
		return denied()
	}
	return nil
}
