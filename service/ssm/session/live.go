package session

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/service/ssm/session/internal/rows"
	"github.com/vennel/vennel/service/ssm/session/relay"
	"github.com/vennel/vennel/store"
)

// live is a session that is open, or whose client has not seen its end. What its row says of it, it repeats.
type live struct {
	sessions       *Sessions
	id, account    string
	region, target string
	owner          string
	started        time.Time
	begins         time.Time // from when its ends are waited for: its start, or that of the server
	idle, most     time.Duration
	relay          *relay.Relay
	recorder       *recorder // nil without a transcript

	mu      sync.Mutex
	status  string
	client  end       // guarded by mu
	agent   end       // guarded by mu
	begun   bool      // something has passed; guarded by mu
	ending  bool      // the agent has said that it ends; guarded by mu
	failure string    // why it cannot go on; guarded by mu
	left    time.Time // when the status became terminating, or the session ended; guarded by mu
	finish  bool      // the agent has said that it is over, and its client has not been told; guarded by mu
	output  string    // what its client is told then; guarded by mu
	stale   bool      // its row said otherwise once; of the loop
}

// end is one end of a session.
type end struct {
	here bool
	seen bool      // it has been here
	at   time.Time // since when it is here, or away
}

// untouched says whether no end of a session has ever been open, so that no frame of it has been sent.
func untouched(row *rows.SsmSession) bool {
	return row.Status == connecting && row.AgentToken == 0 && row.ClientToken == 0
}

// attach gives the live session of a row, in which nothing has been sent before if it begins. It is nil when the session has ended and has
// nothing more to tell.
func (s *Sessions) attach(ctx context.Context, row *rows.SsmSession, begins bool, now time.Time) (*live, error) {
	if l := s.lookup(row.ID); l != nil || !row.Open {
		return l, nil
	}
	recorded := int64(0)
	if row.Transcript && !begins {
		var err error
		if recorded, err = s.recorded(ctx, row); err != nil {
			return nil, err
		}
	}
	return s.revive(row, begins, recorded, now), nil
}

// revive makes the live session of a row, if there is none yet. Of what is shown, recorded is written down already.
func (s *Sessions) revive(row *rows.SsmSession, begins bool, recorded int64, now time.Time) *live {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lives[row.ID]; l != nil {
		return l
	}
	l := &live{
		sessions: s, id: row.ID, account: row.Account, region: row.Region, target: row.Target, owner: row.Owner,
		started: time.UnixMilli(row.Started), begins: now, idle: time.Duration(row.Idle) * time.Second, most: minutes(row.Duration),
		status: row.Status, begun: row.Status != connecting, client: end{at: now}, agent: end{at: now}, left: now,
	}
	l.relay = relay.New(row.ID, row.Target, l, relay.Options{Begins: begins, Together: &s.held})
	if row.Transcript {
		l.recorder = &recorder{live: l, seen: recorded}
		if row.LogGroup != "" && row.Streaming {
			l.recorder.stream = &stream{live: l, group: row.LogGroup, runAs: row.RunAs}
		}
		l.relay.Watch(recorded, l.recorder.watch)
	}
	if row.Status == terminating {
		l.relay.Close(row.Output)
	}
	s.lives[row.ID] = l
	s.rouse()
	return l
}

// lookup gives the live session of an id, or nil.
func (s *Sessions) lookup(id string) *live {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lives[id]
}

// rouse wakes the loop.
func (s *Sessions) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// change takes in news of a session, and lets the loop look at it.
func (l *live) change(how func()) {
	l.mu.Lock()
	how()
	l.mu.Unlock()
	s := l.sessions
	s.mu.Lock()
	s.changed[l] = true
	s.mu.Unlock()
	s.rouse()
}

// of is the end of a role. The caller holds mu.
func (l *live) of(role relay.Role) *end {
	if role == relay.Agent {
		return &l.agent
	}
	return &l.client
}

// Connected is relay's.
func (l *live) Connected(role relay.Role) {
	l.change(func() { *l.of(role) = end{here: true, seen: true, at: time.Now()} })
}

// Lost is relay's.
func (l *live) Lost(role relay.Role) {
	l.change(func() { *l.of(role) = end{seen: true, at: time.Now()} })
}

// Begun is relay's.
func (l *live) Begun() { l.change(func() { l.begun = true }) }

// Ending is relay's.
func (l *live) Ending() { l.change(func() { l.ending = true }) }

// Failed is relay's.
func (l *live) Failed(reason string) { l.change(func() { l.failure = reason }) }

// hasBegun says whether anything has passed.
func (l *live) hasBegun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begun
}

// alone says whether the client is away. One that was there before the server was started is given the time to come back.
func (l *live) alone(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.client.here && (l.client.seen || now.Sub(l.client.at) >= returnWait)
}

// How long is waited for what should come.
const (
	startWait  = 30 * time.Second // for both ends of a new session, and the first of its output
	returnWait = 30 * time.Second // for an agent whose connection was lost: an official one gives up after six seconds
	leaveWait  = 15 * time.Second // for an agent to say that a session has ended, when it was told so
	tailWait   = 2 * time.Second  // for the connection of an agent to end, which may have more to send, when it said that a session has ended
	finishWait = 10 * time.Second // for a client to take what there is to see before the end
)

// What is said about ends. source: aws (the first; AWS does not say the others), guess
const (
	idleReason    = "Your session timed out due to inactivity and has been terminated."
	noAgentReason = "The agent of the node did not open its side of the session in time."
	noClient      = "No client opened the session in time."
	silentReason  = "The agent of the node opened the session but did not begin it in time."
	lostReason    = "The connection to the node was lost and did not come back in time. Your session has been terminated."
	goneReason    = "The managed node has been deregistered or terminated. Your session has been terminated."
)

// maxReason is the reason of a session that has lasted as long as it may.
func maxReason(most time.Duration) string {
	return fmt.Sprintf("Your session has reached its maximum duration of %d minutes and has been terminated.", most/time.Minute)
}

// move is what is to become of a session.
type move struct {
	live   *live
	status string // "" for none
	reason string
	finish bool // the client is told when it has seen what there is to see
	forget bool // there is nothing more to do for it
}

// next says what is to become of a session by the time and by what was heard of it.
func (l *live) next(now time.Time) move {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := move{live: l}
	switch l.status {
	case connecting:
		switch {
		case l.failure != "":
			m.status, m.reason = failed, l.failure
		case l.begun && l.client.seen && l.agent.seen:
			m.status = connected
		case now.Sub(l.begins) < startWait:
		case !l.agent.seen:
			m.status, m.reason = failed, noAgentReason
		case !l.client.seen:
			m.status, m.reason = failed, noClient
		default:
			m.status, m.reason = failed, silentReason
		}
	case connected:
		active := l.relay.Active()
		if active.Before(l.begins) {
			active = l.begins
		}
		switch {
		case l.failure != "":
			m.status, m.reason = terminating, l.failure
		case l.ending:
			m.status, m.finish = terminating, true
		case l.most > 0 && now.Sub(l.started) >= l.most:
			m.status, m.reason = terminating, maxReason(l.most)
		case now.Sub(active) >= l.idle, !l.client.here && now.Sub(l.client.at) >= l.idle: // what nobody reads keeps nothing alive
			m.status, m.reason = terminating, idleReason
		case !l.agent.here && now.Sub(l.agent.at) >= returnWait:
			m.status, m.reason = terminating, lostReason
		}
	case terminating:
		if now.Sub(l.left) >= leaveWait {
			m.status = terminated
		}
	default:
		switch {
		case l.finish && (!l.agent.here || now.Sub(l.left) >= tailWait):
			m.finish, m.reason, l.finish = true, l.output, false
		case now.Sub(l.left) >= tailWait+finishWait:
			m.forget = true
		}
	}
	return m
}

// order is the order in which statuses follow each other.
var order = map[string]int{connecting: 0, connected: 1, terminating: 2, terminated: 3, failed: 3}

// became notes a status, with which the loop looks at the session again. It says whether the status is new: what comes late, for somebody
// else was faster after that was written, changes nothing.
func (l *live) became(status string) (changed bool) {
	l.change(func() {
		if changed = order[status] > order[l.status]; !changed {
			return
		}
		l.status = status
		if status != connected {
			l.left = time.Now()
		}
	})
	return changed
}

// closed ends a session on both sides, after its row says so.
func (s *Sessions) closed(l *live, status, output string) {
	if !l.became(status) {
		return
	}
	s.log.Info("session ends", "session", l.id, "node", l.target, "status", status, "reason", output)
	l.relay.Close(output)
	s.tell(l.id, l.target, output)
}

// finished ends a session of which the agent says that it is over, after its row says so: what it has left behind is still sent to the client.
func (s *Sessions) finished(l *live, status, output string) {
	if !l.became(status) {
		return
	}
	s.log.Info("session has ended", "session", l.id, "node", l.target, "status", status, "reason", output)
	l.change(func() { l.finish, l.output = true, output })
}

// tell tells a node on its control channel that a session has ended, without waiting. One that holds none is told when it opens the next.
func (s *Sessions) tell(id, target, output string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	telling := s.untold[target] != nil
	s.untold[target] = append(s.untold[target], relay.NewClosed(uuid.New(), time.Now(), id, target, output))
	if !telling {
		s.telling.Go(func() { s.tellAll(target) }) // Run waits for it
	}
}

// tellAll tells a node what there is to tell it.
func (s *Sessions) tellAll(node string) {
	for {
		s.mu.Lock()
		list := s.untold[node]
		if len(list) == 0 {
			delete(s.untold, node)
			s.mu.Unlock()
			return
		}
		s.untold[node] = list[:0:0]
		s.mu.Unlock()
		for _, m := range list {
			if err := s.fleet.Tell(node, m.MessageType, m); err != nil {
				s.log.Debug("a node was not told that a session has ended", "session", m.SessionID, "node", node, "error", err)
			}
		}
	}
}

// end ends a session for good, whatever its agent says.
func (s *Sessions) end(ctx context.Context, id, status, reason string) error {
	now, was := time.Now(), false
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		n, err := rows.New(tx).EndSession(ctx, rows.EndSessionParams{
			ID: id, Status: status, Ended: now.UnixMilli(), Details: clip(reason, mostDetails), Output: reason,
		})
		was = n > 0
		return err
	})
	if l := s.lookup(id); err == nil && was && l != nil {
		s.closed(l, status, reason)
	}
	return err
}
