package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/agent/disk"
	"github.com/vennel/vennel/agent/session"
)

// The files of a session's folder.
const (
	taskFile   = "task.json"   // what the session is; as secret as its parameters
	resultFile = "result.json" // how it ended, when it has
	closedFile = "closed"      // is there when the service has ended the session
	holderLock = "lock"        // held by the session's process as long as it lives
)

// mostSessions is how many sessions a node holds. source: agent
const mostSessions = 1000

// sessionIDForm is the form of a session's id. How long it may be is not part of it: such a pattern takes each process of the program 100 KiB.
var sessionIDForm = regexp.MustCompile(`^[A-Za-z0-9_=,@+-][A-Za-z0-9_=,.@+-]*$`)

// goodSessionID says whether a text can be a session's id, which names a folder.
func goodSessionID(id string) bool { return len(id) <= 96 && sessionIDForm.MatchString(id) }

// taskComplete is the payload of an agent_task_complete. source: agent
type taskComplete struct {
	SchemaVersion    int
	TaskID           string `json:"TaskId"`
	Topic            string
	FinalTaskStatus  string
	IsRoutingFailure bool
	AwsAccountID     string `json:"AwsAccountId"`
	InstanceID       string `json:"InstanceId"`
	Output           string
	S3Bucket         string
	S3URLSuffix      string `json:"S3UrlSuffix"`
	CwlGroup         string
	CwlStream        string
	RetryNumber      int
}

// held is a session that the node holds, or of which it has still to tell the end.
type held struct {
	id    string
	acked chan struct{} // filled when the service knows the end
}

// sessions are the sessions of a node. Each has a process of its own, which outlives the agent, as workers of jobs do; the agent starts it,
// hands it the end that comes over the control channel, and tells the service how it ended until the service has acknowledged that.
type sessions struct {
	node  *node
	cfg   *Config
	lines *lines
	log   *slog.Logger
	most  int

	mu        sync.Mutex
	held      map[string]*held // by id; guarded by mu
	closed    bool             // the agent stops; guarded by mu
	attending sync.WaitGroup
}

// newSessions makes the sessions of a node; none is held yet.
func newSessions(n *node, cfg *Config, l *lines, log *slog.Logger) *sessions {
	most := cfg.mostSessions
	if most == 0 {
		most = mostSessions
	}
	return &sessions{node: n, cfg: cfg, lines: l, log: log, most: most, held: map[string]*held{}}
}

// sessionPath is a file of a session's.
func (n *node) sessionPath(id string, parts ...string) string {
	return n.path(append([]string{sessionsFolder, id}, parts...)...)
}

// run attends to the sessions of an earlier run, and keeps those that come until ctx ends. They go on without it.
func (s *sessions) run(ctx context.Context) {
	entries, err := os.ReadDir(s.node.path(sessionsFolder))
	if err != nil {
		s.log.Error("sessions of an earlier run cannot be found", "error", err)
	}
	s.mu.Lock()
	for _, e := range entries {
		if id := e.Name(); s.held[id] == nil {
			h := &held{id: id, acked: make(chan struct{}, 1)}
			s.held[id] = h
			s.attending.Go(func() { s.attend(ctx, h, s.watch(ctx, id)) })
		}
	}
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.attending.Wait()
}

// accept takes an interactive_shell. A session that cannot be held has failed, so that nobody waits for it.
func (s *sessions) accept(ctx context.Context, payload []byte) error {
	var message struct {
		Content string
		TaskID  string `json:"TaskId"`
	}
	if err := json.Unmarshal(payload, &message); err != nil {
		return err
	}
	var task session.Task
	flaw := json.Unmarshal([]byte(message.Content), &task)
	task.SessionID = cmp.Or(task.SessionID, message.TaskID)
	if flaw == nil && !goodSessionID(task.SessionID) {
		flaw = errors.New("the session's id cannot be that of one")
	}
	id := task.SessionID
	if id == "" {
		return fmt.Errorf("a session was not taken: %w", flaw)
	}
	full := fmt.Errorf("this node holds %d sessions already, and no more at a time", s.most)
	if s.overfull(id) {
		s.log.Error("a session could not be begun", "session", id, "error", full)
		return s.tell(id, 1, notBegun(full)) // once, for there is no room to see to it that it is heard
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errors.New("a session was not taken: the agent is being stopped")
	case s.held[id] != nil || flaw == nil && disk.Exists(s.node.path(seenFolder, id)):
		s.log.Info("a session that is known already", "session", id)
		return nil
	case flaw == nil && len(s.held) >= s.most:
		flaw = full
	}
	var gone <-chan error
	if flaw == nil {
		gone, flaw = s.start(&task, message.Content)
	}
	h := &held{id: id, acked: make(chan struct{}, 1)}
	s.held[id] = h
	if flaw != nil {
		s.log.Error("a session could not be begun", "session", id, "error", flaw)
		s.attending.Go(func() { s.report(ctx, h, notBegun(flaw)) })
		return nil
	}
	s.log.Info("session accepted", "session", id, "document", task.DocumentName, "owner", task.SessionOwner)
	s.attending.Go(func() { s.attend(ctx, h, gone) })
	return nil
}

// overfull says whether there is no room even for the end of a session that is not known yet.
func (s *sessions) overfull(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.held[id] != nil || goodSessionID(id) && disk.Exists(s.node.path(seenFolder, id))
	return !known && !s.closed && len(s.held) >= 2*s.most
}

// notBegun is the result of a session that could not be begun.
func notBegun(flaw error) session.Result {
	return session.Result{Status: session.Failed, Output: "The session could not be begun: " + flaw.Error() + "."}
}

// start starts the process of a session. The channel gives how it ended.
func (s *sessions) start(task *session.Task, content string) (<-chan error, error) {
	if len(s.cfg.Session) == 0 {
		return nil, errors.New("this agent holds no sessions")
	}
	id := task.SessionID
	logs, err := s.prepare(id, content)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.node.sessionPath(id)))
	}
	defer func() { _ = logs.Close() }()                                                                              // the process writes to its own
	args := append(s.cfg.Session[1:len(s.cfg.Session):len(s.cfg.Session)], "--state", s.node.state, "--session="+id) // the id may look like a flag
	cmd := exec.Command(s.cfg.Session[0], args...)                                                                   //nolint:noctx // it outlives us
	cmd.Stdout, cmd.Stderr = logs, logs
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.node.sessionPath(id)))
	}
	gone := make(chan error, 1)
	go func() { gone <- cmd.Wait() }() // it may outlive us: then nobody waits
	return gone, nil
}

// prepare writes down what a session is, for its process alone. It need not survive a power cut, for the session does not either.
func (s *sessions) prepare(id, content string) (logs *os.File, err error) {
	for _, folder := range []string{s.node.sessionPath(id), s.node.path(orchestrationFolder, id)} {
		if err := disk.Folder(folder); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(s.node.sessionPath(id, taskFile), []byte(content), 0o600); err != nil {
		return nil, err
	}
	return os.OpenFile(s.node.path(orchestrationFolder, id, workerLog), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// watch looks at a process that is no child of ours until it is gone or ctx ends.
func (s *sessions) watch(ctx context.Context, id string) <-chan error {
	gone := make(chan error, 1)
	s.attending.Go(func() {
		for disk.Locked(s.node.sessionPath(id, holderLock)) {
			if !sleep(ctx, s.cfg.pace.watch) {
				return
			}
		}
		gone <- nil
	})
	return gone
}

// attend sees a session to its end, and tells it.
func (s *sessions) attend(ctx context.Context, h *held, gone <-chan error) {
	select {
	case <-ctx.Done(): // the next agent attends to it
	case cause := <-gone:
		result := s.result(ctx, h.id, cause)
		s.log.Info("session ended", "session", h.id, "status", result.Status)
		s.report(ctx, h, result)
	}
}

// result is how a session has ended whose process is gone. When the process has not said so, it has failed; its lock makes sure that no
// process begins it late.
func (s *sessions) result(ctx context.Context, id string, cause error) (result session.Result) {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	lock, err := disk.WaitLock(ctx, s.node.sessionPath(id, holderLock))
	if err == nil {
		defer lock.Release()
		err = disk.ReadJSON(s.node.sessionPath(id, resultFile), &result)
		if err == nil {
			return result
		}
	}
	text := "The session has ended because the process that held it on the node did."
	if cause != nil {
		text = fmt.Sprintf("The session has ended because the process that held it on the node did: %v.", cause)
	}
	result = session.Result{Status: session.Failed, Output: text}
	s.log.Error("a session's process has ended without a result", "session", id, "cause", cause, "error", err)
	if err := disk.WriteJSON(s.node.sessionPath(id, resultFile), result); err != nil {
		s.log.Warn("a session's result cannot be kept", "session", id, "error", err)
	}
	return result
}

// tell tells the service once how a session ended.
func (s *sessions) tell(id string, n int, result session.Result) error {
	ch := s.lines.open()
	if ch == nil {
		return errNoLine
	}
	return ch.send("agent_task_complete", uuid.New(), taskComplete{
		SchemaVersion: 1, TaskID: id, Topic: "agent_task_complete", FinalTaskStatus: result.Status, InstanceID: s.node.InstanceID,
		Output: result.Output, RetryNumber: n,
	})
}

// report tells the service how a session ended until it has acknowledged that, and forgets the session.
func (s *sessions) report(ctx context.Context, h *held, result session.Result) {
	for n := 1; ; n++ {
		_, changed := s.lines.current()
		if s.lines.open() != nil {
			if err := s.tell(h.id, n, result); err != nil {
				s.log.Warn("the end of a session could not be told", "session", h.id, "error", err)
			}
			late := time.NewTimer(min(s.cfg.pace.ack*time.Duration(n), mostAckPause))
			select {
			case <-h.acked:
				late.Stop()
				s.forget(h)
				return
			case <-late.C:
				continue
			case <-changed:
			case <-ctx.Done():
			}
			late.Stop()
		} else {
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// forget forgets a session of which nothing is left to tell.
func (s *sessions) forget(h *held) {
	s.mu.Lock()
	defer s.mu.Unlock() // who sees that its folder is gone finds room for another
	if goodSessionID(h.id) {
		err := disk.Write(s.node.path(seenFolder, h.id), nil) // so that it is not begun a second time
		if err == nil {
			err = os.RemoveAll(s.node.sessionPath(h.id))
		}
		if err != nil {
			s.log.Error("a session cannot be forgotten", "session", h.id, "error", err)
		}
	}
	delete(s.held, h.id)
}

// acknowledged takes an agent_task_acknowledge.
func (s *sessions) acknowledged(payload []byte) error {
	var message struct {
		TaskID string `json:"TaskId"`
	}
	if err := json.Unmarshal(payload, &message); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[message.TaskID]; h != nil {
		select {
		case h.acked <- struct{}{}:
		default: // it was acknowledged before
		}
	}
	return nil
}

// end takes a channel_closed, and hands it to the session's process.
func (s *sessions) end(payload []byte) error {
	var message struct {
		SessionID string `json:"SessionId"`
	}
	if err := json.Unmarshal(payload, &message); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[message.SessionID] == nil || !goodSessionID(message.SessionID) {
		return nil
	}
	s.log.Info("session ended by the service", "session", message.SessionID)
	err := os.WriteFile(s.node.sessionPath(message.SessionID, closedFile), nil, 0o600)
	if errors.Is(err, fs.ErrNotExist) { // it is being forgotten
		return nil
	}
	return err
}

// sweepable says whether nothing is left of a session or a job that needs a folder of that name.
func (n *node) sweepable(name string) bool {
	return !strings.HasPrefix(name, ".") && !disk.Exists(n.path(jobsFolder, name)) && !disk.Exists(n.path(sessionsFolder, name))
}
