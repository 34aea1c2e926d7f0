//go:build unix

package agent_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vennel/vennel/agent"
	"github.com/vennel/vennel/agent/agenttest"
	"github.com/vennel/vennel/agent/disk"
)

// gated is a script that notes that it ran and then waits for a gate.
func gated(folder string) []string {
	return []string{
		"echo $PPID > " + folder + "/worker", "echo $$ >> " + folder + "/pids", "echo before", "echo ran >> " + folder + "/log",
		"while ! [ -e " + folder + "/gate ]; do sleep 0.01; done", "echo after",
	}
}

// openGate lets gated scripts end.
func openGate(t *testing.T, folder string) {
	t.Helper()
	if err := os.WriteFile(folder+"/gate", nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// workerOf is the process of a gated script's worker. sh -c may or may not replace itself by the
// script, so the worker is the parent or its parent.
func workerOf(t *testing.T, folder string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(content(t, folder+"/worker")))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		line := content(t, fmt.Sprintf("/proc/%d/cmdline", pid))
		if strings.Contains(line, "agent\x00work") {
			return pid
		}
		stat := content(t, fmt.Sprintf("/proc/%d/stat", pid))
		fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
		if pid, err = strconv.Atoi(fields[1]); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("no worker found")
	return 0
}

// killScript kills all processes of a gated script.
func killScript(t *testing.T, folder string) {
	t.Helper()
	for pid := range strings.FieldsSeq(content(t, folder+"/pids")) {
		n, err := strconv.Atoi(pid)
		if err != nil {
			t.Fatal(err)
		}
		if group, err := syscall.Getpgid(n); err == nil {
			_ = syscall.Kill(-group, syscall.SIGKILL)
		}
	}
}

// TestAgentKilled kills the agent with SIGKILL while a script runs. The script goes on, it ends
// while no agent is there, and the next agent delivers the result. It ran once.
func TestAgentKilled(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	p := w.launch()
	w.node.Online(t)
	c := w.node.Send(t, `{"schemaVersion":"2.2","mainSteps":[
	  {"action":"aws:runShellScript","name":"first","inputs":{"runCommand":`+toJSON(t, gated(folder))+`}},
	  {"action":"aws:runShellScript","name":"second","inputs":{"runCommand":["yes | head -1; echo ran > `+folder+`/second"]}}]}`, nil)
	eventually(t, "the script", func() bool { return content(t, folder+"/log") != "" })
	p.kill()
	openGate(t, folder)
	eventually(t, "the worker to end", func() bool {
		return !disk.Locked(filepath.Join(w.state, w.node.ID, "jobs", c.ID, "lock"))
	})
	if content(t, folder+"/second") == "" {
		t.Error("the worker did not go on")
	}
	w.launch()
	if got := w.node.Wait(t, c); got != "Success" {
		t.Errorf("%s", got)
	}
	w.Do(func() {
		if s := c.Step("first"); s.StandardOutput != "before\nafter\n" {
			t.Errorf("%+v", s)
		}
		if s := c.Step("second"); s.StandardOutput != "y\n" || s.StandardError != "" { // SIGPIPE is not ignored
			t.Errorf("%+v", s)
		}
	})
	if got := content(t, folder+"/log"); got != "ran\n" {
		t.Errorf("it ran: %q", got)
	}
	w.checkReplies(c)
}

// TestAgentKilledAndBack kills the agent with SIGKILL while a script runs; the next agent takes the
// living worker over, can cancel what it runs, and has room for it in its queue.
func TestAgentKilledAndBack(t *testing.T) {
	w := newWorld(t)
	one, two := t.TempDir(), t.TempDir()
	p := w.launch()
	w.node.Online(t)
	ends, cancelled := w.node.Script(t, gated(one)...), w.node.Script(t, gated(two)...)
	eventually(t, "the scripts", func() bool { return content(t, one+"/log") != "" && content(t, two+"/log") != "" })
	p.kill()
	p = w.launch()
	w.Wait(t, "a second channel", func() bool { return len(w.node.Opened) == 2 })
	w.node.Cancel(cancelled)
	if got := w.node.Wait(t, cancelled); got != "Cancelled" {
		t.Errorf("%s", got)
	}
	openGate(t, one)
	if got := w.node.Wait(t, ends); got != "Success" {
		t.Errorf("%s", got)
	}
	if got := content(t, one+"/log") + content(t, two+"/log"); got != "ran\nran\n" {
		t.Errorf("they ran: %q", got)
	}
	if !strings.Contains(p.log.String(), "a worker of an earlier agent goes on") {
		t.Error("the workers were not taken over")
	}
	eventually(t, "nothing to be left", func() bool { return len(w.leftovers("jobs", "outbox")) == 0 })
	w.checkReplies(ends, cancelled)
}

// TestTwoWorkers starts a second worker for a command that runs, and one for a command that has
// ended: neither runs anything.
func TestTwoWorkers(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	w.start()
	w.node.Online(t)
	c := w.node.Script(t, gated(folder)...)
	eventually(t, "the script", func() bool { return content(t, folder+"/log") != "" })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	second := func(want string) {
		t.Helper()
		out, err := exec.Command(self, "agent", "work", "--state", w.state, "--command", c.ID).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("got %v: %s", err, out)
		}
	}
	second("locked")
	openGate(t, folder)
	if got := w.node.Wait(t, c); got != "Success" {
		t.Errorf("%s", got)
	}
	eventually(t, "the job to be forgotten", func() bool { return len(w.leftovers("jobs")) == 0 })
	second("no such file")
	if got := content(t, folder+"/log"); got != "ran\n" {
		t.Errorf("it ran: %q", got)
	}
}

// TestWorkerKilled kills a worker with SIGKILL while the agent lives: the step has failed and says
// why, and the step after it does not run.
func TestWorkerKilled(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	w.launch()
	w.node.Online(t)
	c := w.node.Send(t, `{"schemaVersion":"2.2","mainSteps":[
	  {"action":"aws:runShellScript","name":"first","inputs":{"runCommand":`+toJSON(t, gated(folder))+`}},
	  {"action":"aws:runShellScript","name":"second","inputs":{"runCommand":["echo > `+folder+`/second"]}}]}`, nil)
	eventually(t, "the script", func() bool { return content(t, folder+"/log") != "" })
	if err := syscall.Kill(workerOf(t, folder), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.checkInterrupted(c, folder)
	killScript(t, folder)
}

// TestWorkerTerminated tells a worker to stop, as a machine does that goes down: the script is killed
// and has failed. source: the protocol sheet of the official agent
func TestWorkerTerminated(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	w.launch()
	w.node.Online(t)
	c := w.node.Send(t, `{"schemaVersion":"2.2","mainSteps":[
	  {"action":"aws:runShellScript","name":"first","inputs":{"runCommand":`+toJSON(t, gated(folder))+`}},
	  {"action":"aws:runShellScript","name":"second","inputs":{"runCommand":["echo > `+folder+`/second"]}}]}`, nil)
	eventually(t, "the script", func() bool { return content(t, folder+"/log") != "" })
	if err := syscall.Kill(workerOf(t, folder), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := w.node.Wait(t, c); got != "Failed" {
		t.Errorf("%s", got)
	}
	w.Do(func() {
		if s := c.Step("first"); s.Status != "Failed" || s.Code != 137 || s.StandardOutput != "before\n" {
			t.Errorf("%+v", s)
		}
		if s := c.Step("second"); s.Status != "Cancelled" {
			t.Errorf("%+v", s)
		}
	})
	if content(t, folder+"/second") != "" {
		t.Error("the second step ran")
	}
}

// TestPowerCut kills everything at once, agent, worker and script, as a power cut does. The next
// agent reports that the step was interrupted, and nothing is run again.
func TestPowerCut(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	p := w.launch()
	w.node.Online(t)
	c := w.node.Send(t, `{"schemaVersion":"2.2","mainSteps":[
	  {"action":"aws:runShellScript","name":"zeroth","inputs":{"runCommand":["echo zero"]}},
	  {"action":"aws:runShellScript","name":"first","inputs":{"runCommand":`+toJSON(t, gated(folder))+`}},
	  {"action":"aws:runShellScript","name":"second","inputs":{"runCommand":["echo > `+folder+`/second"]}}]}`, nil)
	eventually(t, "the script", func() bool { return content(t, folder+"/log") != "" })
	worker := workerOf(t, folder)
	p.kill()
	if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	killScript(t, folder)
	w.launch()
	w.checkInterrupted(c, folder)
	w.Do(func() {
		if s := c.Step("zeroth"); s.Status != "Success" || s.StandardOutput != "zero\n" {
			t.Errorf("%+v", s)
		}
	})
}

// checkInterrupted checks how a command was reported whose first step was interrupted.
func (w *world) checkInterrupted(c *agenttest.Command, folder string) {
	w.t.Helper()
	if got := w.node.Wait(w.t, c); got != "Failed" {
		w.t.Errorf("%s", got)
	}
	w.Do(func() {
		if s := c.Step("first"); s.Status != "Failed" || !strings.Contains(s.StandardError, "interrupted") {
			w.t.Errorf("%+v", s)
		}
		if s := c.Step("second"); s.Status != "Skipped" {
			w.t.Errorf("%+v", s)
		}
	})
	if got := content(w.t, folder+"/log"); got != "ran\n" {
		w.t.Errorf("it ran: %q", got)
	}
	if content(w.t, folder+"/second") != "" {
		w.t.Error("the second step ran")
	}
	w.checkReplies(c)
}

// TestAcceptedJobsBegin kills the agent when it has accepted jobs that wait for others: the next
// agent begins them.
func TestAcceptedJobsBegin(t *testing.T) {
	w := newWorld(t)
	p := w.launch()
	w.node.Online(t)
	folder := t.TempDir()
	var all []*agenttest.Command
	for range 5 {
		all = append(all, w.node.Script(t, gated(folder)...))
	}
	for i := range 3 {
		all = append(all, w.node.Script(t, fmt.Sprintf("echo late >> %s/late.%d", folder, i)))
	}
	w.Wait(t, "all acks", func() bool {
		for _, c := range all {
			if len(c.Acks) == 0 {
				return false
			}
		}
		return true
	})
	eventually(t, "the scripts", func() bool { return strings.Count(content(t, folder+"/log"), "\n") == 5 })
	p.kill()
	for i := range 3 {
		if content(t, fmt.Sprintf("%s/late.%d", folder, i)) != "" {
			t.Fatal("a job that was to wait has run")
		}
	}
	w.launch()
	openGate(t, folder)
	for i, c := range all {
		if got := w.node.Wait(t, c); got != "Success" {
			t.Errorf("job %d: %s", i, got)
		}
	}
	if got := content(t, folder+"/log"); got != strings.Repeat("ran\n", 5) {
		t.Errorf("log %q", got)
	}
	for i := range 3 {
		if got := content(t, fmt.Sprintf("%s/late.%d", folder, i)); got != "late\n" {
			t.Errorf("late job %d ran %q", i, got)
		}
	}
	w.checkReplies(all...)
}

// TestOldJobs does not begin a job that was accepted days ago.
func TestOldJobs(t *testing.T) {
	w := newWorld(t)
	c := w.node.SendJob("00000000-0000-0000-0000-00000000001d", "none", "")
	folder := filepath.Join(w.state, w.node.ID, "jobs", c.ID)
	log := filepath.Join(t.TempDir(), "log")
	if err := disk.Folder(folder); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteJSON(filepath.Join(folder, "job.json"), map[string]any{
		"ID": c.JobID, "Command": c.ID, "Line": "ssmmessages", "Accepted": time.Now().Add(-49 * time.Hour),
		"Content": `{"DocumentContent":` + agenttest.ScriptDocument("echo ran > "+log) + `}`,
	}); err != nil {
		t.Fatal(err)
	}
	w.start()
	if got := w.node.Wait(t, c); got != "Failed" {
		t.Errorf("%s", got)
	}
	w.Do(func() {
		if last := c.Replies[len(c.Replies)-1].Parsed; !strings.Contains(last.DocumentTraceOutput, "more than 48h") {
			t.Errorf("%+v", last)
		}
	})
	if content(t, log) != "" {
		t.Error("it ran")
	}
}

// TestWorkersThatDie reports a job whose workers cannot even begin.
func TestWorkersThatDie(t *testing.T) {
	w := newWorld(t)
	w.start(func(c *agent.Config) { c.Worker = []string{"/bin/false"} })
	w.node.Online(t)
	c := w.node.Script(t, "true")
	if got := w.node.Wait(t, c); got != "Failed" {
		t.Errorf("%s", got)
	}
	w.Do(func() {
		if last := c.Replies[len(c.Replies)-1].Parsed; !strings.Contains(last.DocumentTraceOutput, "could not be begun") {
			t.Errorf("%+v", last)
		}
	})
	x := w.node.Script(t, "true")
	w.node.Cancel(x)
	if got := w.node.Wait(t, x); got != "Cancelled" && got != "Failed" {
		t.Errorf("%s", got)
	}
}

// TestTerminate tells the agent to stop while a script runs: it is gone in a moment, the script goes
// on, and the next agent reports it.
func TestTerminate(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	p := w.launch()
	w.node.Online(t)
	c := w.node.Script(t, gated(folder)...)
	eventually(t, "the script", func() bool { return content(t, folder+"/log") != "" })
	worker := workerOf(t, folder)
	if stat := content(t, fmt.Sprintf("/proc/%d/stat", worker)); strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])[3] != strconv.Itoa(worker) {
		t.Errorf("the worker is not in a session of its own: %s", stat)
	}
	w.Do(func() { w.node.LoseReplies = 1000 }) // the outbox cannot become empty
	if took := p.terminate(t); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if !disk.Locked(filepath.Join(w.state, w.node.ID, "jobs", c.ID, "lock")) {
		t.Error("the worker is gone")
	}
	w.Do(func() { w.node.LoseReplies = 0 })
	w.launch()
	openGate(t, folder)
	if got := w.node.Wait(t, c); got != "Success" {
		t.Errorf("%s", got)
	}
	if got := content(t, folder+"/log"); got != "ran\n" {
		t.Errorf("it ran: %q", got)
	}
}

// TestClosing sends a job to an agent that is stopping: it is not taken, and the next agent runs it.
func TestClosing(t *testing.T) {
	w := newWorld(t)
	p := w.launch()
	w.node.Online(t)
	w.Do(func() { w.node.LoseReplies = 1 << 20 })
	first := w.node.Script(t, "true") // keeps the outbox full for the length of the farewell
	w.Wait(t, "a reply to be lost", func() bool { return w.node.LoseReplies <= 1<<20-2 })
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the agent to stop", func() bool { return strings.Contains(p.log.String(), "agent stopping") })
	c := w.node.Script(t, "echo x")
	w.Wait(t, "an ack", func() bool { return len(c.Acks) == 1 })
	w.Do(func() {
		if c.Acks[0] != "51401" {
			t.Errorf("acks %v", c.Acks)
		}
		w.node.LoseReplies = 0
	})
	if err := p.cmd.Wait(); err != nil {
		t.Error(err)
	}
	w.launch()
	for _, c := range []*agenttest.Command{first, c} {
		if got := w.node.Wait(t, c); got != "Success" {
			t.Errorf("%s", got)
		}
	}
}

// TestOneAgentAFolder refuses a second agent, and a registration, on the folder of a running one.
func TestOneAgentAFolder(t *testing.T) {
	w := newWorld(t)
	p := w.launch()
	w.node.Online(t)
	if err := agent.Run(t.Context(), w.config()); !errors.Is(err, agent.ErrRunning) || !strings.Contains(err.Error(), w.state) {
		t.Errorf("got %v", err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(self, "agent", "run", "--state", w.state).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "an agent is running on this state folder") {
		t.Errorf("got %v: %s", err, out)
	}
	id, code := w.Activation()
	if _, err := agent.Register(t.Context(), agent.Activation{State: w.state, ID: id, Code: code, Region: agenttest.Region, Endpoint: w.URL(), CA: w.CA(), Force: true}); !errors.Is(err, agent.ErrRunning) {
		t.Errorf("got %v", err)
	}
	p.kill()
	w.launch() // a lock does not outlive its process
	w.Wait(t, "a second channel", func() bool { return len(w.node.Opened) == 2 })
}

// raced says whether the race detector watches, which takes memory of its own.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// TestIdleMemory looks at what an agent takes that has run a command and waits for the next.
func TestIdleMemory(t *testing.T) {
	w := newWorld(t)
	p := w.launch()
	w.node.Online(t)
	w.node.Wait(t, w.node.Script(t, "true"))
	for line := range strings.Lines(content(t, fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))) {
		var kib int
		if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &kib); n == 1 {
			t.Logf("%d KiB", kib)
			if kib > 32<<10 && !raced() { // 7 MiB were measured
				t.Errorf("%d KiB", kib)
			}
		}
	}
}

// TestManyAgents runs two nodes on one machine.
func TestManyAgents(t *testing.T) {
	w := newWorld(t)
	w.start()
	other := &world{Plane: w.Plane, t: t, state: t.TempDir()}
	other.node = w.Node(t, w.register(other.state))
	other.start()
	for _, n := range []*agenttest.Node{w.node, other.node} {
		n.Online(t)
		c := n.Script(t, "echo $AWS_SSM_INSTANCE_ID")
		n.Wait(t, c)
		w.Do(func() {
			if got := c.Step("runShellScript").StandardOutput; got != n.ID+"\n" {
				t.Errorf("%q", got)
			}
		})
	}
}

// rebooting is a document whose second step reboots once.
func rebooting(folder string) string {
	return `{"schemaVersion":"2.2","mainSteps":[
	  {"action":"aws:runShellScript","name":"first","inputs":{"runCommand":["echo first >> ` + folder + `/log"]}},
	  {"action":"aws:runShellScript","name":"second","inputs":{"runCommand":["if [ -e ` + folder + `/flag ]; then echo after; exit 0; fi","touch ` + folder + `/flag; echo before; exit 194"]}},
	  {"action":"aws:runShellScript","name":"third","inputs":{"runCommand":["echo third"]}}]}`
}

// TestReboot has a step ask for a reboot: the command that reboots is run, and the next agent runs
// the same step again, and not those before it.
func TestReboot(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	args := []string{"--reboot-command", "touch " + folder + "/rebooted"}
	p := w.launch(args...)
	w.node.Online(t)
	c := w.node.Send(t, rebooting(folder), nil)
	eventually(t, "the reboot", func() bool { return disk.Exists(folder + "/rebooted") })
	w.Wait(t, "the report", func() bool { return c.Status() == "SuccessAndReboot" })
	w.Do(func() {
		if s := c.Step("second"); s.Status != "SuccessAndReboot" || s.Code != 194 || s.StandardOutput != "before\n" {
			t.Errorf("%+v", s)
		}
	})
	late := w.node.Script(t, "true")
	w.Wait(t, "an ack", func() bool { return len(late.Acks) == 1 })
	w.Do(func() {
		if late.Acks[0] != "51401" {
			t.Errorf("a job was taken before the reboot: %v", late.Acks)
		}
	})
	if err := os.Remove(folder + "/rebooted"); err != nil {
		t.Fatal(err)
	}
	p.terminate(t)
	w.launch(args...)
	if got := w.node.Wait(t, c); got != "Success" {
		t.Errorf("%s", got)
	}
	w.Do(func() {
		if s := c.Step("second"); s.Status != "Success" || s.StandardOutput != "before\nafter\n" {
			t.Errorf("%+v", s)
		}
		if s := c.Step("third"); s.StandardOutput != "third\n" {
			t.Errorf("%+v", s)
		}
	})
	w.node.Wait(t, late)
	if got := content(t, folder+"/log"); got != "first\n" {
		t.Errorf("the first step ran: %q", got)
	}
	if disk.Exists(folder + "/rebooted") {
		t.Error("it rebooted twice")
	}
	w.checkReplies(c)
}

// TestRebootAskedWithoutAgent has a step ask for a reboot while no agent is there: the next agent
// reboots first, and only the one after that runs the step again.
func TestRebootAskedWithoutAgent(t *testing.T) {
	w := newWorld(t)
	folder := t.TempDir()
	args := []string{"--reboot-command", "touch " + folder + "/rebooted"}
	p := w.launch(args...)
	w.node.Online(t)
	c := w.node.Script(t, append(gated(folder), "[ $(wc -l < "+folder+"/log) -gt 1 ] || exit 194")...)
	eventually(t, "the script", func() bool { return content(t, folder+"/log") != "" })
	p.kill()
	openGate(t, folder)
	eventually(t, "the worker to end", func() bool {
		return !disk.Locked(filepath.Join(w.state, w.node.ID, "jobs", c.ID, "lock"))
	})
	p = w.launch(args...)
	eventually(t, "the reboot", func() bool { return disk.Exists(folder + "/rebooted") })
	if got := content(t, folder+"/log"); got != "ran\n" {
		t.Errorf("it ran before the reboot: %q", got)
	}
	p.kill()
	w.launch(args...)
	if got := w.node.Wait(t, c); got != "Success" {
		t.Errorf("%s", got)
	}
}

// TestRebootFails reports a reboot that cannot be had, and goes on with other jobs.
func TestRebootFails(t *testing.T) {
	for _, tt := range []struct{ name, command, want string }{
		{"a command that fails", "false", "has failed: exit status 1"},
		{"a command that does nothing", "true", "did not go down within 100ms"},
		{"no command", "", "no command that reboots"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.start(func(c *agent.Config) { c.RebootCommand = strings.Fields(tt.command) }, hurry("reboot", 100*time.Millisecond))
			w.node.Online(t)
			c := w.node.Send(t, rebooting(t.TempDir()), nil)
			if got := w.node.Wait(t, c); got != "Failed" {
				t.Errorf("%s", got)
			}
			w.Do(func() {
				if s := c.Step("second"); s.Status != "Failed" || !strings.Contains(s.StandardError, tt.want) || s.StandardOutput != "before\n" {
					t.Errorf("%+v", s)
				}
				if s := c.Step("third"); s.Status != "Skipped" {
					t.Errorf("%+v", s)
				}
			})
			if got := w.node.Wait(t, w.node.Script(t, "true")); got != "Success" {
				t.Errorf("afterwards: %s", got)
			}
			w.checkReplies(c)
		})
	}
}
