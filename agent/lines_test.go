//go:build unix

package agent_test

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/agent"
	"github.com/vennel/vennel/agent/agenttest"
	"github.com/vennel/vennel/api"
)

// channels are the lines that a node has reported, each once.
func channels(n *agenttest.Node) []string {
	var all []string
	for _, h := range n.Heartbeats {
		line := "-"
		if h.SSMConnectionChannel != nil {
			line = *h.SSMConnectionChannel
		}
		if len(all) == 0 || all[len(all)-1] != line {
			all = append(all, line)
		}
	}
	return all
}

// TestOpening looks at how a control channel begins. source: the protocol sheet of the official
// agent, measured
func TestOpening(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	w.Do(func() {
		o := w.node.Opened[0]
		if *o.Role != "subscribe" || *o.Stream != "input" || o.MessageSchemaVersion != "1.0" || *o.AgentVersion != agent.Version || *o.PlatformType != "linux" {
			t.Errorf("%+v", o)
		}
		if w.node.Polls != 0 {
			t.Error("it polls although it need not")
		}
	})
}

// TestReconnect hangs up: the node is back at once.
func TestReconnect(t *testing.T) {
	w := newWorld(t)
	w.start(hurry("steady", time.Millisecond))
	w.node.Online(t)
	for n := 2; n <= 6; n++ { // without a fresh start each time the pauses would have grown to seconds
		time.Sleep(2 * time.Millisecond) // so that the channel counts as good
		w.node.HangUp()
		begin := time.Now()
		w.Wait(t, "another channel", func() bool { return len(w.node.Opened) == n })
		if took := time.Since(begin); took > 1500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	}
	if got := w.node.Wait(t, w.node.Script(t, "true")); got != "Success" {
		t.Errorf("%s", got)
	}
}

// TestReconnectIsPatient has a server that hangs up at once, always: the pauses grow.
func TestReconnectIsPatient(t *testing.T) {
	w := newWorld(t)
	w.Do(func() { w.node.HangsUp = true })
	w.start()
	w.Wait(t, "a few channels", func() bool { return len(w.node.Opened) >= 3 })
	before := w.Calls("CreateControlChannel")
	time.Sleep(300 * time.Millisecond) // a hurried node would call dozens of times
	if n := w.Calls("CreateControlChannel") - before; n > 1 {
		t.Errorf("%d calls", n)
	}
}

// TestFallback refuses the control channel: the node polls, runs jobs that come that way, and goes
// back to the control channel as soon as it is let. It reports each change.
func TestFallback(t *testing.T) {
	w := newWorld(t)
	w.Do(func() { w.node.Refuse = true })
	w.start(hurry("steady", time.Millisecond))
	w.Wait(t, "a poll", func() bool { return w.node.Polls > 0 })
	c := w.node.Send(t, `{"schemaVersion":"2.2","mainSteps":[
	  {"action":"aws:runShellScript","name":"a","inputs":{"runCommand":["echo 1"]}},
	  {"action":"aws:runShellScript","name":"b","inputs":{"runCommand":["exit 2"]}}]}`, nil)
	if got := w.node.Wait(t, c); got != "Failed" {
		t.Errorf("%s", got)
	}
	w.Wait(t, "an acknowledgement", func() bool { return c.Acknowledged })
	w.Do(func() {
		if c.Before == 0 {
			t.Error("the message was acknowledged before the job was reported to have begun")
		}
		for i, r := range c.Replies {
			if r.Line != "ec2messages" || r.Parsed.AdditionalInfo.AbleToOpenMGSConnection == nil || *r.Parsed.AdditionalInfo.AbleToOpenMGSConnection {
				t.Errorf("reply %d: %s %s", i, r.Line, r.Content)
			}
		}
		if len(c.Replies) != 4 || c.Step("a").StandardOutput != "1\n" || c.Step("b").Code != 2 {
			t.Errorf("%+v", c.Replies)
		}
	})

	folder := t.TempDir()
	long := w.node.Script(t, gated(folder)...)
	eventually(t, "the script", func() bool { return content(t, folder+"/log") != "" })
	w.Do(func() { w.node.Refuse = false })
	w.node.Online(t)
	w.Wait(t, "the report of the change", func() bool {
		return slices.Equal(channels(w.node), []string{"-", "", "ec2messages", "ssmmessages"})
	})
	over := w.node.Script(t, "echo over the channel")
	if got := w.node.Wait(t, over); got != "Success" {
		t.Errorf("%s", got)
	}
	openGate(t, folder)
	if got := w.node.Wait(t, long); got != "Success" {
		t.Errorf("%s", got)
	}
	w.Do(func() {
		if last := over.Replies[len(over.Replies)-1]; last.Line != "ssmmessages" {
			t.Errorf("%s", last.Line)
		}
		if last := long.Replies[len(long.Replies)-1]; last.Line != "ec2messages" {
			t.Errorf("the reply to a job of ec2messages went over %s", last.Line)
		}
	})
	polls := 0
	eventually(t, "polling to end", func() bool { // the poll that was open may take its time
		before := polls
		w.Do(func() { polls = w.node.Polls })
		if before != polls {
			time.Sleep(100 * time.Millisecond)
		}
		return before == polls
	})
	w.checkReplies(c, long, over)

	w.Do(func() { w.node.Refuse = true }) // taken away again
	w.node.HangUp()
	w.Wait(t, "the report of the change", func() bool {
		all := channels(w.node)
		return all[len(all)-1] == "ec2messages"
	})
	again := w.node.Script(t, "echo again")
	if got := w.node.Wait(t, again); got != "Success" {
		t.Errorf("%s", got)
	}
}

// TestNoFallbackWithoutRefusal fails the control channel for other reasons: the node does not poll.
func TestNoFallbackWithoutRefusal(t *testing.T) {
	w := newWorld(t)
	w.Fail("CreateControlChannel", 2, agenttest.Broken)
	w.Fail("OpenControlChannel", 1, agenttest.Broken)
	w.start()
	w.node.Online(t)
	w.Do(func() {
		if w.node.Polls != 0 {
			t.Errorf("%d polls", w.node.Polls)
		}
	})
}

// TestFallbackWhenOpeningIsRefused refuses the websocket rather than its creation.
func TestFallbackWhenOpeningIsRefused(t *testing.T) {
	w := newWorld(t)
	w.Fail("OpenControlChannel", 1000, agenttest.Denied)
	w.start()
	c := w.node.Script(t, "true")
	if got := w.node.Wait(t, c); got != "Success" {
		t.Errorf("%s", got)
	}
}

// TestPollingRefusals delivers over ec2messages what cannot be taken. source: the protocol sheet of
// the official agent, measured
func TestPollingRefusals(t *testing.T) {
	w := newWorld(t)
	w.Do(func() { w.node.Refuse = true })
	w.start()
	invalid := w.node.SendJob(uuid.NewString(), "aws.ssm.sendCommand", `{"DocumentContent":{"schemaVersion":"9"}}`)
	topic := w.node.SendJob(uuid.NewString(), "aws.ssm.makeCoffee", `{}`)
	cancel := w.node.SendJob(uuid.NewString(), "aws.ssm.cancelCommand", `{}`)
	if got := w.node.Wait(t, invalid); got != "Failed" {
		t.Errorf("%s", got)
	}
	w.Wait(t, "both to be refused", func() bool { return len(w.node.Failed) == 2 })
	w.Do(func() {
		for _, c := range []*agenttest.Command{topic, cancel} {
			if !slices.Contains(w.node.Failed, c.JobID+" InternalHandlerException") {
				t.Errorf("%s was not refused: %v", c.Topic, w.node.Failed)
			}
		}
		if !strings.Contains(invalid.Replies[0].Parsed.DocumentTraceOutput, "schemaVersion") {
			t.Errorf("%+v", invalid.Replies)
		}
	})
}

// TestPollingDuplicates loses the acknowledgement of a message: it is delivered again, acknowledged,
// and runs once.
func TestPollingDuplicates(t *testing.T) {
	w := newWorld(t)
	w.Do(func() { w.node.Refuse = true })
	w.Fail("AcknowledgeMessage", 1, agenttest.Broken)
	w.Fail("SendReply", 1, agenttest.Broken)
	w.start()
	log := t.TempDir() + "/log"
	c := w.node.Script(t, "echo ran >> "+log)
	if got := w.node.Wait(t, c); got != "Success" {
		t.Errorf("%s", got)
	}
	w.Wait(t, "an acknowledgement", func() bool { return c.Acknowledged })
	w.Do(func() {
		if c.Sent < 2 {
			t.Errorf("it was sent %d times", c.Sent)
		}
	})
	if got := content(t, log); got != "ran\n" {
		t.Errorf("it ran: %q", got)
	}
	w.checkReplies(c)
}

// TestPollingWhenFull sends more jobs than there is room for: they wait and run, and a cancellation
// gets past them.
func TestPollingWhenFull(t *testing.T) {
	w := newWorld(t)
	w.Do(func() { w.node.Refuse = true })
	w.start()
	folder := t.TempDir()
	var all []*agenttest.Command
	for i := range 13 {
		all = append(all, w.node.Script(t, fmt.Sprintf("echo ran >> %s/%d; while ! [ -e %s/gate ]; do sleep 0.01; done", folder, i, folder)))
	}
	w.Wait(t, "ten to be taken", func() bool {
		n := 0
		for _, c := range all {
			if c.Acknowledged {
				n++
			}
		}
		return n == 10
	})
	w.node.Cancel(all[9])
	if got := w.node.Wait(t, all[9]); got != "Cancelled" {
		t.Errorf("%s", got)
	}
	if err := os.WriteFile(folder+"/gate", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, c := range all {
		want := "Success"
		if i == 9 {
			want = "Cancelled"
		}
		if got := w.node.Wait(t, c); got != want {
			t.Errorf("job %d: %s", i, got)
		}
		if got := content(t, fmt.Sprintf("%s/%d", folder, i)); got != "ran\n" && i != 9 {
			t.Errorf("job %d ran %q", i, got)
		}
	}
	if content(t, folder+"/9") != "" {
		t.Error("the cancelled job ran")
	}
	w.checkReplies(all...)
}

// TestBadMessages sends what an agent does not understand: it goes on.
func TestBadMessages(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	for _, m := range []*api.Message{
		{Type: "make_coffee", Payload: []byte("{}")},
		{Type: "agent_job", Payload: []byte("{")},
		{Type: "agent_job", Payload: []byte("{}")},
		{Type: "agent_job_reply_ack", Payload: []byte("x")},
		{Type: "agent_job_reply_ack", Payload: []byte(`{"acknowledgedMessageId":"` + uuid.NewString() + `"}`)},
		{Type: "channel_closed", Payload: []byte("{}")},
		{Type: "agent_task_acknowledge", Payload: []byte("{}")},
		{Type: "interactive_shell", Payload: []byte("{")},
	} {
		m.Schema, m.Created, m.ID = 1, time.Now(), uuid.New()
		if err := w.node.SendMessage(m); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.node.Wait(t, w.node.Script(t, "true")); got != "Success" {
		t.Errorf("%s", got)
	}
	w.Do(func() {
		if len(w.node.Opened) != 1 {
			t.Errorf("%d channels", len(w.node.Opened))
		}
	})
}

// proxy is a wire between a node and the plane of which the connections can go dead without a word.
type proxy struct {
	listener net.Listener
	mu       sync.Mutex
	conns    map[net.Conn]bool // whether they live; guarded by mu
}

// newProxy makes a proxy.
func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, conns: map[net.Conn]bool{}}
	var copying sync.WaitGroup
	copying.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.conns[in], p.conns[out] = true, true
			p.mu.Unlock()
			copying.Go(func() { p.copy(in, out) })
			copying.Go(func() { p.copy(out, in) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		copying.Wait()
	})
	return p
}

// cut lets all connections that there are go dead.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		p.conns[c] = false
	}
}

// copy copies as long as the connection lives; then it swallows.
func (p *proxy) copy(from, to net.Conn) {
	defer to.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		lives := p.conns[from]
		p.mu.Unlock()
		if lives {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
}

// TestSilence cuts the wire without a word: the node notices and opens another channel. As long as
// pings are answered it does not.
func TestSilence(t *testing.T) {
	w := newWorld(t)
	p := newProxy(t, strings.TrimPrefix(w.URL(), "https://"))
	state := t.TempDir()
	id, code := w.Activation()
	nodeID, err := agent.Register(t.Context(), agent.Activation{State: state, Code: code, ID: id, Region: agenttest.Region, Endpoint: "https://" + p.listener.Addr().String(), CA: w.CA()})
	if err != nil {
		t.Fatal(err)
	}
	w.state, w.node = state, w.Node(t, nodeID)
	w.start(hurry("ping", 50*time.Millisecond), hurry("silence", 400*time.Millisecond))
	w.node.Online(t)
	time.Sleep(time.Second) // much longer than the silence that it bears
	w.Do(func() {
		if len(w.node.Opened) != 1 {
			t.Errorf("%d channels although pings were answered", len(w.node.Opened))
		}
	})
	p.cut()
	w.Wait(t, "another channel", func() bool { return len(w.node.Opened) >= 2 })
	if got := w.node.Wait(t, w.node.Script(t, "true")); got != "Success" {
		t.Errorf("%s", got)
	}
}
