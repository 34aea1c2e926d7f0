package session

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/session/relay"
	"github.com/vennel/vennel/store"
)

// ResumeSession gives the client of a session a new token. One whose session has ended gets none, which is how it learns that. source:
// agent (the plugin), "Session: X timed out."
func (s *Sessions) ResumeSession(ctx context.Context, in *ssm.ResumeSessionInput) (*ssm.ResumeSessionOutput, error) {
	call := api.CallFrom(ctx)
	out := &ssm.ResumeSessionOutput{SessionId: &in.SessionId}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		row, ok, err := find(ctx, tx, "ssm:ResumeSession", in.SessionId)
		if err != nil {
			return err
		}
		if !ok {
			return noSession(in.SessionId)
		}
		if row.Open || s.lookup(row.ID) != nil { // it may have more to tell of its end
			out.TokenValue = new(s.token(row.ID, relay.Client, call.Time, row.ClientToken))
		}
		return nil
	})
	if err != nil || out.TokenValue == nil {
		return out, err
	}
	url, err := s.streamURL(ctx, call, in.SessionId)
	out.StreamUrl = &url
	return out, err
}

// noSession is the error for a session that there is not. source: guess
func noSession(id string) error {
	return ssm.ErrDoesNotExistException("Session %s does not exist.", id)
}
