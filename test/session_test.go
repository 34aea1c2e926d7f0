//go:build unix

package test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vennel/vennel/api/ssm"
)

// TestSession holds every kind of session with every pair of a client and an agent: the stock CLI and session-manager-plugin or ours,
// the official SSM Agent or ours. Those that are not ours are named by VENNEL_SESSION_PLUGIN and VENNEL_SSM_AGENT_DIR.
func TestSession(t *testing.T) {
	t.Parallel()
	need(t, "aws", "sshd", "ssh", "scp", "rsync")
	pairs(t, []cell{
		{"Shell", testShell},
		{"Paste", testPaste},
		{"Interactive", testInteractive},
		{"Command", testCommand},
		{"Port", testPort},
		{"PortParallel", testPortParallel},
		{"PortRefused", testPortRefused},
		{"RemoteHost", testRemoteHost},
		{"SSH", testSSH},
		{"Terminate", testTerminate},
	})
}

// cell is one thing that is tried with each pair of a client and an agent.
type cell struct {
	name string
	test func(*testing.T, *operator)
}

// pairs tries things with each pair.
func pairs(t *testing.T, cells []cell) {
	for _, agent := range []string{oursKind, officialKind} {
		t.Run(agent, func(t *testing.T) {
			s := newStation(t, agent)
			for _, client := range []string{oursKind, officialKind} {
				t.Run(client, func(t *testing.T) {
					if why := lacks("client", client); why != "" {
						t.Skip("SKIPPED: " + why)
					}
					for _, c := range cells {
						t.Run(c.name, func(t *testing.T) { c.test(t, s.operator(t, client)) })
					}
				})
			}
		})
	}
}

// both says whether the agent and the client are ours.
func (o *operator) both() bool { return o.kind == oursKind && o.agent == oursKind }

// size is how many bytes a port session carries: the official peers send less than a megabyte in a second.
func (o *operator) size(up bool) int64 {
	if sender := map[bool]string{true: o.kind, false: o.agent}[up]; sender == officialKind {
		return 2 << 20
	}
	return 100 << 20
}

// broken is how many bytes are carried while connections break, and how often they do.
func (o *operator) broken(up bool) (int64, time.Duration) {
	if o.both() {
		return 80 << 20, 300 * time.Millisecond
	}
	return 2 * o.size(up), time.Second
}

// prompt is the end of a shell's prompt.
const prompt = `[$#] $`

// testShell types, resizes, interrupts and leaves.
func testShell(t *testing.T, o *operator) {
	x := onTerminal(t, o.shell())
	x.expect(prompt)
	x.say("echo a$((40+2))b\n")
	x.expect(`a42b`)
	x.expect(prompt)
	x.say("stty size\n")
	x.expect(`24 80`)
	x.resize(101, 37)
	x.say("sleep 1; stty size\n")
	x.expect(`37 101`)
	x.say("printf 'gr\\303\\274\\303\\237e \\360\\237\\214\\277 \\033[31mred\\033[0m\\n'\n")
	x.expect("grüße 🌿 \x1b\\[31mred\x1b\\[0m")
	x.expect(prompt)
	x.say("sleep 100\n")
	x.expect(`sleep 100`)
	time.Sleep(200 * time.Millisecond) // the shell is to have started it
	x.say("\x03")
	x.expect(prompt)
	o.leaves(t, x)
}

// leaves has a shell end with a status of its own.
func (o *operator) leaves(t *testing.T, x *terminal) {
	t.Helper()
	x.say("exit 7\n")
	want := 0 // the plugin's, always
	if o.both() {
		want = 7
	}
	if got := x.exit(sessionPatience); got != want {
		t.Errorf("exit status %d, want %d\n%s", got, want, x.said())
	}
	o.quiet()
}

// testPaste pastes more than any buffer holds into a program that reads, and into one that does not, which is then interrupted.
func testPaste(t *testing.T, o *operator) {
	x := onTerminal(t, o.shell())
	x.expect(prompt)
	const lines = 2000
	x.say("stty -echo; echo qui''et; head -n 2000 | md5sum; stty echo\n")
	x.expect(`quiet`)
	line := strings.Repeat("0123456789", 6) + "\n"
	go func() { _, _ = io.WriteString(x.pty, strings.Repeat(line, lines)) }() // what arrives is what is looked at
	x.expect(fmt.Sprintf("%x", md5Of(strings.Repeat(line, lines))))
	x.expect(prompt)
	if o.agent == officialKind {
		x.say("exit\n")
		x.exit(sessionPatience)
		return // it ignores what comes after a paste that is not read
	}
	x.say("stty -echo; echo qui''et; sleep 1000\n")
	x.expect(`quiet`)
	pasted := make(chan struct{})
	go func() { defer close(pasted); _, _ = io.WriteString(x.pty, strings.Repeat(line, lines)) }() // as above
	<-pasted
	x.say("\x03")
	x.expect(prompt)
	x.say("stty echo\n")
	x.say("exit\n")
	x.exit(sessionPatience)
	o.quiet()
}

// testInteractive runs a command on a terminal.
func testInteractive(t *testing.T, o *operator) {
	x := onTerminal(t, o.interactive("tty; read -r name; echo hello $name; exit 3"))
	x.expect(`/dev/pts/\d+`)
	x.say("world\n")
	x.expect(`hello world`)
	want := 0
	if o.both() {
		want = 3
	}
	if got := x.exit(sessionPatience); got != want {
		t.Errorf("exit status %d, want %d\n%s", got, want, x.said())
	}
	o.quiet()
}

// runs runs a command without a terminal and without input.
func (o *operator) runs(t *testing.T, command string) (out, complaint []byte, status int) {
	t.Helper()
	if o.kind == oursKind {
		return piped(t, o.command(command), nil, sessionPatience)
	}
	open, end, err := os.Pipe() // the plugin ends with its input
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = open.Close(), end.Close() }() // nothing was written
	return piped(t, o.command(command), open, sessionPatience)
}

// testCommand runs commands without a terminal.
func testCommand(t *testing.T, o *operator) {
	out, complaint, status := o.runs(t, "echo out; echo err >&2; exit 3")
	if o.kind == officialKind {
		if !bytes.Contains(out, []byte("out")) || !bytes.Contains(out, []byte("err")) || !bytes.Contains(out, []byte("EXIT_CODE: 3")) {
			t.Errorf("%q %q", out, complaint)
		}
		return
	}
	if string(out) != "out\n" || !bytes.Contains(complaint, []byte("err\n")) || status != 3 {
		t.Errorf("%q %q, status %d", out, complaint, status)
	}
	if !o.both() {
		return
	}
	const n = 20 << 20
	out, complaint, status = piped(t, o.command("cat"), noise(n, 1), sessionPatience)
	want, _, _ := digest(noise(n, 1))
	if got, count, _ := digest(bytes.NewReader(out)); got != want || status != 0 {
		t.Errorf("%d of %d bytes came back, status %d: %s", count, n, status, complaint)
	}
	o.quiet()
}

// testPort carries bytes both ways.
func testPort(t *testing.T, o *operator) {
	f := o.forward("", o.quay.port)
	for _, up := range []bool{false, true} {
		how, begin, n := download, time.Now(), o.size(up)
		if up {
			how = upload
		}
		if err := how(f.local, n, 1); err != nil {
			t.Errorf("up %v: %v", up, err)
		}
		t.Logf("up %v: %.1f MB/s", up, float64(n)/1e6/time.Since(begin).Seconds())
	}
	if o.both() { // others close both directions
		c, err := net.Dial("tcp", f.local)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "turn\n"+strings.Repeat("x", 100000))
		_ = c.(*net.TCPConn).CloseWrite()
		if answer, err := io.ReadAll(c); err != nil || string(answer) != "100000 <nil>\n" {
			t.Errorf("half-closed: %q %v", answer, err)
		}
		_ = c.Close()
	}
	f.end()
	o.quiet()
}

// testPortParallel has many connections in one session.
func testPortParallel(t *testing.T, o *operator) {
	connections, each := 200, int64(200<<10)
	if o.kind == officialKind || o.agent == officialKind {
		each = 5 << 10
	}
	f := o.forward("", o.quay.port)
	var all sync.WaitGroup
	for n := range connections {
		how := download
		if n%2 == 0 {
			how = upload
		}
		all.Go(func() {
			if err := how(f.local, each, int64(n)); err != nil {
				t.Errorf("connection %d: %v", n, err)
			}
		})
	}
	all.Wait()
	f.end()
	o.quiet()
}

// testPortRefused connects to a port on which nothing listens: the connection ends, the session does not.
func testPortRefused(t *testing.T, o *operator) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := o.forward("", l.Addr().(*net.TCPAddr).Port)
	_ = l.Close() // so that the port is free
	c, err := net.Dial("tcp", f.local)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(sessionPatience)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || os.IsTimeout(err) {
		t.Errorf("%d bytes, %v", n, err)
	}
	_ = c.Close()
	f.x.expect(`(?i)refused|could not connect|Connection to destination port failed`)
	f.end()
	o.quiet()
}

// testRemoteHost goes to another host than the node, and not to those that are denied.
func testRemoteHost(t *testing.T, o *operator) {
	f := o.forward("127.0.0.1", o.quay.port)
	if err := download(f.local, 100<<10, 3); err != nil {
		t.Error(err)
	}
	f.end()
	c := o.start("AWS-StartPortForwardingSessionToRemoteHost", map[string]string{"portNumber": "80", "host": "169.254.169.254"})
	if o.kind == oursKind {
		c = o.run("vennel", "forward", o.id, "169.254.169.254:80")
	}
	x := onTerminal(t, c)
	x.expect(`(?i)169\.254\.169\.254|denied|not allowed|forbidden|unsupported`)
	x.exit(sessionPatience)
	o.quiet()
}

// testSSH goes through a session with ssh, scp and rsync.
func testSSH(t *testing.T, o *operator) {
	d := newSSHD(t)
	run := func(name string, args ...string) {
		t.Helper()
		c := o.run(name, args...)
		out, complaint, status := piped(t, c, nil, 2*time.Minute)
		if status != 0 {
			t.Fatalf("%s: status %d\n%s\n%s", name, status, lastOf(out), lastOf(complaint))
		}
	}
	size := int64(20 << 20)
	if o.kind == officialKind || o.agent == officialKind {
		size = 512 << 10
	}
	folder := t.TempDir()
	source, there, back := filepath.Join(folder, "source"), filepath.Join(folder, "there"), filepath.Join(folder, "back")
	text, err := io.ReadAll(noise(size, 9))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(source, text, 0o600); err != nil {
		t.Fatal(err)
	}
	options := append(d.options(), "-o", "ProxyCommand="+o.proxyCommand())
	login := d.user + "@" + o.id
	run("ssh", append(options, login, "true")...)
	run("scp", append(options, "-q", source, login+":"+there)...)
	run("scp", append(options, "-q", login+":"+there, back)...)
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, text) {
		t.Errorf("scp: %d bytes of %d, %v", len(got), len(text), err)
	}
	_ = os.Remove(back) // rsync makes it again
	var quoted []string
	for _, option := range options {
		quoted = append(quoted, "'"+option+"'")
	}
	run("rsync", "-e", "ssh "+strings.Join(quoted, " "), login+":"+there, back)
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, text) {
		t.Errorf("rsync: %d bytes of %d, %v", len(got), len(text), err)
	}
	if o.kind == officialKind {
		return // its sessions stay until the server ends them
	}
	o.quiet()
}

// testTerminate ends a session from the API: the user is told, and nothing is left of it.
func testTerminate(t *testing.T, o *operator) {
	x := onTerminal(t, o.shell())
	x.expect(prompt)
	x.say("sleep 987654\n")
	x.expect(`987654`)
	time.Sleep(200 * time.Millisecond) // the shell is to have started it
	active := o.sessions()
	if len(active) == 0 {
		t.Fatal("the session is not listed")
	}
	o.call("ssm", "TerminateSession", &ssm.TerminateSessionInput{SessionId: *active[0].SessionId}, nil)
	x.exit(5 * time.Second)
	if !regexp.MustCompile(`(?i)exiting session|terminated`).MatchString(x.said()) {
		t.Errorf("the user was told\n%s", x.said())
	}
	o.quiet()
	o.await("the session's processes to end", func() bool {
		return exec.Command("pgrep", "-f", "^sleep 987654").Run() != nil || o.agent == officialKind
	})
	exec.Command("pkill", "-f", "^sleep 987654$").Run() //nolint:errcheck // what the official agent leaves
}

// TestSessionFaults breaks what sessions run on, in the middle of them.
func TestSessionFaults(t *testing.T) {
	t.Parallel()
	need(t, "aws")
	pairs(t, []cell{
		{"CutClient", testCutClient},
		{"CutAgent", testCutAgent},
		{"Sleep", testSleep},
		{"Restart", testRestart},
		{"KillClient", testKillClient},
		{"KillAgent", testKillAgent},
	})
}

// TestSoakSessionFrames loses, delays and doubles single frames of connections that stay intact. See docs/divergences.md, "A frame that is lost within
// a connection".
func TestSoakSessionFrames(t *testing.T) {
	if os.Getenv("VENNEL_SOAK") != "1" {
		t.Skip("set VENNEL_SOAK=1, or run make soak")
	}
	need(t, "aws")
	pairs(t, []cell{
		{"Client", func(t *testing.T, o *operator) { testFrames(t, o, o.near) }},
		{"Agent", func(t *testing.T, o *operator) { testFrames(t, o, o.far) }},
	})
}

// during does something again and again while something else is done, and gives what came of both.
func during(t *testing.T, again func(context.Context) int, do func() error) (times int, err error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- again(ctx) }()
	err = do()
	cancel()
	return <-done, err
}

// testCutClient cuts the client's connections in the middle of transfers.
func testCutClient(t *testing.T, o *operator) {
	f := o.forward("", o.quay.port)
	cut := o.near.cut
	if o.kind == officialKind { // it takes a frame twice whose acknowledgement it could not write
		cut = o.near.hangUp
	}
	n, pause := o.broken(false)
	cuts, err := during(t, func(ctx context.Context) int { return o.near.cutEach(ctx, pause, cut) }, func() error { return download(f.local, n, 4) })
	t.Logf("download: cut %d times", cuts)
	if err != nil {
		t.Errorf("download: %v\n%s", err, f.said())
	}
	if o.kind == oursKind { // an upload of the official client ends with its socket
		n, pause = o.broken(true)
		cuts, err = during(t, func(ctx context.Context) int { return o.near.cutEach(ctx, pause, cut) }, func() error { return upload(f.local, n, 5) })
		t.Logf("upload: cut %d times", cuts)
		if err != nil {
			t.Errorf("upload: %v\n%s", err, f.said())
		}
	}
	f.end()
	o.quiet()
}

// testCutAgent cuts the node's connections in the middle of transfers. The official agent's sockets lose what they held, and it sends
// that again frame by frame.
func testCutAgent(t *testing.T, o *operator) {
	f := o.forward("", o.quay.port)
	cut := o.far.cut
	if o.agent == officialKind { // it takes a frame twice whose acknowledgement it could not write
		cut = o.far.hangUp
	}
	for name, how := range map[string]func(string, int64, int64) error{"download": download, "upload": upload} {
		n, pause := o.broken(name == "upload")
		if o.agent == officialKind {
			pause = 4 * time.Second
		}
		cuts, err := during(t, func(ctx context.Context) int { return o.far.cutEach(ctx, pause, cut) }, func() error { return how(f.local, n, 6) })
		t.Logf("%s: cut %d times", name, cuts)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, f.said())
		}
	}
	f.end()
	o.quiet()
}

// asleep is how long a client sleeps.
func asleep() time.Duration {
	if os.Getenv("VENNEL_SOAK") != "" {
		return 5 * time.Minute
	}
	return 5 * time.Second
}

// testSleep stops the client for a while in the middle of a download, as a lid that is closed does.
func testSleep(t *testing.T, o *operator) {
	f := o.forward("", o.quay.port)
	done := make(chan error, 1)
	go func() { done <- download(f.local, 2*o.size(false), 7) }()
	time.Sleep(300 * time.Millisecond) // the transfer is to be on its way
	group := -f.x.cmd.Process.Pid
	if err := syscall.Kill(group, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if o.kind == officialKind { // as above
		o.near.hangUp()
	} else {
		o.near.cut()
	}
	time.Sleep(asleep())
	if err := syscall.Kill(group, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		t.Errorf("the transfer hangs\n%s", f.said())
	}
	f.end()
	o.quiet()
}

// testRestart kills the server in the middle of a shell and of a download, and starts it again.
func testRestart(t *testing.T, o *operator) {
	x := onTerminal(t, o.shell())
	x.expect(prompt)
	x.say("x=41\n")
	x.expect(prompt)
	f := o.forward("", o.quay.port)
	done := make(chan error, 1)
	go func() { done <- download(f.local, 2*o.size(false), 8) }()
	time.Sleep(300 * time.Millisecond) // the transfer is to be on its way
	if o.both() {
		o.server.kill()
	} else if err := o.server.stop(); err != nil { // as above
		t.Fatal(err)
	}
	if err := o.server.restart(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * time.Minute):
		t.Errorf("the transfer hangs\n%s", f.said())
	}
	x.say("echo $((x+1))!\n")
	x.expect(`42!`)
	x.say("exit\n")
	x.exit(sessionPatience)
	f.end()
	o.quiet()
}

// testKillClient kills a client without warning: the session ends when it has been orphaned for a while, or at once from the API.
func testKillClient(t *testing.T, o *operator) {
	x := onTerminal(t, o.shell())
	x.expect(prompt)
	id := *o.sessions()[0].SessionId
	_ = syscall.Kill(-x.cmd.Process.Pid, syscall.SIGKILL)
	<-x.ended
	o.await("the session to be without its client", func() bool {
		for _, s := range o.sessions() {
			if *s.SessionId == id {
				return *s.Status == ssm.SessionStatusDisconnected
			}
		}
		return true
	})
	o.call("ssm", "TerminateSession", &ssm.TerminateSessionInput{SessionId: id}, nil)
	o.quiet()
}

// testKillAgent kills the agent and all its workers: the user is told within seconds, or at the latest when the node is back.
func testKillAgent(t *testing.T, o *operator) {
	x := onTerminal(t, o.shell())
	x.expect(prompt)
	if err := o.node.kill(); err != nil {
		t.Fatal(err)
	}
	exec.Command("pkill", "-KILL", "-f", "agent session.*"+o.folder).Run() //nolint:errcheck // the official agent's are gone with their namespace
	if err := o.node.start(); err != nil {
		t.Fatal(err)
	}
	x.exit(2 * time.Minute)
	if !regexp.MustCompile(`SessionId|session`).MatchString(x.said()) {
		t.Errorf("the user was told\n%s", x.said())
	}
	o.quiet()
	o.await("the node to connect", o.connected)
}
