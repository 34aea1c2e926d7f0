package session_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/internal/awstest"
)

// TestScripts runs the operation scripts.
func TestScripts(t *testing.T) { awstest.Script(t, "testdata") }

// pair is a session with both its ends.
type pair struct {
	w             *awstest.World
	node          *awstest.Node
	id            string
	started       *ssm.StartSessionOutput
	client, agent *awstest.Data
}

// must ends a test when something failed.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newPair starts a session, opens both ends and lets the agent say something.
func newPair(t *testing.T, w *awstest.World, n *awstest.Node, in *ssm.StartSessionInput) *pair {
	t.Helper()
	in.Target = n.ID
	out := awstest.Call[ssm.StartSessionOutput](w, "ssm", "StartSession", in)
	p := &pair{w: w, node: n, id: *out.SessionId, started: out}
	task, err := n.Task()
	must(t, err)
	if task.SessionID != p.id {
		t.Fatalf("the node is told of %s, not of %s", task.SessionID, p.id)
	}
	p.agent, err = n.OpenData(p.id)
	must(t, err)
	p.client, err = w.OpenData(out)
	must(t, err)
	must(t, p.agent.State(p.id, "Connected"))
	must(t, p.agent.Stream("output_stream_data", 1, "$ "))
	m, err := p.client.Next("output_stream_data")
	must(t, err)
	if string(m.Payload) != "$ " {
		t.Fatalf("the client got %q", m.Payload)
	}
	must(t, p.client.Acknowledge(m))
	_, err = p.agent.Next("acknowledge")
	must(t, err)
	return p
}

// described gives what DescribeSessions says of a session.
func described(t *testing.T, w *awstest.World, id string) ssm.Session {
	t.Helper()
	for _, state := range []string{ssm.SessionStateActive, ssm.SessionStateHistory} {
		out := awstest.Call[ssm.DescribeSessionsOutput](w, "ssm", "DescribeSessions", &ssm.DescribeSessionsInput{
			State: state, Filters: []ssm.SessionFilter{{Key: ssm.SessionFilterKeySessionId, Value: id}},
		})
		if len(out.Sessions) == 1 {
			return out.Sessions[0]
		}
	}
	t.Fatalf("there is no session %s", id)
	return ssm.Session{}
}

// status waits for a session to have a status.
func status(t *testing.T, w *awstest.World, id, want string) ssm.Session {
	t.Helper()
	var s ssm.Session
	for range 100 {
		if s = described(t, w, id); *s.Status == want {
			return s
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("the session is %s, not %s", *s.Status, want)
	return s
}

// inFakeTime runs a test in fake time.
func inFakeTime(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if awstest.RealTime() {
		t.Skip("fake time does not reach PostgreSQL")
	}
	synctest.Test(t, f)
}

// TestSession has a session from its start to its end as an agent ends it.
func TestSession(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	p := newPair(t, w, n, &ssm.StartSessionInput{Reason: new("look")})
	if !strings.HasPrefix(p.id, "admin-0") || len(p.id) != len("admin-")+17 {
		t.Errorf("the id is %s", p.id)
	}
	if want := "ws://ssmmessages.us-east-1.amazonaws.com/v1/data-channel/" + p.id + "?role=publish_subscribe"; *p.started.StreamUrl != want {
		t.Errorf("the URL is %s", *p.started.StreamUrl)
	}
	s := status(t, w, p.id, "Connected")
	if *s.Reason != "look" || *s.Target != n.ID || *s.DocumentName != "SSM-SessionManagerRunShell" || *s.AccessType != "Standard" || s.EndDate != nil {
		t.Errorf("%+v", s)
	}
	must(t, p.client.Stream("input_stream_data", 1, "exit\n"))
	m, err := p.agent.Next("input_stream_data")
	must(t, err)
	must(t, p.agent.Acknowledge(m))
	must(t, p.agent.State(p.id, "Terminating"))
	p.agent.Drop()
	output, err := p.client.Closed()
	must(t, err)
	if output != "" {
		t.Errorf("the client is told %q", output)
	}
	p.client.Drop()
	must(t, n.Complete(p.id, "Success", ""))
	must(t, n.Complete(p.id, "Success", "")) // which an agent may say again
	if s := status(t, w, p.id, "Terminated"); s.EndDate == nil || s.Details != nil {
		t.Errorf("%+v", s)
	}
}

// TestIdle ends a session in which nothing happens.
func TestIdle(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		p := newPair(t, w, n, &ssm.StartSessionInput{})
		time.Sleep(15 * time.Minute)
		must(t, p.client.Stream("input_stream_data", 1, "\n"))
		time.Sleep(19 * time.Minute)
		status(t, w, p.id, "Connected")
		time.Sleep(2 * time.Minute)
		output, err := p.client.Closed()
		must(t, err)
		if want := "Your session timed out due to inactivity and has been terminated."; output != want { // source: aws
			t.Errorf("the client is told %q", output)
		}
		_, err = p.agent.Closed()
		must(t, err)
		var told struct {
			SessionID string `json:"SessionId"`
		}
		must(t, n.Told("channel_closed", &told))
		if told.SessionID != p.id {
			t.Errorf("the node is told that %s has ended", told.SessionID)
		}
		if s := described(t, w, p.id); *s.Status != "Terminating" && *s.Status != "Terminated" {
			t.Errorf("the session is %s", *s.Status)
		}
		time.Sleep(time.Minute)
		status(t, w, p.id, "Terminated")
	})
}
