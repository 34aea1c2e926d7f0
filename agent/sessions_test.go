//go:build unix

package agent_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/agent"
	"github.com/vennel/vennel/agent/agenttest"
	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/datachannel"
)

// The documents of sessions.
const (
	shellDocument   = `{"schemaVersion":"1.0","sessionType":"Standard_Stream","inputs":{"s3EncryptionEnabled":true,"cloudWatchEncryptionEnabled":true,"runAsEnabled":false}}`
	onTerminal      = `{"schemaVersion":"1.0","sessionType":"InteractiveCommands","parameters":{"command":{"type":"String"}},"properties":{"linux":{"commands":"{{command}}"},"macos":{"commands":"{{command}}"}}}`
	withoutTerminal = `{"schemaVersion":"1.0","sessionType":"NonInteractiveCommands","parameters":{"command":{"type":"String"},"separate":{"type":"String","default":"false"}},
	  "properties":{"linux":{"commands":"{{ command }}","separateOutputStream":"{{ separate }}","stdOutSeparatorPrefix":"O:","stdErrSeparatorPrefix":"E:"},"macos":{"commands":"{{command}}"}}}`
	portDocument = `{"schemaVersion":"1.0","sessionType":"Port","parameters":{"portNumber":{"type":"String","allowedPattern":"^[0-9]{1,5}$"},"host":{"type":"String","default":""},"type":{"type":"String","default":"LocalPortForwarding"}},
	  "properties":{"portNumber":"{{portNumber}}","host":"{{host}}","type":"{{type}}","localPortNumber":"0"}}`
)

// parameters are values for a document's parameters.
func parameters(pairs ...string) map[string]any {
	values := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		values[pairs[i]] = pairs[i+1]
	}
	return map[string]any{"Parameters": values}
}

// expect reads until a text has come, and gives all that has.
func expect(t *testing.T, r io.Reader, text string) string {
	t.Helper()
	got := make(chan string, 1)
	var all bytes.Buffer
	var mu sync.Mutex
	go func() {
		b := make([]byte, 32<<10)
		for !strings.Contains(all.String(), text) {
			n, err := r.Read(b)
			mu.Lock()
			all.Write(b[:n])
			mu.Unlock()
			if err != nil {
				break
			}
		}
		got <- all.String()
	}()
	select {
	case s := <-got:
		if !strings.Contains(s, text) {
			t.Fatalf("%q ended without %q", s, text)
		}
		return s
	case <-time.After(20 * time.Second):
		mu.Lock()
		defer mu.Unlock()
		t.Fatalf("no %q in %q", text, all.String())
		return ""
	}
}

// write writes.
func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

// wait reads the rest of a session and waits for its end.
func wait(t *testing.T, c *datachannel.Session) datachannel.Exit {
	t.Helper()
	go func() { _, _ = io.Copy(io.Discard, c) }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	exit, err := c.Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return exit
}

// TestSessionShell has a shell: it has a terminal of the client's size, and its exit code is told.
func TestSessionShell(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	s := w.node.Hold(t, shellDocument, nil)
	c := s.Open(t, datachannel.ClientOptions{})
	if !c.Extended || c.Kind != datachannel.StandardStream || c.AgentVersion != agent.Version {
		t.Errorf("%+v", c)
	}
	if err := c.Resize(97, 31); err != nil {
		t.Fatal(err)
	}
	write(t, c, "PS1=; stty -echo; stty size; echo $TERM $LANG; tty; echo $0; echo \"ready\"\n")
	got := expect(t, c, "\nready")
	for _, want := range []string{"31 97\r\n", "xterm-256color", "/dev/pts/", "\r\nsh\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if err := c.Resize(101, 41); err != nil {
		t.Fatal(err)
	}
	write(t, c, "stty size; echo Grüße 世界\n")
	if got := expect(t, c, "世界"); !strings.Contains(got, "41 101") {
		t.Errorf("%q", got)
	}
	begin := time.Now()
	write(t, c, "exit 42\n")
	if exit := wait(t, c); exit.Code != 42 || !exit.Known {
		t.Errorf("%+v", exit)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("the exit took %v", took)
	}
	if end := s.Ended(t); end.FinalTaskStatus != "Success" || end.Output != "" || end.InstanceID != w.node.ID || end.Topic != "agent_task_complete" {
		t.Errorf("%+v", end)
	}
	w.Do(func() {
		if fmt.Sprint(s.States) != "[Connected Terminating]" {
			t.Errorf("%v", s.States)
		}
	})
	eventually(t, "the session to be forgotten", func() bool { return len(w.leftovers("sessions")) == 0 })
	s.Announce(t) // a server that repeats itself
	if got := w.node.Wait(t, w.node.Script(t, "true")); got != "Success" {
		t.Errorf("%s", got)
	}
	w.Do(func() {
		if s.Created != 1 || len(s.Completed) != 1 {
			t.Errorf("it was held again: %d, %v", s.Created, s.Completed)
		}
	})
}

// TestSessionProfile types the profile of the preferences.
func TestSessionProfile(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	c := w.node.Hold(t, `{"schemaVersion":"1.0","sessionType":"Standard_Stream","inputs":{"shellProfile":{"linux":"x=profi; echo a-${x}le","windows":"no"}}}`, nil).Open(t, datachannel.ClientOptions{})
	expect(t, c, "a-profile")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, c); !exit.Known || exit.Code != 0 {
		t.Errorf("%+v", exit)
	}
}

// TestSessionCommandOnTerminal runs a command on a terminal.
func TestSessionCommandOnTerminal(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	s := w.node.Hold(t, onTerminal, parameters("command", `read x; echo "got <$x>" | cat; tty >/dev/null && exit 7`))
	c := s.Open(t, datachannel.ClientOptions{})
	write(t, c, "a word\n")
	expect(t, c, "got <a word>")
	if exit := wait(t, c); exit.Code != 7 {
		t.Errorf("%+v", exit)
	}
	if end := s.Ended(t); end.FinalTaskStatus != "Success" {
		t.Errorf("%+v", end)
	}
}

// TestSessionBinary moves ten megabytes through a command each way, and compares.
func TestSessionBinary(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	data := make([]byte, 10<<20)
	_, _ = rand.Read(data)
	s := w.node.Hold(t, withoutTerminal, parameters("command", `sh -c 'tee /dev/stderr; exit 3'`))
	c := s.Open(t, datachannel.ClientOptions{})
	var out, errs [sha256.Size]byte
	var reading sync.WaitGroup
	for to, from := range map[*[sha256.Size]byte]io.Reader{&out: c, &errs: c.Stderr()} {
		reading.Go(func() {
			sum := sha256.New()
			if n, err := io.Copy(sum, from); err != nil || n != int64(len(data)) {
				t.Errorf("%d bytes, %v", n, err)
			}
			copy(to[:], sum.Sum(nil))
		})
	}
	if _, err := io.Copy(c, bytes.NewReader(data)); err != nil {
		t.Error(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	reading.Wait()
	if exit := wait(t, c); exit.Code != 3 {
		t.Errorf("%+v", exit)
	}
	if want := sha256.Sum256(data); out != want || errs != want {
		t.Error("the bytes are not those that were sent")
	}
}

// TestSessionCommandCodes runs commands that end in odd ways. source: the shells' convention
func TestSessionCommandCodes(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	for command, want := range map[string]int{
		"true": 0, "sh -c 'exit 200'": 200, "sh -c 'kill -9 $$'": 128 + 9, "/no/such/command x": 127, "/etc/passwd": 126, `no "end`: 126, "sh -c 'sleep 30 >/dev/null 2>&1 </dev/null & exit 4'": 4,
	} {
		s := w.node.Hold(t, withoutTerminal, parameters("command", command))
		c := s.Open(t, datachannel.ClientOptions{})
		said, _ := io.ReadAll(c.Stderr())
		if exit := wait(t, c); exit.Code != want || !exit.Known {
			t.Errorf("%s: %+v", command, exit)
		}
		end := s.Ended(t)
		if failed := want == 126 || want == 127; failed != (end.FinalTaskStatus == "Failed") || failed != strings.Contains(string(said), "Unable to start command") ||
			failed && !strings.HasPrefix(end.Output, "\n----------ERROR-------\nUnable to start command: ") {
			t.Errorf("%s: %+v, %q", command, end, said)
		}
	}
}

// TestSessionNohup leaves a command behind that was made to outlive its session: it does; and what was not does not.
func TestSessionNohup(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	folder := t.TempDir()
	s := w.node.Hold(t, shellDocument, nil)
	c := s.Open(t, datachannel.ClientOptions{})
	write(t, c, fmt.Sprintf("nohup sleep 600 >/dev/null 2>&1 & echo $! > %[1]s/outlives; sh -c 'echo $$ > %[1]s/dies; exec sleep 600'\n", folder))
	var outlives, dies int
	eventually(t, "both to run", func() bool {
		outlives, _ = strconv.Atoi(strings.TrimSpace(content(t, folder+"/outlives")))
		dies, _ = strconv.Atoi(strings.TrimSpace(content(t, folder+"/dies")))
		return outlives > 0 && dies > 0
	})
	t.Cleanup(func() { _ = syscall.Kill(outlives, syscall.SIGKILL) })
	begin := time.Now()
	s.EndOnData("enough")
	if exit := wait(t, c); exit.Reason != "enough" {
		t.Errorf("%+v", exit)
	}
	if end := s.Ended(t); end.FinalTaskStatus != "Success" {
		t.Errorf("%+v", end)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	eventually(t, "the command to die", func() bool { return syscall.Kill(dies, 0) != nil })
	if err := syscall.Kill(outlives, 0); err != nil {
		t.Errorf("the other died, too: %v", err)
	}
}

// TestSessionStuck pastes into a program that does not read and ignores all signals, and ends the session over the control channel alone.
func TestSessionStuck(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	s := w.node.Hold(t, onTerminal, parameters("command", `trap '' HUP INT QUIT TERM; stty raw -echo; echo begun; while :; do sleep 1; done`))
	c := s.Open(t, datachannel.ClientOptions{})
	expect(t, c, "begun")
	write(t, c, strings.Repeat("a line\n", 200_000))
	begin := time.Now()
	s.EndOnControl(t)
	if end := s.Ended(t); end.FinalTaskStatus != "Success" {
		t.Errorf("%+v", end)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestSessionClientEnds ends sessions from the client's side.
func TestSessionClientEnds(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	for name, document := range map[string]string{"on a terminal": onTerminal, "without": withoutTerminal} {
		s := w.node.Hold(t, document, parameters("command", "sleep 600"))
		c := s.Open(t, datachannel.ClientOptions{})
		begin := time.Now()
		if err := c.Close(); err != nil {
			t.Error(name, err)
		}
		if end := s.Ended(t); end.FinalTaskStatus != "Success" {
			t.Errorf("%s: %+v", name, end)
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
}

// process is the process that holds a session.
func (w *world) processOf(s *agenttest.Session) (pid int) {
	w.t.Helper()
	eventually(w.t, "the session's process", func() bool {
		all, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil || len(all) == 0 {
			w.t.Skip("there is no /proc")
		}
		for _, name := range all {
			b, _ := os.ReadFile(name)
			if bytes.Contains(b, []byte("\x00--session="+s.ID+"\x00")) {
				pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(name)))
			}
		}
		return pid > 0
	})
	return pid
}

// TestSessionProcessDies kills the process that holds a session: that is told within seconds, also when another agent must find out. Nothing
// of the session is in its arguments.
func TestSessionProcessDies(t *testing.T) {
	w := newWorld(t)
	stop := w.start()
	w.node.Online(t)
	s := w.node.Hold(t, onTerminal, parameters("command", "echo s3cret; sleep 600"))
	expect(t, s.Open(t, datachannel.ClientOptions{}), "s3cret")
	pid := w.processOf(s)
	if line := content(t, fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(line, "s3cret") {
		t.Errorf("%q", line)
	}
	begin := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if end := s.Ended(t); end.FinalTaskStatus != "Failed" || !strings.Contains(end.Output, "signal: killed") || time.Since(begin) > 3*time.Second {
		t.Errorf("%+v after %v", end, time.Since(begin))
	}
	s = w.node.Hold(t, onTerminal, parameters("command", "echo begun; sleep 600"))
	expect(t, s.Open(t, datachannel.ClientOptions{}), "begun")
	pid = w.processOf(s)
	stop()
	w.start()
	w.node.Online(t)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if end := s.Ended(t); end.FinalTaskStatus != "Failed" || !strings.Contains(end.Output, "the process that held it") {
		t.Errorf("%+v", end)
	}
}

// TestSessionOutlivesAgent restarts the agent, by a kill, while a session runs: it goes on, and its end is told by the next agent, until it is
// acknowledged, after another restart as well.
func TestSessionOutlivesAgent(t *testing.T) {
	w := newWorld(t)
	p := w.launch()
	w.node.Online(t)
	s := w.node.Hold(t, shellDocument, nil)
	w.Do(func() { s.DropAcks = 2 })
	c := s.Open(t, datachannel.ClientOptions{})
	write(t, c, "PS1=; stty -echo; x=kept; echo begun\n")
	expect(t, c, "begun\r\n")
	p.kill()
	w.node.Offline(t)
	write(t, c, "echo $x without\n")
	expect(t, c, "kept without")
	p = w.launch()
	w.node.Online(t)
	write(t, c, "echo $x with; exit 5\n")
	expect(t, c, "kept with")
	if exit := wait(t, c); exit.Code != 5 {
		t.Errorf("%+v", exit)
	}
	if end := s.Ended(t); end.FinalTaskStatus != "Success" {
		t.Errorf("%+v", end)
	}
	p.kill()
	w.node.Offline(t)
	w.launch()
	w.Wait(t, "another word of the end", func() bool { return len(s.Completed) >= 3 })
	eventually(t, "the session to be forgotten", func() bool { return len(w.leftovers("sessions")) == 0 })
}

// TestSessionEndedWhileAway ends a session while there is no agent: the next one tells.
func TestSessionEndedWhileAway(t *testing.T) {
	w := newWorld(t)
	stop := w.start()
	w.node.Online(t)
	s := w.node.Hold(t, shellDocument, nil)
	c := s.Open(t, datachannel.ClientOptions{})
	stop()
	write(t, c, "exit 6\n")
	if exit := wait(t, c); exit.Code != 6 {
		t.Errorf("%+v", exit)
	}
	w.start()
	if end := s.Ended(t); end.FinalTaskStatus != "Success" {
		t.Errorf("%+v", end)
	}
}

// TestSessionReconnects breaks the node's connection again and again while a command shows a lot: nothing is lost or doubled.
func TestSessionReconnects(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	s := w.node.Hold(t, withoutTerminal, parameters("command", `sh -c 'for i in $(seq 1 20); do seq 1 5000; sleep 0.05; done'`))
	c := s.Open(t, datachannel.ClientOptions{})
	got := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(c)
		got <- b
	}()
	for n := 1; n <= 4; n++ {
		w.Wait(t, "a connection", func() bool { return s.Opened >= n })
		time.Sleep(50 * time.Millisecond)
		s.HangUp()
	}
	var want strings.Builder
	for range 20 {
		for i := 1; i <= 5000; i++ {
			fmt.Fprintln(&want, i)
		}
	}
	select {
	case b := <-got:
		if string(b) != want.String() {
			t.Errorf("%d bytes, want %d", len(b), want.Len())
		}
	case <-time.After(40 * time.Second):
		t.Error("it takes too long")
	}
	if exit := wait(t, c); exit.Code != 0 {
		t.Errorf("%+v", exit)
	}
}

// TestSessionTerminated ends a session while its connection is broken: the node is told when it comes back.
func TestSessionTerminated(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	s := w.node.Hold(t, onTerminal, parameters("command", "echo begun; sleep 600"))
	expect(t, s.Open(t, datachannel.ClientOptions{}), "begun")
	w.Do(func() { s.Over = true })
	s.HangUp()
	s.Ended(t)
}

// TestSessionSilence takes the server away: a session without a connection ends itself.
func TestSessionSilence(t *testing.T) {
	w := newWorld(t)
	w.start(func(c *agent.Config) { c.Session = append(c.Session, "--patience", "1s") })
	w.node.Online(t)
	s := w.node.Hold(t, onTerminal, parameters("command", "echo begun; sleep 600"))
	expect(t, s.Open(t, datachannel.ClientOptions{}), "begun")
	pid := w.processOf(s)
	w.Stop()
	eventually(t, "the process to end", func() bool { return syscall.Kill(pid, 0) != nil })
	w.Start(t)
	if end := s.Ended(t); end.FinalTaskStatus != "Failed" || !strings.Contains(end.Output, "no connection") {
		t.Errorf("%+v", end)
	}
}

// TestSessionUnread ends a session whose program has ended while its client reads nothing: its process does not insist.
func TestSessionUnread(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	for name, end := range map[string]func(*agenttest.Session){
		"the service": func(s *agenttest.Session) { s.EndOnControl(t) },
		"a signal":    func(s *agenttest.Session) { _ = syscall.Kill(w.processOf(s), syscall.SIGTERM) },
	} {
		folder := t.TempDir()
		s := w.node.Hold(t, onTerminal, parameters("command", "echo unread; echo > "+folder+"/ended"))
		s.Open(t, datachannel.ClientOptions{})
		eventually(t, "the program to end", func() bool { return content(t, folder+"/ended") != "" })
		end(s)
		if got := s.Ended(t); got.FinalTaskStatus == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestSessionRefusals holds sessions that cannot be. source: agent, for the words
func TestSessionRefusals(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	input := func(inputs string) string {
		return `{"schemaVersion":"1.0","sessionType":"Standard_Stream","inputs":` + inputs + `}`
	}
	for name, tt := range map[string]struct {
		document string
		task     map[string]any
		want     string
		opens    bool // it fails when a client is there
	}{
		"schema":                       {`{"schemaVersion":"2.2","sessionType":"Port"}`, nil, "Document with schema version 2.2 is not supported", false},
		"type":                         {`{"schemaVersion":"1.0","sessionType":"Coffee"}`, nil, `"Coffee"`, false},
		"no command":                   {withoutTerminal, parameters("command", " "), "Commands cannot be empty for session type NonInteractiveCommands", false},
		"no parameter":                 {withoutTerminal, nil, "command", false},
		"pattern":                      {portDocument, parameters("portNumber", "ssh"), "portNumber", false},
		"list":                         {portDocument, map[string]any{"Parameters": map[string]any{"portNumber": []string{"1"}}}, "portNumber", false},
		"encrypted logs":               {input(`{"s3BucketName":"b","s3EncryptionEnabled":"true"}`), nil, "unable to validate encryption on Amazon S3 bucket", false},
		"encrypted log group":          {input(`{"cloudWatchLogGroupName":"g","cloudWatchEncryptionEnabled":true}`), nil, "unable to validate encryption on CloudWatch Logs log group", false},
		"run-as of nobody":             {input(`{"runAsEnabled":true}`), nil, "please set the RunAs default user", true},
		"run-as of a ghost":            {input(`{"runAsEnabled":true,"runAsDefaultUser":"nosuchuser"}`), nil, "RunAs user nosuchuser does not exist", true},
		"run-as of the caller's ghost": {input(`{"runAsEnabled":true,"runAsDefaultUser":"root"}`), map[string]any{"RunAsUser": "nosuchuser"}, "RunAs user nosuchuser does not exist", true},
		"run-as of root":               {input(`{"runAsEnabled":true,"runAsDefaultUser":"root"}`), nil, "invalid uid and gid", true},
		"run-as of an option":          {input(`{"runAsEnabled":true,"runAsDefaultUser":"--version"}`), nil, "RunAs user --version does not exist", true},
		"metadata":                     {portDocument, parameters("portNumber", "80", "host", "169.254.169.254"), "Forwarding to IP address 169.254.169.254 is forbidden.", true},
		"metadata in disguise":         {portDocument, parameters("portNumber", "80", "host", "::ffff:a9fe:a9fe"), "is forbidden.", true},
		"ssh to a closed port":         {portDocument, parameters("portNumber", "1", "type", ""), "Unable to connect to specified port", true},
	} {
		if os.Geteuid() != 0 && strings.HasPrefix(name, "run-as of") && name != "run-as of nobody" {
			tt.want = "the agent must run as root to use RunAs"
		}
		s := w.node.Hold(t, tt.document, tt.task)
		if tt.opens {
			s.Open(t, datachannel.ClientOptions{})
		}
		if end := s.Ended(t); end.FinalTaskStatus != "Failed" || !strings.Contains(end.Output, tt.want) {
			t.Errorf("%s: %+v", name, end)
		}
	}
}

// TestSessionRunAs runs as another user, whose surroundings it gets.
func TestSessionRunAs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can")
	}
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	for name, tt := range map[string]struct {
		inputs string
		task   map[string]any
		want   string
	}{
		"by the preferences": {`{"runAsEnabled":"true","runAsDefaultUser":"nobody"}`, map[string]any{}, "nobody"},
		"by the caller":      {`{"runAsEnabled":true,"runAsDefaultUser":"nosuchuser"}`, map[string]any{"RunAsUser": "daemon"}, "daemon"},
	} {
		task := parameters("command", `echo "$(id -un) $USER $(id -G)" "$(stat -c %U "$(tty)")."`)
		maps.Copy(task, tt.task)
		document := strings.Replace(onTerminal, `"sessionType"`, `"inputs":`+tt.inputs+`,"sessionType"`, 1)
		c := w.node.Hold(t, document, task).Open(t, datachannel.ClientOptions{})
		if got := expect(t, c, "."); !strings.HasPrefix(got, tt.want+" "+tt.want+" ") || !strings.Contains(got, " "+tt.want+".") || strings.Contains(got, " 0 ") {
			t.Errorf("%s: %q", name, got)
		}
		wait(t, c)
	}
}

// TestSessionEncrypted encrypts a session with a key that the node gets from KMS; where it does not, the session has failed. source: agent, for
// the words
func TestSessionEncrypted(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	document := strings.Replace(onTerminal, `"sessionType"`, `"inputs":{"kmsKeyId":"alias/sessions"},"sessionType"`, 1)
	s := w.node.Hold(t, document, parameters("command", "read x; echo got $x; exit 8"))
	c := s.Open(t, datachannel.ClientOptions{Keys: agenttest.Keys{Plane: w.Plane}})
	if !strings.HasPrefix(c.Message, "This session is encrypted using AWS KMS.") {
		t.Errorf("%q", c.Message)
	}
	write(t, c, "it\n")
	expect(t, c, "got it")
	if exit := wait(t, c); exit.Code != 8 {
		t.Errorf("%+v", exit)
	}
	w.Fail("Decrypt", 100, agenttest.Denied)
	s = w.node.Hold(t, document, parameters("command", "true"))
	short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() {
		end := s.Ended(t)
		s.EndOnData(end.Output)
	}()
	if _, err := datachannel.Open(short, s.Start(), datachannel.ClientOptions{Dial: s.DialOptions(), Keys: agenttest.Keys{Plane: w.Plane}}); err == nil {
		t.Error("there is a session")
	}
	if end := s.Ended(t); end.FinalTaskStatus != "Failed" ||
		!strings.HasPrefix(end.Output, "\n----------ERROR-------\nEncountered error while initiating handshake. Fetching data key failed: Error when decrypting data key ") {
		t.Errorf("%+v", end)
	}
}

// TestSessionLimit holds no more sessions than it can, and says so.
func TestSessionLimit(t *testing.T) {
	w := newWorld(t)
	w.start(func(c *agent.Config) { c.MostSessions(1) })
	w.node.Online(t)
	one := w.node.Hold(t, shellDocument, nil)
	c := one.Open(t, datachannel.ClientOptions{})
	one.Announce(t) // once more
	two := w.node.Hold(t, shellDocument, nil)
	if end := two.Ended(t); end.FinalTaskStatus != "Failed" || !strings.Contains(end.Output, "holds 1 sessions already") {
		t.Errorf("%+v", end)
	}
	w.Do(func() {
		if len(one.Completed) != 0 || one.Created != 1 {
			t.Errorf("%+v", one)
		}
	})
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	one.Ended(t)
	eventually(t, "room", func() bool { return len(w.leftovers("sessions")) == 0 })
	w.node.Hold(t, shellDocument, nil).Open(t, datachannel.ClientOptions{})
}

// TestSessionOverfull has no room even to keep how sessions ended: who comes then is told all the same.
func TestSessionOverfull(t *testing.T) {
	w := newWorld(t)
	w.start(func(c *agent.Config) { c.MostSessions(1) })
	w.node.Online(t)
	w.node.Hold(t, shellDocument, nil).Open(t, datachannel.ClientOptions{})
	b := toJSON(t, map[string]any{"SchemaVersion": 1, "TaskId": "unheard", "Topic": "x", "Content": "["})
	if err := w.node.SendMessage(&api.Message{Type: "interactive_shell", Schema: 1, Created: time.Now(), ID: uuid.New(), Payload: []byte(b)}); err != nil {
		t.Fatal(err)
	}
	w.Wait(t, "an end that nobody acknowledges", func() bool { return len(w.node.Others) > 0 })
	three := w.node.Hold(t, shellDocument, nil)
	if end := three.Ended(t); end.FinalTaskStatus != "Failed" || !strings.Contains(end.Output, "holds 1 sessions already") {
		t.Errorf("%+v", end)
	}
}

// TestSessionOddID holds a session whose id looks like a flag, as that of a user whose name does. source: aws (what a user's name may be)
func TestSessionOddID(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	first := w.node.Hold(t, onTerminal, parameters("command", "exit 7"))
	wait(t, first.Open(t, datachannel.ClientOptions{}))
	first.Ended(t)
	var odd agenttest.Session
	w.Do(func() {
		odd = *first
		odd.ID, odd.Completed = "--"+first.ID, nil
		odd.Task = strings.ReplaceAll(first.Task, first.ID, odd.ID)
		w.node.Sessions[odd.ID] = &odd
	})
	odd.Announce(t)
	if exit := wait(t, odd.Open(t, datachannel.ClientOptions{})); exit.Code != 7 {
		t.Errorf("%+v", exit)
	}
	if end := odd.Ended(t); end.FinalTaskStatus != "Success" {
		t.Errorf("%+v", end)
	}
}

// TestSessionBadTasks sends what is no session: whoever waits is told.
func TestSessionBadTasks(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	for i, content := range []string{`{}`, `{"SessionId":"../../x"}`, `[`} {
		id := fmt.Sprintf("task-%d", i)
		b := toJSON(t, map[string]any{"SchemaVersion": 1, "TaskId": id, "Topic": "x", "Content": content})
		if err := w.node.SendMessage(&api.Message{Type: "interactive_shell", Schema: 1, Created: time.Now(), ID: uuid.New(), Payload: []byte(b)}); err != nil {
			t.Fatal(err)
		}
	}
	w.Wait(t, "an answer to each", func() bool { return len(w.node.Others) >= 3 })
	w.Do(func() {
		for _, m := range w.node.Others {
			var got agenttest.TaskComplete
			if err := json.Unmarshal(m.Payload, &got); err != nil || m.Type != "agent_task_complete" || got.FinalTaskStatus != "Failed" || got.Output == "" {
				t.Errorf("%s %s %v", m.Type, m.Payload, err)
			}
		}
	})
}

// echo is a server that answers when its client has said all.
func echo(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				b, err := io.ReadAll(conn)
				if err == nil {
					_, _ = conn.Write(append([]byte("you said "), b...))
				}
			}()
		}
	}()
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestSessionPort forwards many connections at once, each of which ends one direction before the other.
func TestSessionPort(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	port := echo(t)
	for name, values := range map[string][]string{"this machine": nil, "a name": {"host", "localhost"}, "ssh": {"type", ""}} {
		s := w.node.Hold(t, portDocument, parameters(append(values, "portNumber", port)...))
		c := s.Open(t, datachannel.ClientOptions{})
		count := 100
		if name == "ssh" {
			count = 1
		}
		var all sync.WaitGroup
		for i := range count {
			all.Go(func() {
				conn, err := c.OpenPort(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				said := strings.Repeat(fmt.Sprintf("line %d\n", i), 1000)
				if _, err := io.WriteString(conn, said); err != nil {
					t.Error(err)
				}
				if err := conn.CloseWrite(); err != nil {
					t.Error(err)
				}
				if b, err := io.ReadAll(conn); err != nil || string(b) != "you said "+said {
					t.Errorf("%s: %d bytes, %v", name, len(b), err)
				}
			})
		}
		all.Wait()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if end := s.Ended(t); end.FinalTaskStatus != "Success" {
			t.Errorf("%s: %+v", name, end)
		}
	}
}

// TestSessionPortRefused tells why a connection could not be made.
func TestSessionPortRefused(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.node.Online(t)
	c := w.node.Hold(t, portDocument, parameters("portNumber", "1")).Open(t, datachannel.ClientOptions{})
	conn, err := c.OpenPort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v", err)
	}
}
