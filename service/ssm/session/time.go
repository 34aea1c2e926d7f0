package session

import (
	"cmp"
	"context"
	"time"

	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/service/ssm/session/internal/rows"
	"github.com/vennel/vennel/store"
)

// pace is how often all live sessions are looked at.
const pace = 2 * time.Second

// history is how long sessions are kept after their end. source: userguide
const history = 30 * 24 * time.Hour

// keepTime is the one loop of all sessions: it acts on what is heard of them, keeps their time, and drops those that are old.
func (s *Sessions) keepTime(ctx context.Context) error {
	for s.restore(ctx) != nil {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pace):
		}
	}
	var look, dropped time.Time
	for {
		timer := time.NewTimer(s.wait(look, dropped))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-s.wake:
			timer.Stop()
		case <-timer.C:
		}
		now := time.Now()
		if now.Sub(dropped) >= dropEvery {
			dropped = now
			s.dropOld(ctx, now)
		}
		all := now.Sub(look) >= pace
		list := s.news(all)
		if all {
			look = now
			for _, l := range list {
				l.relay.Tick(now)
				l.recorder.flush(ctx)
			}
		}
		if err := s.act(ctx, list, now); err != nil && ctx.Err() == nil {
			s.log.Error("sessions not brought up to date", "error", err) // they are looked at again
		}
	}
}

// dropEvery is how often what is old is dropped.
const dropEvery = time.Hour

// wait is how long the loop may sleep when nothing is heard.
func (s *Sessions) wait(look, dropped time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lives) == 0 {
		return time.Until(dropped.Add(dropEvery))
	}
	return time.Until(look.Add(pace))
}

// restore brings back the sessions that were open when the server stopped.
func (s *Sessions) restore(ctx context.Context) error {
	for after := ""; ; {
		var page []rows.SsmSession
		err := s.db.View(ctx, func(tx *store.Tx) (err error) {
			page, err = rows.New(tx).ListOpen(ctx, rows.ListOpenParams{After: after, Most: mostRows})
			return err
		})
		if err != nil {
			if ctx.Err() == nil {
				s.log.Error("open sessions not read", "error", err)
			}
			return err
		}
		now := time.Now()
		for i := range page {
			if _, err := s.attach(ctx, &page[i], untouched(&page[i]), now); err != nil {
				if ctx.Err() == nil {
					s.log.Error("the transcript of an open session not read", "session", page[i].ID, "error", err)
				}
				return err
			}
			after = page[i].ID
		}
		if len(page) < mostRows {
			return nil
		}
	}
}

// news gives the sessions of which something was heard, or all.
func (s *Sessions) news(all bool) []*live {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*live, 0, len(s.changed))
	if all {
		for _, l := range s.lives {
			list = append(list, l)
		}
	} else {
		for l := range s.changed {
			list = append(list, l)
		}
	}
	clear(s.changed)
	return list
}

// act does what is to become of sessions.
func (s *Sessions) act(ctx context.Context, list []*live, now time.Time) error {
	var moves []move
	for _, l := range list {
		switch m := l.next(now); {
		case m.forget:
			s.forget(ctx, l)
		case m.status != "":
			moves = append(moves, m)
		case m.finish:
			l.relay.Finish(m.reason, finishWait)
		}
	}
	for len(moves) > 0 {
		n := min(len(moves), mostRows)
		if err := s.write(ctx, moves[:n], now); err != nil {
			return err
		}
		moves = moves[n:]
	}
	return nil
}

// write writes down what becomes of sessions, and then lets it happen.
func (s *Sessions) write(ctx context.Context, moves []move, now time.Time) error {
	written, found := make([]bool, len(moves)), make([]rows.SsmSession, len(moves))
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		q := rows.New(tx)
		for i, m := range moves {
			var n int64
			var err error
			switch m.status {
			case connected:
				n, err = q.SetConnected(ctx, m.live.id)
			case terminating:
				n, err = q.SetTerminating(ctx, rows.SetTerminatingParams{ID: m.live.id, Details: clip(m.reason, mostDetails), Output: m.reason})
			default:
				n, err = q.EndSession(ctx, rows.EndSessionParams{
					ID: m.live.id, Status: m.status, Ended: now.UnixMilli(), Details: clip(m.reason, mostDetails), Output: m.reason,
				})
			}
			if written[i] = n > 0; err == nil {
				found[i], _, err = get(ctx, tx, m.live.id)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	for i := range moves {
		if err == nil {
			s.follow(&moves[i], written[i], &found[i])
		}
	}
	return err
}

// follow lets happen what was written down.
func (s *Sessions) follow(m *move, written bool, row *rows.SsmSession) {
	l := m.live
	switch {
	case !written && !l.stale: // whoever wrote otherwise will say so, unless that was before the session was live here
		l.stale = true
	case !written:
		s.closed(l, cmp.Or(row.Status, terminated), row.Output)
	case m.status == connected:
		if l.became(connected) {
			s.log.Info("session is connected", "session", l.id, "node", l.target)
		}
	case m.finish:
		if l.became(terminating) {
			s.log.Info("session ends", "session", l.id, "node", l.target, "status", m.status, "reason", "its agent says so")
			l.relay.Finish(row.Output, finishWait)
		}
	case m.status == terminated: // whoever could be told has been
		if l.became(terminated) {
			s.log.Info("session has ended", "session", l.id, "node", l.target, "status", m.status, "reason", row.Output)
			l.relay.Close(row.Output)
		}
	default:
		s.closed(l, m.status, m.reason)
	}
}

// forget drops a session for which there is nothing more to do.
func (s *Sessions) forget(ctx context.Context, l *live) {
	l.relay.Close("")
	l.recorder.finish(ctx)
	s.mu.Lock()
	delete(s.lives, l.id)
	delete(s.changed, l)
	s.mu.Unlock()
	select {
	case s.over <- struct{}{}:
	default:
	}
}

// dropOld drops what is older than the history.
func (s *Sessions) dropOld(ctx context.Context, now time.Time) {
	before := now.Add(-history)
	for n := int64(mostRows); n == mostRows; {
		err := s.db.Update(ctx, func(tx *store.Tx) (err error) {
			n, err = rows.New(tx).DropSessions(ctx, rows.DropSessionsParams{Before: before.UnixMilli(), Most: mostRows})
			return err
		})
		if err != nil {
			if ctx.Err() == nil {
				s.log.Error("old sessions not dropped", "error", err)
			}
			return
		}
	}
	if err := s.transcripts.Expire(ctx, before); err != nil && ctx.Err() == nil {
		s.log.Error("old transcripts not dropped", "error", err)
	}
}

// endGone ends the sessions of nodes that are gone.
func (s *Sessions) endGone(ctx context.Context) error {
	defer s.gone.Close()
	for {
		nodes, err := s.gone.Next(ctx)
		if ctx.Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
		if nodes[0] == store.Everything {
			nodes = s.targets()
		}
		for _, node := range nodes {
			if err := s.endOf(ctx, node); err != nil && ctx.Err() == nil {
				s.log.Error("sessions of a node that is gone not ended", "node", node, "error", err) // their agent's absence ends them
			}
		}
	}
}

// targets are the nodes that have sessions.
func (s *Sessions) targets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]string, 0, len(s.lives))
	for _, l := range s.lives {
		list = append(list, l.target)
	}
	return list
}

// endOf ends the sessions of a node if it is gone.
func (s *Sessions) endOf(ctx context.Context, node string) error {
	var ids []string
	err := s.db.View(ctx, func(tx *store.Tx) (err error) {
		if ids, err = rows.New(tx).ListOpenOfNode(ctx, rows.ListOpenOfNodeParams{Target: node, Most: mostOnNode}); err != nil || len(ids) == 0 {
			return err
		}
		row, _, err := get(ctx, tx, ids[0])
		if err != nil {
			return err
		}
		if _, there, err := fleet.Find(ctx, tx, row.Account, row.Region, node); err != nil || there {
			ids = nil
			return err
		}
		return nil
	})
	for _, id := range ids {
		if err == nil {
			err = s.end(ctx, id, terminated, goneReason)
		}
	}
	return err
}
