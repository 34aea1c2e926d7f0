//go:build unix

package test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// terminal is a program on a terminal, and somebody who types and reads.
type terminal struct {
	t     testing.TB
	cmd   *exec.Cmd
	pty   *os.File
	ended chan struct{} // closed when the program has ended and all that it wrote was read

	mu   sync.Mutex
	text []byte        // all that it has written; guarded by mu
	read int           // how much of it was expected; guarded by mu
	more chan struct{} // filled when there is more
}

// onTerminal starts a program on a terminal of 80 by 24.
func onTerminal(t testing.TB, c *exec.Cmd) *terminal {
	t.Helper()
	f, err := pty.StartWithSize(c, &pty.Winsize{Rows: 24, Cols: 80})
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, cmd: c, pty: f, ended: make(chan struct{}), more: make(chan struct{}, 1)}
	go x.listen()
	t.Cleanup(x.leave)
	return x
}

// listen reads until the program has ended.
func (x *terminal) listen() {
	defer close(x.ended)
	b := make([]byte, 32<<10)
	for {
		n, err := x.pty.Read(b)
		x.mu.Lock()
		x.text = append(x.text, b[:n]...)
		x.mu.Unlock()
		select {
		case x.more <- struct{}{}:
		default:
		}
		if err != nil {
			_ = x.cmd.Wait() // how it ended is in its state
			return
		}
	}
}

// leave ends the program, if it has not ended.
func (x *terminal) leave() {
	_ = x.cmd.Process.Kill() // it may have ended
	_ = x.pty.Close()        // as above
	<-x.ended
}

// say types a text.
func (x *terminal) say(text string) {
	x.t.Helper()
	if _, err := io.WriteString(x.pty, text); err != nil {
		x.t.Fatalf("typing %q: %v\n%s", text, err, x.said())
	}
}

// said is all that the program has written.
func (x *terminal) said() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return string(x.text)
}

// sessionPatience is how long a terminal is waited for.
const sessionPatience = 20 * time.Second

// expect waits for a pattern in what was not expected before, and gives its first group, or all of it.
func (x *terminal) expect(pattern string) string {
	x.t.Helper()
	re, late := regexp.MustCompile(pattern), time.After(sessionPatience)
	for ended := false; ; {
		x.mu.Lock()
		found := re.FindSubmatchIndex(x.text[x.read:])
		if found != nil {
			group := found[len(found)-2:]
			text := string(x.text[x.read+group[0] : x.read+group[1]])
			x.read += found[1]
			x.mu.Unlock()
			return text
		}
		x.mu.Unlock()
		if ended {
			x.t.Fatalf("the program has ended without %s\n%s", pattern, x.said())
		}
		select {
		case <-x.more:
		case <-x.ended:
			ended = true
		case <-late:
			x.t.Fatalf("%s did not come within %v\n%s", pattern, sessionPatience, x.said())
		}
	}
}

// resize makes the terminal another size.
func (x *terminal) resize(columns, rows uint16) {
	x.t.Helper()
	if err := pty.Setsize(x.pty, &pty.Winsize{Rows: rows, Cols: columns}); err != nil {
		x.t.Fatal(err)
	}
}

// exit waits for the program's end and gives its exit status, or -1 if it was killed.
func (x *terminal) exit(within time.Duration) int {
	x.t.Helper()
	select {
	case <-x.ended:
	case <-time.After(within):
		x.t.Fatalf("the program did not end within %v\n%s", within, x.said())
	}
	return x.cmd.ProcessState.ExitCode()
}

// piped runs a program on pipes, and gives what it wrote and its exit status.
func piped(t testing.TB, c *exec.Cmd, in io.Reader, within time.Duration) (out, complaint []byte, status int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = in, &stdout, &stderr
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // with what it starts, it is ended as one
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	select {
	case err := <-done:
		if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
			t.Fatal(err)
		}
	case <-time.After(within):
		_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) // it may end at this moment
		_ = <-done                                        // which says the same
		t.Fatalf("%v did not end within %v\n%s\n%s", c.Args, within, lastOf(stdout.Bytes()), lastOf(stderr.Bytes()))
	}
	return stdout.Bytes(), stderr.Bytes(), c.ProcessState.ExitCode()
}

// lastOf is the end of a long text.
func lastOf(b []byte) []byte { return b[max(0, len(b)-4000):] }
