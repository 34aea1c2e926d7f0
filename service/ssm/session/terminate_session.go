package session

import (
	"context"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/service/ssm/session/internal/rows"
	"github.com/vennel/vennel/store"
)

// TerminateSession ends a session on both sides. One that is ending or has ended stays as it is.
func (s *Sessions) TerminateSession(ctx context.Context, in *ssm.TerminateSessionInput) (*ssm.TerminateSessionOutput, error) {
	call := api.CallFrom(ctx)
	reason := "Your session has been terminated by " + call.Principal.ARN() + "."
	var ends bool
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		row, ok, err := find(ctx, tx, "ssm:TerminateSession", in.SessionId)
		if err != nil {
			return err
		}
		if !ok {
			return noSession(in.SessionId)
		}
		n, err := rows.New(tx).SetTerminating(ctx, rows.SetTerminatingParams{ID: row.ID, Details: clip(reason, mostDetails), Output: reason})
		ends = n > 0
		return err
	})
	if err != nil {
		return nil, err
	}
	if l := s.lookup(in.SessionId); ends && l != nil {
		s.closed(l, terminating, reason)
	}
	return &ssm.TerminateSessionOutput{SessionId: &in.SessionId}, nil
}

// mostDetails is how much is kept of why a session has ended. source: model
const mostDetails = 1024
