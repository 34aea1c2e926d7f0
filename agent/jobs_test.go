//go:build unix

package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/vennel/vennel/agent/agenttest"
)

// times are what differs from run to run in replies.
var times = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`)

// info is how replies begin, up to the counts. source: the protocol sheet of the official agent, measured
const info = `{"additionalInfo":{"agent":{"lang":"en-US","name":"amazon-ssm-agent","os":"linux","osver":"1","ver":"3.3.987.1"},"dateTime":"T","runId":"","runtimeStatusCounts":`

// contents are the contents of a command's replies without times.
func contents(w *world, c *agenttest.Command) []string {
	var all []string
	w.Do(func() {
		for _, r := range c.Replies {
			all = append(all, r.Topic+" "+times.ReplaceAllString(r.Content, "T"))
		}
	})
	return all
}

// TestOneStepReplies looks at every byte that the server sees of a command of one step. source: the
// protocol sheet of the official agent, measured
func TestOneStepReplies(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	c := w.node.Script(t, "echo hello", "uname -s")
	if got := w.node.Wait(t, c); got != "Success" {
		t.Fatalf("%s", got)
	}
	step := `{"runShellScript":{"status":"Success","code":0,"name":"aws:runShellScript","output":"hello\nLinux\n","startDateTime":"T","endDateTime":"T","outputS3BucketName":"","outputS3KeyPrefix":"","stepName":"","standardOutput":"hello\nLinux\n","standardError":""}}}`
	want := []string{
		`aws.ssm.sendCommand ` + info + `null},"documentStatus":"InProgress","documentTraceOutput":"","runtimeStatus":null}`,
		`aws.ssm.sendCommand ` + info + `{"Success":1}},"documentStatus":"InProgress","documentTraceOutput":"","runtimeStatus":` + step,
		`aws.ssm.sendCommand ` + info + `{"Success":1}},"documentStatus":"Success","documentTraceOutput":"","runtimeStatus":` + step,
	}
	if diff := cmp.Diff(want, contents(w, c)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	w.Do(func() {
		if !slices.Equal(c.Acks, []string{"200"}) {
			t.Errorf("acks %v", c.Acks)
		}
	})
}

// TestManyStepReplies has a step fail; the last reply is about the whole only. source: the protocol
// sheet of the official agent, measured
func TestManyStepReplies(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	c := w.node.Send(t, `{"schemaVersion":"2.2","parameters":{"who":{"type":"String"}},"mainSteps":[
	  {"action":"aws:runShellScript","name":"first","inputs":{"runCommand":["echo '<{{ who }}>'"]}},
	  {"action":"aws:runShellScript","name":"second","inputs":{"runCommand":["echo hi world >&2; exit 3"]}},
	  {"action":"aws:runPowerShellScript","name":"third","precondition":{"StringEquals":["platformType","Windows"]},"inputs":{"runCommand":["x"]}}]}`,
		map[string]any{"who": "me"})
	if got := w.node.Wait(t, c); got != "Failed" {
		t.Fatalf("%s", got)
	}
	step := func(name, status, code, plugin, output, stdout, stderr string) string {
		return `{"` + name + `":{"status":"` + status + `","code":` + code + `,"name":"` + plugin + `","output":"` + output + `","startDateTime":"T","endDateTime":"T","outputS3BucketName":"","outputS3KeyPrefix":"","stepName":"","standardOutput":"` + stdout + `","standardError":"` + stderr + `"}}}`
	}
	want := []string{
		`aws.ssm.sendCommand ` + info + `null},"documentStatus":"InProgress","documentTraceOutput":"","runtimeStatus":null}`,
		`aws.ssm.sendCommand ` + info + `{"Success":1}},"documentStatus":"InProgress","documentTraceOutput":"","runtimeStatus":` + step("first", "Success", "0", "aws:runShellScript", `\u003cme\u003e\n`, `\u003cme\u003e\n`, ""),
		`aws.ssm.sendCommand ` + info + `{"Failed":1,"Success":1}},"documentStatus":"InProgress","documentTraceOutput":"","runtimeStatus":` +
			step("second", "Failed", "3", "aws:runShellScript", `\n----------ERROR-------\nhi world\nfailed to run commands: exit status 3`, "", `hi world\nfailed to run commands: exit status 3`),
		`aws.ssm.sendCommand ` + info + `{"Failed":1,"Skipped":1,"Success":1}},"documentStatus":"InProgress","documentTraceOutput":"","runtimeStatus":` +
			step("third", "Skipped", "0", "aws:runPowerShellScript", `Step third was skipped because its precondition is not met: the platform is not Windows.`, "", ""),
		`aws.ssm.sendCommand ` + info + `{"Failed":1,"Skipped":1,"Success":1}},"documentStatus":"Failed","documentTraceOutput":"","runtimeStatus":{}}`,
	}
	if diff := cmp.Diff(want, contents(w, c)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestScriptEnvironment checks what a script knows of its node, and that it has the node's credentials.
func TestScriptEnvironment(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	c := w.node.Script(t, `printf '%s' "$AWS_SSM_INSTANCE_ID $AWS_SSM_REGION_NAME $SSM_COMMAND_ID"`, `grep -c aws_session_token "$AWS_SHARED_CREDENTIALS_FILE" >&2`)
	w.node.Wait(t, c)
	w.Do(func() {
		s := c.Step("runShellScript")
		if s.StandardOutput != w.node.ID+" "+agenttest.Region+" "+c.ID || s.StandardError != "1\n" {
			t.Errorf("%+v", s)
		}
	})
}

// TestRefusedJobs sends jobs that cannot be taken: each gets its code, and a reply where one is due.
// source: the protocol sheet of the official agent, measured
func TestRefusedJobs(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	bad := func(document, parameters string) string {
		return `{"Parameters":` + parameters + `,"DocumentContent":` + document + `}`
	}
	pattern := `{"schemaVersion":"2.2","parameters":{"p":{"type":"String","allowedPattern":"^a$"}},"mainSteps":[{"action":"aws:runShellScript","name":"n","inputs":{"runCommand":["{{ p }}"]}}]}`
	for _, tt := range []struct{ name, topic, content, code, trace string }{
		{"another schema", "aws.ssm.sendCommand.x", bad(`{"schemaVersion":"9.9"}`, "{}"), "51408", "schemaVersion"},
		{"a value that is not allowed", "aws.ssm.sendCommand.x", bad(pattern, `{"p":"b"}`), "51408", "not matching"},
		{"a value that is missing", "aws.ssm.sendCommand.x", bad(pattern, `{}`), "51408", "required"},
		{"no JSON", "aws.ssm.sendCommand.x", `{`, "51408", "malformed"},
		{"no document", "aws.ssm.sendCommand.x", `{}`, "51408", "no document"},
		{"another topic", "aws.ssm.makeCoffee", `{}`, "51403", ""},
		{"a cancellation of nothing", "aws.ssm.cancelCommand", `{}`, "51408", ""},
		{"a torn cancellation", "aws.ssm.cancelCommand", `x`, "51408", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := w.node.SendJob(uuid.NewString(), tt.topic, tt.content)
			w.Wait(t, "an ack", func() bool { return len(c.Acks) == 1 })
			if tt.trace != "" {
				if got := w.node.Wait(t, c); got != "Failed" {
					t.Errorf("%s", got)
				}
			}
			w.Do(func() {
				if c.Acks[0] != tt.code {
					t.Errorf("code %s, want %s", c.Acks[0], tt.code)
				}
				if tt.trace == "" {
					if len(c.Replies) != 0 {
						t.Errorf("%+v", c.Replies)
					}
				} else if r := c.Replies[0].Parsed; !strings.Contains(r.DocumentTraceOutput, tt.trace) || r.RuntimeStatus != nil || len(c.Replies) != 1 {
					t.Errorf("%+v", c.Replies)
				}
			})
		})
	}
	c := w.node.SendJob("../../escape", "aws.ssm.sendCommand", bad(agenttest.ScriptDocument("true"), "{}"))
	w.Wait(t, "an ack", func() bool { return len(c.Acks) == 1 })
	w.Do(func() {
		if c.Acks[0] != "51406" {
			t.Errorf("an id that is a path got %s", c.Acks[0])
		}
	})
}

// TestUnresolvedParameters accepts what only the worker can judge, and reports what it finds.
func TestUnresolvedParameters(t *testing.T) {
	w := newWorld(t)
	w.AddParameter("there", "String", "value of there")
	w.AddParameter("secret", "SecureString", "x")
	w.start()
	w.node.Online(t)
	for run, want := range map[string]string{
		"echo {{ssm:none}}":    "do not exist: none",
		"echo {{ ssm:secret}}": "SecureString",
	} {
		c := w.node.Script(t, run)
		if got := w.node.Wait(t, c); got != "Failed" {
			t.Errorf("%s", got)
		}
		w.Do(func() {
			if last := c.Replies[len(c.Replies)-1].Parsed; !strings.Contains(last.DocumentTraceOutput, want) {
				t.Errorf("%+v", last)
			}
		})
	}
	c := w.node.Script(t, "echo {{ssm:there}}")
	w.node.Wait(t, c)
	w.Do(func() {
		if s := c.Step("runShellScript"); s.StandardOutput != "value of there\n" {
			t.Errorf("%+v", s)
		}
	})
}

// TestDuplicates delivers a command again, while it runs, when it has ended, and to the next agent:
// it runs once.
func TestDuplicates(t *testing.T) {
	w := newWorld(t)
	stop := w.start()
	w.node.Online(t)
	log, gate := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "gate")
	c := w.node.Script(t, "echo ran >> "+log, "while ! [ -e "+gate+" ]; do sleep 0.01; done")
	eventually(t, "the script", func() bool { return content(t, log) != "" })
	again := func(n int) {
		t.Helper()
		w.node.Redeliver(c)
		w.Wait(t, "an ack", func() bool { return len(c.Acks) == n })
		w.Do(func() {
			if c.Acks[n-1] != "51405" {
				t.Errorf("acks %v", c.Acks)
			}
		})
	}
	again(2)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.node.Wait(t, c)
	again(3)
	stop()
	w.start()
	w.node.Online(t)
	again(4)
	x := w.node.Cancel(c)
	w.Wait(t, "an ack", func() bool { return len(x.Acks) == 1 })
	w.node.Redeliver(x)
	w.Wait(t, "an ack", func() bool { return len(x.Acks) == 2 })
	w.Do(func() {
		if !slices.Equal(x.Acks, []string{"200", "51405"}) {
			t.Errorf("a cancellation was delivered twice: %v", x.Acks)
		}
		if c.Status() != "Success" {
			t.Errorf("%+v", c.Replies)
		}
	})
	if got := content(t, log); got != "ran\n" {
		t.Errorf("it ran %d times", strings.Count(got, "\n"))
	}
}

// TestQueueIsBounded sends more jobs than the agent takes: five run, five wait, the others are
// refused, and each runs once when the server delivers it again.
func TestQueueIsBounded(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	folder := t.TempDir()
	gate := filepath.Join(folder, "gate")
	var all []*agenttest.Command
	for i := range 14 {
		all = append(all, w.node.Script(t, fmt.Sprintf("echo x >> %s/ran.%d", folder, i), "while ! [ -e "+gate+" ]; do sleep 0.01; done"))
	}
	codes := map[string]int{}
	w.Wait(t, "all acks", func() bool {
		clear(codes)
		for _, c := range all {
			if len(c.Acks) > 0 {
				codes[c.Acks[0]]++
			}
		}
		return codes["200"]+codes["51402"] == len(all)
	})
	if codes["200"] != 10 || codes["51402"] != 4 {
		t.Errorf("codes %v", codes)
	}
	ran := func() int {
		names, err := filepath.Glob(folder + "/ran.*")
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	eventually(t, "five to run", func() bool { return ran() == 5 })
	time.Sleep(100 * time.Millisecond) // a sixth would come by now; there is nothing to wait for
	if n := ran(); n != 5 {
		t.Errorf("%d run at a time", n)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, c := range all {
		if got := w.node.Wait(t, c); got != "Success" {
			t.Errorf("job %d: %s", i, got)
		}
		if got := content(t, fmt.Sprintf("%s/ran.%d", folder, i)); got != "x\n" {
			t.Errorf("job %d ran %q", i, got)
		}
	}
}

// TestBurst sends two hundred jobs at once to a server that repeats what was refused.
func TestBurst(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	var all []*agenttest.Command
	for i := range 200 {
		all = append(all, w.node.Script(t, fmt.Sprintf("echo %d", i)))
	}
	for i, c := range all {
		if got := w.node.Wait(t, c); got != "Success" {
			t.Fatalf("job %d: %s", i, got)
		}
		w.Do(func() {
			if got := c.Step("runShellScript").StandardOutput; got != fmt.Sprintf("%d\n", i) {
				t.Errorf("job %d: %q", i, got)
			}
		})
	}
	w.checkReplies(all...)
	eventually(t, "nothing to be left", func() bool { return len(w.leftovers("jobs", "outbox")) == 0 })
	if n := len(w.leftovers("seen")); n != len(all) {
		t.Errorf("%d commands are remembered", n)
	}
}

// checkReplies checks what holds for the replies of every command: nothing comes after the terminal
// one but the same again, and each id always has the same content.
func (w *world) checkReplies(all ...*agenttest.Command) {
	w.t.Helper()
	w.Do(func() {
		for _, c := range all {
			ids := map[string]string{}
			done := ""
			for _, r := range c.Replies {
				if known, ok := ids[r.ID]; ok && known != r.Content {
					w.t.Errorf("reply %s changed from %s to %s", r.ID, known, r.Content)
				}
				ids[r.ID] = r.Content
				if done != "" && r.ID != done {
					w.t.Errorf("command %s: %s came after the end", c.ID, r.Content)
				}
				if slices.Contains([]string{"Success", "Failed", "TimedOut", "Cancelled"}, r.Parsed.DocumentStatus) {
					done = r.ID
				}
				if len(r.Content) > 120000 {
					w.t.Errorf("a reply has %d bytes", len(r.Content))
				}
			}
		}
	})
}

// TestCancelRunning cancels a command that runs: its processes are killed, the step after it does
// not run, and the cancellation itself is answered as the official agent does.
func TestCancelRunning(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	log := filepath.Join(t.TempDir(), "log")
	c := w.node.Send(t, `{"schemaVersion":"2.2","mainSteps":[
	  {"action":"aws:runShellScript","name":"first","inputs":{"runCommand":["echo before; echo $$ > `+log+`; sleep 1000"]}},
	  {"action":"aws:runShellScript","name":"second","inputs":{"runCommand":["echo > `+log+`.second"]}}]}`, nil)
	eventually(t, "the script", func() bool { return content(t, log) != "" })
	x := w.node.Cancel(c)
	if got := w.node.Wait(t, c); got != "Cancelled" {
		t.Errorf("%s", got)
	}
	w.Do(func() {
		if first := c.Step("first"); first.Status != "Cancelled" || first.Code != 137 || first.StandardOutput != "before\n" {
			t.Errorf("%+v", first)
		}
		if second := c.Step("second"); second.Status != "Cancelled" || second.Code != 1 {
			t.Errorf("%+v", second)
		}
		if toJSON(t, x.Acks) != `["200"]` || len(x.Replies) != 1 || x.Replies[0].Topic != "aws.ssm.cancelCommand" || x.Status() != "InProgress" {
			t.Errorf("the cancellation: %v %+v", x.Acks, x.Replies)
		}
	})
	if content(t, log+".second") != "" {
		t.Error("the second step ran")
	}
	for _, target := range []*agenttest.Command{c, {JobID: "aws.ssm." + uuid.NewString() + ".mi-1"}} { // it has ended, or never was
		x := w.node.Cancel(target)
		w.Wait(t, "a reply", func() bool { return len(x.Replies) == 1 })
		w.Do(func() {
			if toJSON(t, x.Acks) != `["200"]` || x.Status() != "InProgress" {
				t.Errorf("%v %+v", x.Acks, x.Replies)
			}
		})
	}
	w.checkReplies(c)
}

// TestCancelQueued cancels a command that waits behind others: it is reported at once and never
// runs, not even for the next agent. The official agent does neither.
func TestCancelQueued(t *testing.T) {
	w := newWorld(t)
	stop := w.start()
	w.node.Online(t)
	folder := t.TempDir()
	var running []*agenttest.Command
	for i := range 5 {
		running = append(running, w.node.Script(t, fmt.Sprintf("echo > %s/%d; while ! [ -e %s/gate ]; do sleep 0.01; done", folder, i, folder)))
	}
	queued := w.node.Script(t, "echo > "+folder+"/queued")
	w.Wait(t, "an ack", func() bool { return len(queued.Acks) == 1 })
	x := w.node.Cancel(queued)
	if got := w.node.Wait(t, queued); got != "Cancelled" {
		t.Errorf("%s", got)
	}
	w.Do(func() {
		if s := queued.Step("runShellScript"); s.Status != "Cancelled" {
			t.Errorf("%+v", s)
		}
		if toJSON(t, x.Acks) != `["200"]` {
			t.Errorf("%v", x.Acks)
		}
	})
	if err := os.WriteFile(folder+"/gate", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range running {
		if got := w.node.Wait(t, c); got != "Success" {
			t.Errorf("%s", got)
		}
	}
	stop()
	w.start()
	w.node.Online(t)
	last := w.node.Script(t, "true")
	w.node.Wait(t, last)
	if _, err := os.Stat(folder + "/queued"); err == nil {
		t.Error("the cancelled command ran")
	}
	w.checkReplies(append(running, queued)...)
}

// TestTimeout lets a script take longer than it may.
func TestTimeout(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	c := w.node.Send(t, `{"schemaVersion":"2.2","mainSteps":[
	  {"action":"aws:runShellScript","name":"first","inputs":{"timeoutSeconds":"5","runCommand":["echo before; sleep 1000"]}},
	  {"action":"aws:runShellScript","name":"second","inputs":{"runCommand":["echo after"]}}]}`, nil)
	if got := w.node.Wait(t, c); got != "TimedOut" {
		t.Errorf("%s", got)
	}
	w.Do(func() {
		if first := c.Step("first"); first.Status != "TimedOut" || first.Code != 137 || first.StandardOutput != "before\n" {
			t.Errorf("%+v", first)
		}
		if second := c.Step("second"); second.Status != "Success" || second.StandardOutput != "after\n" {
			t.Errorf("%+v", second)
		}
	})
}

// TestRunDocumentFromServer runs a document that the node fetches.
func TestRunDocumentFromServer(t *testing.T) {
	w := newWorld(t)
	w.AddDocument("Inner", agenttest.ScriptDocument("echo inner"))
	w.start()
	w.node.Online(t)
	c := w.node.Send(t, `{"schemaVersion":"2.2","mainSteps":[
	  {"action":"aws:downloadContent","name":"get","inputs":{"sourceType":"SSMDocument","sourceInfo":"{\"name\":\"Inner\"}"}},
	  {"action":"aws:runDocument","name":"local","inputs":{"documentType":"LocalPath","documentPath":"Inner.json"}},
	  {"action":"aws:runDocument","name":"remote","inputs":{"documentType":"SSMDocument","documentPath":"Inner"}}]}`, nil)
	if got := w.node.Wait(t, c); got != "Success" {
		t.Errorf("%s", got)
	}
	w.Do(func() {
		if c.Step("local").StandardOutput != "inner\n" || c.Step("remote").StandardOutput != "inner\n" {
			t.Errorf("%+v", c.Replies)
		}
	})
}
