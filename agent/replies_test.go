//go:build unix

package agent_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/agent/agenttest"
)

// TestLostAcks loses acknowledgements: the same replies come again, in order, until they are
// acknowledged.
func TestLostAcks(t *testing.T) {
	w := newWorld(t)
	w.start(hurry("ack", 50*time.Millisecond))
	w.node.Online(t)
	w.Do(func() { w.node.DropAcks = 3 }) // of the reply about the beginning, and two of the first step's
	c := w.node.Send(t, `{"schemaVersion":"2.2","mainSteps":[
	  {"action":"aws:runShellScript","name":"a","inputs":{"runCommand":["echo 1"]}},
	  {"action":"aws:runShellScript","name":"b","inputs":{"runCommand":["echo 2"]}}]}`, nil)
	if got := w.node.Wait(t, c); got != "Success" {
		t.Errorf("%s", got)
	}
	eventually(t, "an empty outbox", func() bool { return len(w.leftovers("outbox")) == 0 })
	w.Do(func() {
		var order []string
		ids := map[string]string{}
		for _, r := range c.Replies {
			what := r.Parsed.DocumentStatus
			for name := range r.Parsed.RuntimeStatus {
				what += " " + name
			}
			order = append(order, what)
			if id, ok := ids[what]; ok && id != r.ID {
				t.Errorf("%s came under another id", what)
			}
			ids[what] = r.ID
		}
		if n := len(order); n < 6 { // a slow machine repeats more
			t.Errorf("%d replies", n)
		}
		if got := strings.Join(slices.Compact(order), ", "); got != "InProgress, InProgress a, InProgress b, Success" {
			t.Errorf("%s", got)
		}
	})
	w.checkReplies(c)
}

// TestLostReplies loses replies altogether, the terminal one among them.
func TestLostReplies(t *testing.T) {
	w := newWorld(t)
	w.start(hurry("ack", 50*time.Millisecond))
	w.node.Online(t)
	w.Do(func() { w.node.LoseReplies = 3 })
	c := w.node.Script(t, "echo x")
	if got := w.node.Wait(t, c); got != "Success" {
		t.Errorf("%s", got)
	}
	w.checkReplies(c)
}

// TestRepliesDoNotWaitForEachOther has a server that ignores one job's replies: another job's get
// through.
func TestRepliesDoNotWaitForEachOther(t *testing.T) {
	w := newWorld(t)
	w.start(hurry("ack", time.Hour))
	w.node.Online(t)
	w.Do(func() { w.node.LoseReplies = 2 })
	stuck := w.node.Script(t, "echo x")
	w.Wait(t, "two replies to be lost", func() bool { return w.node.LoseReplies == 0 })
	c := w.node.Script(t, "echo y")
	if got := w.node.Wait(t, c); got != "Success" {
		t.Errorf("%s", got)
	}
	w.Do(func() {
		if stuck.Done() {
			t.Errorf("%+v", stuck.Replies)
		}
	})
	w.node.HangUp() // a new channel makes it try again at once
	if got := w.node.Wait(t, stuck); got != "Success" {
		t.Errorf("%s", got)
	}
	w.checkReplies(stuck, c)
}

// TestServerRestart stops the server while commands run, and starts it again: the node comes back by
// itself and delivers what has ended meanwhile.
func TestServerRestart(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	folder := t.TempDir()
	var all []*agenttest.Command
	for range 3 {
		all = append(all, w.node.Script(t, gated(folder)...))
	}
	eventually(t, "the scripts", func() bool { return strings.Count(content(t, folder+"/log"), "\n") == 3 })
	w.Stop()
	openGate(t, folder)
	eventually(t, "all to end", func() bool { return len(w.leftovers("jobs")) == 0 })
	if n := len(w.leftovers("outbox")); n != 6 {
		t.Errorf("%d replies wait", n)
	}
	w.Start(t)
	for _, c := range all {
		if got := w.node.Wait(t, c); got != "Success" {
			t.Errorf("%s", got)
		}
	}
	if got := w.node.Wait(t, w.node.Script(t, "true")); got != "Success" {
		t.Errorf("%s", got)
	}
	w.checkReplies(all...)
}

// TestOutboxSurvivesTheAgent has replies that the agent cannot deliver in its life; the next one
// does.
func TestOutboxSurvivesTheAgent(t *testing.T) {
	w := newWorld(t)
	stop := w.start(hurry("farewell", time.Millisecond), hurry("ack", time.Hour))
	w.node.Online(t)
	w.Do(func() { w.node.LoseReplies = 1000 })
	c := w.node.Script(t, "echo x")
	eventually(t, "the job to end", func() bool { return len(w.leftovers("outbox")) == 2 && len(w.leftovers("jobs")) == 0 })
	stop()
	if n := len(w.leftovers("outbox")); n != 2 {
		t.Errorf("%d replies wait", n)
	}
	w.Do(func() { w.node.LoseReplies = 0 })
	w.start()
	if got := w.node.Wait(t, c); got != "Success" {
		t.Errorf("%s", got)
	}
	eventually(t, "an empty outbox", func() bool { return len(w.leftovers("outbox")) == 0 })
	w.checkReplies(c)
}

// TestLongOutput writes more than a reply holds. source: the protocol sheet of the official agent, measured
func TestLongOutput(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	for n, want := range map[int]string{
		23999: strings.Repeat("x", 23999),
		24000: strings.Repeat("x", 23980) + "--output truncated--",
		50000: strings.Repeat("x", 23980) + "--output truncated--",
	} {
		c := w.node.Script(t, fmt.Sprintf("head -c %d /dev/zero | tr '\\0' x; head -c %d /dev/zero | tr '\\0' x >&2", n, n))
		if got := w.node.Wait(t, c); got != "Success" {
			t.Errorf("%s", got)
		}
		w.Do(func() {
			s := c.Step("runShellScript")
			if s.StandardOutput != want || s.StandardError != want {
				t.Errorf("%d bytes: got %d and %d", n, len(s.StandardOutput), len(s.StandardError))
			}
			half := (2500 - 24 - 23 - 23) / 2
			if s.Output != strings.Repeat("x", half)+"\n---Output truncated---\n----------ERROR-------\n"+strings.Repeat("x", half)+"\n---Error truncated----" {
				t.Errorf("output of %d bytes: %q", len(s.Output), s.Output)
			}
		})
		w.checkReplies(c)
	}
}

// TestEscapedOutput writes what takes six bytes for one in JSON: the reply is cut to what a server
// takes instead of never being sent. The official agent does not send it.
func TestEscapedOutput(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	for _, script := range []string{
		`head -c 30000 /dev/zero | tr '\0' '\001'; head -c 30000 /dev/zero | tr '\0' '\002' >&2`, // control characters
		`head -c 30000 /dev/zero | tr '\0' '\377'; head -c 30000 /dev/zero | tr '\0' '\376' >&2`, // no text at all
		`head -c 30000 /dev/zero | tr '\0' '"'; head -c 30000 /dev/zero | tr '\0' '<' >&2`,
		`echo short; head -c 30000 /dev/zero >&2`,
	} {
		c := w.node.Script(t, script, "exit 3")
		if got := w.node.Wait(t, c); got != "Failed" {
			t.Errorf("%s", got)
		}
		w.Do(func() {
			last := c.Replies[len(c.Replies)-1]
			if len(last.Content) > 120000 || len(last.Content) < 100000 {
				t.Errorf("%s: %d bytes", script, len(last.Content))
			}
			s := c.Step("runShellScript")
			if !strings.HasSuffix(s.StandardError, "--output truncated--") {
				t.Errorf("%s: ends with %q", script, s.StandardError[max(0, len(s.StandardError)-30):])
			}
			if strings.Contains(script, "short") && s.StandardOutput != "short\n" {
				t.Errorf("the short stream was cut: %q", s.StandardOutput)
			}
		})
		w.checkReplies(c)
	}
}
