package session_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/internal/awstest"
	"github.com/vennel/vennel/service/ssm/session"
)

// TestTokens opens data channels with all kinds of tokens: only one that was made for this side of this session, not long ago and not used
// before, is good. What is wrong is answered within seconds. source: guess
func TestTokens(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		n, other := w.Node(awstest.NodeConfig{}), w.Node(awstest.NodeConfig{})
		p := newPair(t, w, n, &ssm.StartSessionInput{})
		q := newPair(t, w, other, &ssm.StartSessionInput{})
		resume := func() string {
			out := awstest.Call[ssm.ResumeSessionOutput](w, "ssm", "ResumeSession", &ssm.ResumeSessionInput{SessionId: p.id})
			return *out.TokenValue
		}
		agentToken := func() string {
			token, err := n.DataToken(p.id)
			must(t, err)
			return token
		}
		forged := make([]byte, 64)
		rand.Read(forged)
		old, aged := resume(), resume()
		for _, c := range []struct {
			name, token string
			wait        time.Duration
			good        bool
		}{
			{"none", "", 0, false},
			{"no base64", "token", 0, false},
			{"a forged one", base64.StdEncoding.EncodeToString(forged), 0, false},
			{"a used one", *p.started.TokenValue, 0, false},
			{"another session's", *q.started.TokenValue, 0, false},
			{"the agent's", agentToken(), 0, false},
			{"a fresh one", resume(), 0, true},
			{"one that is older than the last", old, 0, false},
			{"one of six minutes", aged, 6 * time.Minute, false},
		} {
			time.Sleep(c.wait)
			begun := time.Now()
			d, err := w.OpenDataWith(*p.started.StreamUrl, c.token)
			if (err == nil) != c.good {
				t.Errorf("%s: %v", c.name, err)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("%s was answered after %v", c.name, took)
			}
			if err != nil && d != nil {
				must(t, d.Ended())
			}
		}
		if _, err := w.OpenDataWith(*p.started.StreamUrl, resume()); err != nil {
			t.Errorf("another fresh one: %v", err)
		}
		// The agent's side: only the target, with its own token, under its own name.
		n.Token()
		other.Token()
		token := agentToken()
		if _, err := other.DataToken(p.id); awstest.Code(err) != "AccessDeniedException" {
			t.Errorf("another node got a token: %v", err)
		}
		if _, err := other.OpenDataWith(p.id, token, other.ID); err == nil {
			t.Error("another node opened the session")
		}
		if _, err := other.OpenDataWith(p.id, token, n.ID); err == nil {
			t.Error("another node opened the session under the target's name")
		}
		if _, err := n.OpenDataWith(p.id, token, other.ID); err == nil {
			t.Error("the target opened the session under another's name")
		}
		if _, err := n.OpenDataWith(p.id, resume(), n.ID); err == nil {
			t.Error("the target opened the session with a client's token")
		}
		agent, err := n.OpenDataWith(p.id, token, n.ID)
		must(t, err)
		if _, err := n.OpenDataWith(p.id, token, n.ID); err == nil {
			t.Error("a token was good twice")
		}
		must(t, agent.Settled()) // which did not disturb the session
		// A client says nothing of an instance.
		if _, err := w.OpenDataWith(strings.Replace(*p.started.StreamUrl, p.id, "admin-00000000000000000", 1), resume()); err == nil {
			t.Error("a session that there is not was opened")
		}
	})
}

// TestUnknownSession refuses whoever knows neither a session nor a token in the same way as whoever knows the session: after the upgrade.
func TestUnknownSession(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	p := newPair(t, w, n, &ssm.StartSessionInput{})
	token := base64.StdEncoding.EncodeToString(make([]byte, 64))
	for _, id := range []string{p.id, "admin-00000000000000000"} {
		d, err := w.OpenDataWith(strings.Replace(*p.started.StreamUrl, p.id, id, 1), token)
		if err == nil || d == nil {
			t.Fatalf("%s: %v, accepted %v", id, err, d != nil)
		}
		must(t, d.Ended())
	}
}

// TestTokenAfterRestart refuses an opening message that is played again, also by a server that was started anew.
func TestTokenAfterRestart(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	p := newPair(t, w, n, &ssm.StartSessionInput{})
	token, err := n.DataToken(p.id)
	must(t, err)
	agent, err := n.OpenDataWith(p.id, token, n.ID)
	must(t, err)
	for _, d := range []*awstest.Data{agent, p.agent, p.client} {
		d.Drop()
	}
	n.Drop()
	w.Stop()
	w.Start()
	n.Connect()
	if _, err := w.OpenDataWith(*p.started.StreamUrl, *p.started.TokenValue); err == nil {
		t.Error("the client's opening message was good again")
	}
	if _, err := n.OpenDataWith(p.id, token, n.ID); err == nil {
		t.Error("the agent's opening message was good again")
	}
}

// TestRestart goes on with a session after the server was started anew: what was on its way arrives.
func TestRestart(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	p := newPair(t, w, n, &ssm.StartSessionInput{})
	status(t, w, p.id, "Connected")
	p.client.Drop()
	p.agent.Drop()
	n.Drop()
	w.Stop()
	w.Start()
	if s := described(t, w, p.id); *s.Status != "Connected" {
		t.Errorf("after the restart the session is %s", *s.Status)
	}
	n.Connect()
	agent, err := n.OpenData(p.id)
	must(t, err)
	out := awstest.Call[ssm.ResumeSessionOutput](w, "ssm", "ResumeSession", &ssm.ResumeSessionInput{SessionId: p.id})
	client, err := w.OpenDataWith(*out.StreamUrl, *out.TokenValue)
	must(t, err)
	agent.From(p.agent)
	must(t, agent.Stream("output_stream_data", 1, "still here"))
	m, err := client.Next("output_stream_data")
	must(t, err)
	if string(m.Payload) != "still here" || m.Sequence != 1 {
		t.Errorf("the client got %d %q", m.Sequence, m.Payload)
	}
	must(t, client.Acknowledge(m))
	must(t, n.Complete(p.id, "Success", ""))
	status(t, w, p.id, "Terminated")
}

// TestRestartWithoutPeers ends the sessions whose ends do not come back after a restart.
func TestRestartWithoutPeers(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		p := newPair(t, w, n, &ssm.StartSessionInput{})
		new := awstest.Call[ssm.StartSessionOutput](w, "ssm", "StartSession", &ssm.StartSessionInput{Target: n.ID})
		_, err := n.Task()
		must(t, err)
		time.Sleep(time.Second)
		p.client.Drop()
		p.agent.Drop()
		n.Drop()
		w.Stop()
		w.Start()
		time.Sleep(time.Minute)
		if s := status(t, w, p.id, "Terminated"); *s.Details != "The connection to the node was lost and did not come back in time. Your session has been terminated." {
			t.Errorf("it ended because: %s", *s.Details)
		}
		status(t, w, *new.SessionId, "Failed")
		// The agent lives on with its shell, so it is told when it is there again, until it says that it has understood.
		for range 2 {
			n.Token()
			n.Connect()
			told := map[string]bool{}
			for range 2 {
				var m struct {
					SessionID string `json:"SessionId"`
				}
				must(t, n.Told("channel_closed", &m))
				told[m.SessionID] = true
			}
			if !told[p.id] || !told[*new.SessionId] {
				t.Errorf("the node is told of %v", told)
			}
			n.Drop()
		}
		n.Connect()
		must(t, n.Complete(p.id, "Success", ""))
		must(t, n.Complete(*new.SessionId, "Success", ""))
		n.Drop()
		n.Connect()
		if m := n.Pending(); m != nil {
			t.Errorf("the node is told %s", m.Payload)
		}
	})
}

// TestLateClient tells a client that comes when its session has failed how that was: it would wait for ever. source: agent
func TestLateClient(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	out := awstest.Call[ssm.StartSessionOutput](w, "ssm", "StartSession", &ssm.StartSessionInput{Target: n.ID})
	_, err := n.Task()
	must(t, err)
	must(t, n.Complete(*out.SessionId, "Failed", "Unable to start command: \x1b[31mno user"))
	must(t, n.Complete(*out.SessionId, "Failed", "another text"))
	s := status(t, w, *out.SessionId, "Failed")
	const want = "Unable to start command: \uFFFD[31mno user"
	if *s.Details != want {
		t.Errorf("the details are %q", *s.Details)
	}
	client, err := w.OpenData(out)
	must(t, err)
	output, err := client.Closed()
	must(t, err)
	if output != want {
		t.Errorf("the client is told %q", output)
	}
	if _, err := n.DataToken(*out.SessionId); err == nil || !strings.Contains(err.Error(), "Session is already terminated") { // source: agent
		t.Errorf("the agent is told %v", err)
	}
}

// TestForeignCompletion refuses a node that says of another's session that it is over.
func TestForeignCompletion(t *testing.T) {
	w := awstest.New(t)
	n, other := w.Node(awstest.NodeConfig{}), w.Node(awstest.NodeConfig{})
	p := newPair(t, w, n, &ssm.StartSessionInput{})
	if err := other.Complete(p.id, "Success", "gone"); err == nil {
		t.Error("it was acknowledged")
	}
	must(t, other.Ended())
	err := w.Server().Sessions().Completed(t.Context(), other.ID, &session.Completion{Session: p.id, Status: "Success"})
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Reason != api.AccessDenied { // any other would be our fault
		t.Errorf("it is refused with %v", err)
	}
	if s := described(t, w, p.id); s.EndDate != nil || s.Details != nil {
		t.Errorf("the session is %+v", s)
	}
	must(t, n.Complete("admin-00123456789abcdef", "Success", "")) // one that is forgotten here need not be said again
}

// TestOutputURL has where the agent has put the log. source: guess
func TestOutputURL(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	p := newPair(t, w, n, &ssm.StartSessionInput{})
	must(t, n.CompleteWith(map[string]any{
		"TaskId": p.id, "FinalTaskStatus": "Success", "S3Bucket": "logs", "S3UrlSuffix": "prefix/" + p.id + ".log", "CwlGroup": "/ssm/sessions", "CwlStream": p.id,
	}))
	s := described(t, w, p.id)
	if want := "https://s3.us-east-1.amazonaws.com/logs/prefix/" + p.id + ".log"; *s.OutputUrl.S3OutputUrl != want {
		t.Errorf("%s", *s.OutputUrl.S3OutputUrl)
	}
	if want := "https://console.aws.amazon.com/cloudwatch/home?region=us-east-1#logEventViewer:group=%2Fssm%2Fsessions;stream=" + p.id; *s.OutputUrl.CloudWatchOutputUrl != want {
		t.Errorf("%s", *s.OutputUrl.CloudWatchOutputUrl)
	}
}

// TestDeregistered ends the sessions of a node that is deregistered.
func TestDeregistered(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	p := newPair(t, w, n, &ssm.StartSessionInput{})
	awstest.Call[ssm.DeregisterManagedInstanceOutput](w, "ssm", "DeregisterManagedInstance", &ssm.DeregisterManagedInstanceInput{InstanceId: n.ID})
	output, err := p.client.Closed()
	must(t, err)
	if want := "The managed node has been deregistered or terminated. Your session has been terminated."; output != want {
		t.Errorf("the client is told %q", output)
	}
	status(t, w, p.id, "Terminated")
}

// TestLost ends a session whose agent does not come back, and shows that of its client: it may come back as long as the session is not idle.
func TestLost(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		p := newPair(t, w, n, &ssm.StartSessionInput{})
		status(t, w, p.id, "Connected")
		p.client.Drop()
		status(t, w, p.id, "Disconnected")
		list := awstest.Call[ssm.DescribeSessionsOutput](w, "ssm", "DescribeSessions", &ssm.DescribeSessionsInput{
			State: "Active", Filters: []ssm.SessionFilter{{Key: "Status", Value: "Disconnected"}},
		})
		if len(list.Sessions) != 1 {
			t.Errorf("%d sessions are disconnected", len(list.Sessions))
		}
		time.Sleep(5 * time.Minute)
		out := awstest.Call[ssm.ResumeSessionOutput](w, "ssm", "ResumeSession", &ssm.ResumeSessionInput{SessionId: p.id})
		client, err := w.OpenDataWith(*out.StreamUrl, *out.TokenValue)
		must(t, err)
		status(t, w, p.id, "Connected")
		p.agent.Drop()
		time.Sleep(20 * time.Second)
		agent, err := n.OpenData(p.id)
		must(t, err)
		time.Sleep(time.Minute)
		status(t, w, p.id, "Connected")
		agent.Drop()
		time.Sleep(20 * time.Second)
		status(t, w, p.id, "Connected")
		output, err := client.Closed()
		must(t, err)
		if want := "The connection to the node was lost and did not come back in time. Your session has been terminated."; output != want {
			t.Errorf("the client is told %q", output)
		}
	})
}

// TestMaxDuration ends a session that has lasted as long as the preferences let it, whatever happens in it.
func TestMaxDuration(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		awstest.Call[ssm.CreateDocumentOutput](w, "ssm", "CreateDocument", &ssm.CreateDocumentInput{
			Name: "SSM-SessionManagerRunShell", DocumentType: new("Session"),
			Content: `{"schemaVersion":"1.0","sessionType":"Standard_Stream","inputs":{"idleSessionTimeout":"2","maxSessionDuration":"10"}}`,
		})
		p := newPair(t, w, n, &ssm.StartSessionInput{})
		for range 9 {
			time.Sleep(time.Minute)
			must(t, p.client.Stream("input_stream_data", 1, "x"))
			m, err := p.agent.Next("input_stream_data")
			must(t, err)
			must(t, p.agent.Acknowledge(m))
		}
		status(t, w, p.id, "Connected")
		time.Sleep(62 * time.Second)
		output, err := p.client.Closed()
		must(t, err)
		if want := "Your session has reached its maximum duration of 10 minutes and has been terminated."; output != want {
			t.Errorf("the client is told %q", output)
		}
		if s := described(t, w, p.id); *s.MaxSessionDuration != "10" {
			t.Errorf("%+v", s)
		}
	})
}

// TestNoClient fails a session that no client opens, and one whose agent opens it and says nothing.
func TestNoClient(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		start := func() *ssm.StartSessionOutput {
			out := awstest.Call[ssm.StartSessionOutput](w, "ssm", "StartSession", &ssm.StartSessionInput{Target: n.ID})
			_, err := n.Task()
			must(t, err)
			return out
		}
		alone, silent := start(), start()
		agent, err := n.OpenData(*alone.SessionId)
		must(t, err)
		must(t, agent.Stream("output_stream_data", 1, "$ "))
		_, err = n.OpenData(*silent.SessionId)
		must(t, err)
		client, err := w.OpenData(silent)
		must(t, err)
		time.Sleep(20 * time.Second)
		output, err := client.Closed()
		must(t, err)
		if output != "The agent of the node opened the session but did not begin it in time." {
			t.Errorf("the client is told %q", output)
		}
		_, err = agent.Closed()
		must(t, err)
		if s := status(t, w, *alone.SessionId, "Failed"); *s.Details != "No client opened the session in time." {
			t.Errorf("%s", *s.Details)
		}
	})
}

// TestMostOnNode refuses more sessions than a node can have.
func TestMostOnNode(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	client := w.Client("ssm", w.Admin)
	for i := range 500 {
		out := new(ssm.StartSessionOutput)
		must(t, client.Call(t.Context(), "StartSession", &ssm.StartSessionInput{Target: n.ID}, out))
		_, err := n.Task()
		must(t, err)
		if i%50 == 0 { // those that are over do not count
			must(t, n.Complete(*out.SessionId, "Success", ""))
		}
	}
	var err error
	for range 11 {
		if err = client.Call(t.Context(), "StartSession", &ssm.StartSessionInput{Target: n.ID}, &ssm.StartSessionOutput{}); err == nil {
			_, err := n.Task()
			must(t, err)
		}
	}
	if awstest.Code(err) != "ServiceQuotaExceededException" || !strings.Contains(err.Error(), n.ID+" has 500 open sessions") {
		t.Errorf("%v", err)
	}
}

// TestHeld counts what is held for all sessions, and no more when they are over.
func TestHeld(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	pairs := []*pair{newPair(t, w, n, &ssm.StartSessionInput{}), newPair(t, w, n, &ssm.StartSessionInput{})}
	for _, p := range pairs {
		must(t, p.agent.Stream("output_stream_data", 1, strings.Repeat("x", 50_000)))
		must(t, p.agent.Settled())
	}
	if held := w.Server().Sessions().Held(); held < 100_000 {
		t.Errorf("%d bytes are held", held)
	}
	for _, p := range pairs {
		awstest.Call[ssm.TerminateSessionOutput](w, "ssm", "TerminateSession", &ssm.TerminateSessionInput{SessionId: p.id})
		_, err := p.client.Closed()
		must(t, err)
	}
	if held := w.Server().Sessions().Held(); held != 0 {
		t.Errorf("%d bytes are held for sessions that are over", held)
	}
}

// TestTranscript keeps what a shell has shown when the preferences ask for a log and the session is not encrypted, and nothing else.
func TestTranscript(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	for name, content := range map[string]string{
		"Logged":    `"sessionType":"Standard_Stream","inputs":{"cloudWatchLogGroupName":"/sessions"}`,
		"Encrypted": `"sessionType":"Standard_Stream","inputs":{"s3BucketName":"logs","kmsKeyId":"alias/x"}`,
		"Port":      `"sessionType":"Port","inputs":{"s3BucketName":"logs"},"properties":{"portNumber":"22"}`,
		"Unlogged":  `"sessionType":"Standard_Stream","inputs":{}`,
	} {
		awstest.Call[ssm.CreateDocumentOutput](w, "ssm", "CreateDocument", &ssm.CreateDocumentInput{
			Name: name, DocumentType: new("Session"), Content: `{"schemaVersion":"1.0",` + content + `}`,
		})
		p := newPair(t, w, n, &ssm.StartSessionInput{DocumentName: &name})
		want := ""
		if name == "Logged" {
			want = "$ "
		}
		for i := range 20 { // more than is held at a time
			text := fmt.Sprintf("%d\x1b[0m%s", i, strings.Repeat("x", 5000))
			must(t, p.agent.Stream("output_stream_data", 1, text))
			if want != "" {
				want += text
			}
		}
		must(t, p.client.Stream("input_stream_data", 1, "password"))
		must(t, p.agent.Settled())
		var got strings.Builder
		must(t, w.Server().Sessions().Transcript(t.Context(), p.id, func(output []byte) bool {
			got.Write(output)
			return true
		}))
		if got.String() != want {
			t.Errorf("%s: the transcript has %d bytes, not %d", name, got.Len(), len(want))
		}
		must(t, n.Complete(p.id, "Success", ""))
	}
}

// TestTranscriptAfterStop has the whole transcript of a session when the server was stopped in it, and when somebody who asked for it went away.
func TestTranscriptAfterStop(t *testing.T) {
	inFakeTime(t, func(t *testing.T) { // in which no time passes between the output and the stop
		w := awstest.New(t)
		n := w.Node(awstest.NodeConfig{})
		awstest.Call[ssm.CreateDocumentOutput](w, "ssm", "CreateDocument", &ssm.CreateDocumentInput{
			Name: "Logged", DocumentType: new("Session"),
			Content: `{"schemaVersion":"1.0","sessionType":"Standard_Stream","inputs":{"cloudWatchLogGroupName":"/sessions"}}`,
		})
		p := newPair(t, w, n, &ssm.StartSessionInput{DocumentName: new("Logged")})
		want := "$ "
		away, leave := context.WithCancel(t.Context())
		leave()
		for i := range 20 {
			text := fmt.Sprintf("line %d\n", i)
			want += text
			must(t, p.agent.Stream("output_stream_data", 1, text))
			if i < 10 {
				must(t, p.agent.Settled())
				_ = w.Server().Sessions().Transcript(away, p.id, func([]byte) bool { return true }) // which fails, or was faster
			}
		}
		must(t, p.agent.Settled())
		for _, d := range []*awstest.Data{p.agent, p.client} {
			d.Drop()
		}
		n.Drop()
		w.Stop()
		w.Start()
		got := ""
		must(t, w.Server().Sessions().Transcript(t.Context(), p.id, func(output []byte) bool {
			got += string(output)
			return true
		}))
		if got != want {
			t.Errorf("the transcript is %q, not %q", got, want)
		}
	})
}

// TestRoleSession has a session that somebody who assumed a role starts: its name and owner are those of the role's session, and the role's
// tag says as whom it runs.
func TestRoleSession(t *testing.T) {
	w := awstest.New(t)
	n := w.Node(awstest.NodeConfig{})
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"sts:AssumeRole"}]}`
	awstest.Call[iam.CreateRoleOutput](w, "iam", "CreateRole", &iam.CreateRoleInput{RoleName: "Operators", AssumeRolePolicyDocument: trust})
	awstest.Call[iam.PutRolePolicyOutput](w, "iam", "PutRolePolicy", &iam.PutRolePolicyInput{
		RoleName: "Operators", PolicyName: "sessions", PolicyDocument: `{"Version":"2012-10-17","Statement":[
			{"Effect":"Allow","Action":"ssm:StartSession","Resource":"*"},
			{"Effect":"Allow","Action":["ssm:ResumeSession","ssm:TerminateSession"],"Resource":"arn:aws:ssm:*:*:session/${aws:userid}-*"}]}`,
	})
	c := awstest.Call[sts.AssumeRoleOutput](w, "sts", "AssumeRole", &sts.AssumeRoleInput{
		RoleArn: "arn:aws:iam::123456789012:role/Operators", RoleSessionName: "me@example",
	}).Credentials
	keys := awstest.Keys{ID: c.AccessKeyId, Secret: c.SecretAccessKey, Token: c.SessionToken}
	awstest.Call[iam.TagRoleOutput](w, "iam", "TagRole", &iam.TagRoleInput{RoleName: "Operators", Tags: []iam.Tag{{Key: "SSMSessionRunAs", Value: "ops"}}})
	awstest.Call[ssm.CreateDocumentOutput](w, "ssm", "CreateDocument", &ssm.CreateDocumentInput{
		Name: "SSM-SessionManagerRunShell", DocumentType: new("Session"),
		Content: `{"schemaVersion":"1.0","sessionType":"Standard_Stream","inputs":{"runAsEnabled":true}}`,
	})
	out := new(ssm.StartSessionOutput)
	must(t, w.Client("ssm", keys).Call(t.Context(), "StartSession", &ssm.StartSessionInput{Target: n.ID}, out))
	if !strings.HasPrefix(*out.SessionId, "me@example-0") {
		t.Errorf("the id is %s", *out.SessionId)
	}
	task, err := n.Task()
	must(t, err)
	if task.RunAsUser != "ops" || task.SessionOwner != "arn:aws:sts::123456789012:assumed-role/Operators/me@example" {
		t.Errorf("%+v", task)
	}
	resumed := new(ssm.ResumeSessionOutput) // its own, which AWS's sample policies name by the unique id. source: userguide
	must(t, w.Client("ssm", keys).Call(t.Context(), "ResumeSession", &ssm.ResumeSessionInput{SessionId: *out.SessionId}, resumed))
	others := awstest.Call[ssm.StartSessionOutput](w, "ssm", "StartSession", &ssm.StartSessionInput{Target: n.ID})
	err = w.Client("ssm", keys).Call(t.Context(), "ResumeSession", &ssm.ResumeSessionInput{SessionId: *others.SessionId}, resumed)
	if awstest.Code(err) != "AccessDeniedException" {
		t.Errorf("another's session: %v", err)
	}
}

// TestEarlyFrames has a client that takes no output yet and does not say so: it is given the frames again until it takes them, and the agent
// is not told before that it has. source: agent
func TestEarlyFrames(t *testing.T) {
	for _, restart := range []bool{false, true} { // before either end has come
		inFakeTime(t, func(t *testing.T) {
			w := awstest.New(t)
			n := w.Node(awstest.NodeConfig{})
			out := awstest.Call[ssm.StartSessionOutput](w, "ssm", "StartSession", &ssm.StartSessionInput{Target: n.ID})
			_, err := n.Task()
			must(t, err)
			if restart {
				n.Drop()
				w.Stop()
				w.Start()
				n.Connect()
			}
			agent, err := n.OpenData(*out.SessionId)
			must(t, err)
			client, err := w.OpenData(out)
			must(t, err)
			for range 5 {
				agent.From(new(awstest.Data)) // it repeats what is not acknowledged
				must(t, agent.Stream("output_stream_data", 1, "$ "))
				m, err := client.Next("output_stream_data")
				must(t, err)
				if m.Sequence != 0 || string(m.Payload) != "$ " {
					t.Errorf("the client got %d %q", m.Sequence, m.Payload)
				}
				time.Sleep(time.Second)
			}
			must(t, client.Stream("input_stream_data", 3, `{"cols":80,"rows":24}`))
			m, err := agent.Next("input_stream_data")
			must(t, err)
			must(t, agent.Acknowledge(m))
			agent.From(new(awstest.Data))
			must(t, agent.Stream("output_stream_data", 1, "$ "))
			m, err = client.Next("output_stream_data")
			must(t, err)
			must(t, client.Acknowledge(m))
			_, err = agent.Next("acknowledge")
			must(t, err)
		})
	}
}
