//go:build unix

package session

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"os/user"
	"strings"
	"sync"
	"testing"
	"time"
)

// own is the account of whoever runs the tests.
func own(t *testing.T) *account {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return &account{name: me.Username, home: t.TempDir()}
}

// screen collects what a terminal shows.
type screen struct {
	mu    sync.Mutex
	shown bytes.Buffer // guarded by mu
	ended chan struct{}
}

// watchScreen reads a terminal to its end.
func watchScreen(r io.Reader) *screen {
	s := &screen{ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		b := make([]byte, 32<<10)
		for {
			n, err := r.Read(b)
			s.mu.Lock()
			s.shown.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

// String is all that was shown.
func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// wait waits for a text.
func (s *screen) wait(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(s.String(), text); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			got := s.String()
			t.Fatalf("%q was not shown, but %d bytes that end with %q", text, len(got), got[max(0, len(got)-200):])
		}
	}
}

// open starts a program on a terminal.
func open(t *testing.T, args ...string) (*terminal, *program, *screen) {
	t.Helper()
	term, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), args[0], args[1:]...)
	if err := term.start(cmd, own(t)); err != nil {
		t.Fatal(err)
	}
	p := watch(cmd)
	s := watchScreen(term)
	t.Cleanup(func() {
		term.close()
		p.end()
		<-s.ended
	})
	return term, p, s
}

// say types, which must not take long.
func say(t *testing.T, term *terminal, text string) {
	t.Helper()
	begin := time.Now()
	if _, err := term.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("typing took %v", took)
	}
}

// paste is long, and of lines.
var paste = strings.Repeat("echo this must not be run\n", 40_000)

// TestInterruptGetsPastPaste pastes a megabyte, or so little that the kernel takes all of it, into programs that do not read, and
// interrupts: the program is interrupted, and what was pasted is forgotten, as a line discipline does.
func TestInterruptGetsPastPaste(t *testing.T) {
	for name, pasted := range map[string]string{"much": paste, "what the kernel has room for": paste[:6<<10], "a line": paste[:26], "nothing": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			term, _, s := open(t, "sh", "-c", `trap 'echo interrupted; stty -echo; echo ready; read x; echo "got <$x>"; exit 0' INT; echo begun; while :; do sleep 0.05; done`)
			s.wait(t, "begun")
			if pasted != "" {
				say(t, term, pasted)
			}
			say(t, term, "\x03")
			s.wait(t, "ready")
			say(t, term, "after\n")
			s.wait(t, "got <after>")
		})
	}
}

// TestRawKeysAreData types what would interrupt to a program that wants all keys for itself: it gets all of it.
func TestRawKeysAreData(t *testing.T) {
	term, _, s := open(t, "sh", "-c", `stty raw -echo; echo begun; sleep 0.3; head -c 300003 | cksum`)
	s.wait(t, "begun")
	text := strings.Repeat("0123456789", 15_000) + "\x03\x1c\x1a" + strings.Repeat("abcdefghij", 15_000)
	say(t, term, text)
	want := exec.CommandContext(t.Context(), "cksum")
	want.Stdin = strings.NewReader(text)
	sum, err := want.Output()
	if err != nil {
		t.Fatal(err)
	}
	s.wait(t, strings.TrimSpace(string(sum)))
}

// TestTerminalKeepsAll shows a lot and ends at once: nothing is lost, though a program in the background keeps the terminal.
func TestTerminalKeepsAll(t *testing.T) {
	term, p, s := open(t, "sh", "-c", `sleep 5 & seq 1 100000; echo "$((6*7)) is the end"`)
	<-p.gone
	term.ended()
	<-s.ended
	if got := s.String(); !strings.HasSuffix(got, "\n100000\r\n42 is the end\r\n") || strings.Count(got, "\n") != 100_001 {
		t.Errorf("%d lines, that end with %q", strings.Count(got, "\n"), got[max(0, len(got)-50):])
	}
}

// TestFullTerminalCloses closes a terminal into which much was typed that nobody reads, of a program that does not want to end.
func TestFullTerminalCloses(t *testing.T) {
	term, p, s := open(t, "sh", "-c", `trap '' HUP INT; echo begun; while :; do sleep 1; done`)
	s.wait(t, "begun")
	say(t, term, paste)
	begin := time.Now()
	term.close()
	p.end()
	if took := time.Since(begin); took > farewell+time.Second {
		t.Errorf("it took %v", took)
	}
	select {
	case <-p.gone:
	default:
		t.Error("the program lives")
	}
}

// TestResize tells sizes.
func TestResize(t *testing.T) {
	term, _, s := open(t, "sh", "-c", `trap 'stty size' WINCH; stty size; while :; do sleep 0.02; done`)
	s.wait(t, "24 80\r\n")
	if err := term.resize(132, 50); err != nil {
		t.Fatal(err)
	}
	s.wait(t, "50 132\r\n")
}
