//go:build unix

package test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/ssm"
)

// TestSessionTranscript holds shells with every pair of a client and an agent while their preferences name a log group, and reads with the
// stock CLI what was shown in them, and nothing else. The node may write logs, as AWS's guide has it, so that the official agent would.
func TestSessionTranscript(t *testing.T) {
	t.Parallel()
	need(t, "aws")
	for _, agent := range []string{oursKind, officialKind} {
		t.Run(agent, func(t *testing.T) {
			s := newStation(t, agent)
			s.call("iam", "PutRolePolicy", &iam.PutRolePolicyInput{RoleName: "NodeRole", PolicyName: "logs",
				PolicyDocument: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"logs:*","Resource":"*"}]}`}, nil)
			s.call("ssm", "CreateDocument", &ssm.CreateDocumentInput{
				Name: "SSM-SessionManagerRunShell", DocumentType: new("Session"),
				Content: `{"schemaVersion":"1.0","sessionType":"Standard_Stream","inputs":{"cloudWatchLogGroupName":"/shells","cloudWatchStreamingEnabled":true}}`,
			}, nil)
			for _, client := range []string{oursKind, officialKind} {
				t.Run(client, func(t *testing.T) {
					if why := lacks("client", client); why != "" {
						t.Skip("SKIPPED: " + why)
					}
					testTranscript(t, s.operator(t, client))
				})
			}
		})
	}
}

// testTranscript types, also what is not shown, and reads what was shown while the shell is there and when it has ended.
func testTranscript(t *testing.T, o *operator) {
	x := onTerminal(t, o.shell())
	x.expect(prompt)
	id := *o.sessions()[0].SessionId
	x.say("echo a$((40+2))b; printf 'gr\\303\\274\\303\\237e \\033[31mred\\033[0m\\n'\n")
	x.expect(`a42b`)
	x.expect(prompt)
	x.say("stty -echo; echo sec''ret; read line; stty echo; echo do''ne\n")
	x.expect(`secret`)
	x.say("password\n")
	x.expect(`done`)
	x.expect(prompt)
	o.await("what the shell has shown to be read", func() bool { return strings.Contains(o.transcript(id), "\ndone\n") })
	begin := time.Now()
	x.say("exit\n")
	x.exit(sessionPatience)
	o.quiet()
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("the session took %v to end", took)
	}
	o.await("the rest to be read", func() bool { return strings.Contains(o.transcript(id), "exit") })
	text := o.transcript(id)
	for _, want := range []string{"\na42b\ngrüße red\n", "echo sec''ret; read line", "\nsecret\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in what was shown:\n%s", want, text)
		}
	}
	if strings.Contains(text, "password") {
		t.Errorf("what was not shown is in it:\n%s", text)
	}

	if o.kind != oursKind {
		return
	}
	// A command without a terminal has no log, and its agent neither waits for one nor says that there is one.
	if out, err := o.command("echo quiet").Output(); err != nil || !strings.Contains(string(out), "quiet") {
		t.Errorf("%v: %s", err, out)
	}
	o.quiet()
	past := new(ssm.DescribeSessionsOutput)
	o.call("ssm", "DescribeSessions", &ssm.DescribeSessionsInput{State: ssm.SessionStateHistory}, past)
	for _, s := range past.Sessions {
		if s.OutputUrl.CloudWatchOutputUrl != nil {
			t.Errorf("%s is said to have its log at %s", *s.SessionId, *s.OutputUrl.CloudWatchOutputUrl)
		}
	}
}

// transcript is what the stock CLI reads in a stream, line by line.
func (o *operator) transcript(session string) string {
	o.t.Helper()
	var page struct{ Events []struct{ Message string } }
	out, err := o.run("aws", "logs", "filter-log-events", "--log-group-name", "/shells", "--log-stream-names", session).Output()
	if err == nil {
		err = json.Unmarshal(out, &page)
	}
	if err != nil {
		o.t.Fatal(err)
	}
	var text strings.Builder
	for _, e := range page.Events {
		var event struct {
			SessionID   string `json:"sessionId"`
			SessionData []string
		}
		if err := json.Unmarshal([]byte(e.Message), &event); err != nil || event.SessionID != session {
			o.t.Fatalf("%s: %v", e.Message, err)
		}
		for _, line := range event.SessionData {
			text.WriteString(line + "\n")
		}
	}
	return text.String()
}
