package agenttest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/datachannel"
)

// Session is a session that a node was told to hold. Its exported fields are to be touched within Plane.Do or Plane.Wait only.
type Session struct {
	ID        string
	Task      string         // the content of the interactive_shell
	Created   int            // tokens given to the node
	Opened    int            // connections of the node
	States    []string       // that the node told
	Completed []TaskComplete // in their order
	DropAcks  int            // of agent_task_complete
	Over      bool           // the node is told that the session is terminated when it comes back

	node          *Node
	agent, client api.Stream
	agentToken    string
	clientToken   string
	waiting       []*api.Message // for the client, before it came
}

// TaskComplete is how a node says that a session has ended.
type TaskComplete struct {
	TaskID          string `json:"TaskId"`
	Topic           string
	FinalTaskStatus string
	InstanceID      string `json:"InstanceId"`
	Output          string
	RetryNumber     int
}

// Hold tells the node to hold a session with a document. What task has besides is put into the content.
func (n *Node) Hold(t testing.TB, document string, task map[string]any) *Session {
	t.Helper()
	s := &Session{ID: "tester-0" + strings.ReplaceAll(uuid.NewString(), "-", "")[:16], node: n, clientToken: uuid.NewString()}
	content := map[string]any{"DocumentName": "Test", "DocumentContent": json.RawMessage(document), "SessionId": s.ID, "Parameters": map[string]any{}, "SessionOwner": "arn:aws:iam::000000000000:user/tester", "RunAsUser": ""}
	maps.Copy(content, task)
	b, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	s.Task = string(b)
	n.plane.mu.Lock()
	n.Sessions[s.ID] = s
	n.plane.mu.Unlock()
	s.Announce(t)
	return s
}

// Announce sends the interactive_shell, perhaps again.
func (s *Session) Announce(t testing.TB) {
	t.Helper()
	s.tell(t, "interactive_shell", map[string]any{"SchemaVersion": 1, "TaskId": s.ID, "Topic": "InteractiveShell", "Content": s.Task})
}

// tell sends a message on the control channel.
func (s *Session) tell(t testing.TB, kind string, payload any) {
	t.Helper()
	b, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.node.SendMessage(&api.Message{Type: kind, Schema: 1, Created: time.Now(), ID: uuid.New(), Payload: b}); err != nil {
		t.Fatal(err)
	}
}

// closed is a channel_closed.
func (s *Session) closed(output string) map[string]any {
	return map[string]any{
		"MessageId": uuid.NewString(), "CreatedDate": time.Now().UTC().Format(time.RFC3339), "DestinationId": s.node.ID, "SessionId": s.ID, "MessageType": "channel_closed",
		"SchemaVersion": 1, "Output": output,
	}
}

// EndOnControl ends the session over the control channel alone.
func (s *Session) EndOnControl(t testing.TB) { s.tell(t, "channel_closed", s.closed("")) }

// EndOnData ends the session over the node's data channel alone, and the client's.
func (s *Session) EndOnData(output string) {
	b, err := json.Marshal(s.closed(output))
	if err != nil {
		panic(err) // texts can always be written
	}
	s.node.plane.mu.Lock()
	defer s.node.plane.mu.Unlock()
	for _, to := range []api.Stream{s.agent, s.client} {
		if to != nil {
			_ = to.Send(&api.Message{Type: "channel_closed", Schema: 1, Created: time.Now(), ID: uuid.New(), Payload: b})
		}
	}
}

// HangUp closes the node's connection.
func (s *Session) HangUp() {
	s.node.plane.mu.Lock()
	agent := s.agent
	s.node.plane.mu.Unlock()
	if agent != nil {
		_ = agent.Close("a test hangs up")
	}
}

// Ended waits for the end of the session and gives it.
func (s *Session) Ended(t testing.TB) TaskComplete {
	t.Helper()
	s.node.plane.Wait(t, "the end of "+s.ID, func() bool { return len(s.Completed) > 0 })
	var last TaskComplete
	s.node.plane.Do(func() { last = s.Completed[len(s.Completed)-1] })
	return last
}

// Start is what a client needs.
func (s *Session) Start() datachannel.Start {
	url := "wss://ssmmessages." + Region + ".amazonaws.com/v1/data-channel/" // a client's request has no signature that names the service
	url += s.ID + "?role=publish_subscribe"
	return datachannel.Start{SessionID: s.ID, Token: s.clientToken, StreamURL: url, Target: s.node.ID}
}

// DialOptions are those of a client that trusts the plane, and finds it.
func (s *Session) DialOptions() datachannel.DialOptions {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(s.node.plane.CA()))
	return datachannel.DialOptions{TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, NetDial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.node.plane.addr)
	}}
}

// Open opens the session as a client of ours.
func (s *Session) Open(t testing.TB, o datachannel.ClientOptions) *datachannel.Session {
	t.Helper()
	o.Dial = s.DialOptions()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := datachannel.Open(ctx, s.Start(), o)
	if err != nil {
		s.node.plane.Do(func() { t.Logf("completed: %+v", s.Completed) })
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// held finds a session of a node's.
func (p *Plane) held(id string) *Session {
	for _, n := range p.nodes {
		if s := n.Sessions[id]; s != nil {
			return s
		}
	}
	return nil
}

// CreateDataChannel gives a token.
func (s *messagesServer) CreateDataChannel(ctx context.Context, in *ssmmessages.CreateDataChannelInput) (out *ssmmessages.CreateDataChannelOutput, err error) {
	n, leave, err := s.enter(ctx, "CreateDataChannel")
	if err != nil {
		return nil, err
	}
	defer leave(&err)
	held := s.held(in.SessionId)
	if held == nil || held.node != n {
		return nil, Denied
	}
	if held.Over {
		return nil, api.Errorf(api.Invalid, "Session is already terminated")
	}
	held.Created++
	held.agentToken = uuid.NewString()
	return &ssmmessages.CreateDataChannelOutput{MessageSchemaVersion: ssmmessages.SchemaVersion10, TokenValue: held.agentToken}, nil
}

// OpenDataChannel passes messages on between the node and the client.
func (s *messagesServer) OpenDataChannel(ctx context.Context, in *ssmmessages.OpenDataChannelInput, stream api.Stream) error {
	call := api.CallFrom(ctx)
	call.Decide(api.Decision{Action: "OpenDataChannel", Resource: "*", Allowed: true, Reason: "a test"})
	if _, err := stream.Accept(in, unchecked); err != nil {
		return err
	}
	s.mu.Lock()
	held := s.held(in.SessionId)
	isAgent := in.ClientInstanceId != nil
	switch {
	case held == nil:
		s.mu.Unlock()
		return Denied
	case isAgent && (in.TokenValue != held.agentToken || *in.ClientInstanceId != held.node.ID), !isAgent && in.TokenValue != held.clientToken:
		s.mu.Unlock()
		return errors.New("a wrong token")
	case isAgent:
		held.agent = stream
		held.Opened++
	default:
		held.client = stream
		for _, m := range held.waiting {
			_ = stream.Send(m)
		}
		held.waiting = nil
	}
	s.change()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if held.agent == stream {
			held.agent = nil
		}
		if held.client == stream {
			held.client = nil
		}
		s.change()
	}()
	for {
		m, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		s.pass(held, m, isAgent)
	}
}

// pass passes a message on. What the node sends before there is a client waits; afterwards it is up to the node to send it again.
func (s *messagesServer) pass(held *Session, m *api.Message, isAgent bool) {
	s.mu.Lock()
	to := held.agent
	if isAgent {
		if to = held.client; m.Type == "agent_session_state" {
			var state struct{ SessionState string }
			if json.Unmarshal(m.Payload, &state) == nil {
				held.States = append(held.States, state.SessionState)
				s.change()
			}
			s.mu.Unlock()
			return
		}
		if to == nil && held.waiting != nil || held.client == nil && len(held.waiting) == 0 {
			held.waiting = append(held.waiting, m)
		}
	}
	s.mu.Unlock()
	if to != nil {
		_ = to.Send(m) // whoever is gone comes back
	}
}

// completed takes the end of a session, and says whether to acknowledge it. p.mu is held.
func (n *Node) completed(m *api.Message) (ack []byte) {
	var c TaskComplete
	if json.Unmarshal(m.Payload, &c) != nil {
		return nil
	}
	s := n.Sessions[c.TaskID]
	if s == nil {
		return nil
	}
	s.Completed = append(s.Completed, c)
	if s.DropAcks > 0 {
		s.DropAcks--
		return nil
	}
	b, err := json.Marshal(map[string]any{"SchemaVersion": 1, "MessageId": m.ID, "TaskId": c.TaskID, "Topic": "agent_task_complete"})
	if err != nil {
		return nil
	}
	return b
}
