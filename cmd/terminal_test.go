//go:build unix

package cmd

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// TestTerminalStaysRestored gives a terminal back while the program is suspended: going on does not take it again.
func TestTerminalStaysRestored(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(slave.Close(), master.Close()) }()
	before, err := term.GetState(int(slave.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	taken := &terminal{notes: &notes{out: io.Discard}, in: int(slave.Fd()), raw: true}
	for range 2 { // and it may be suspended more than once
		if err := taken.makeRaw(); err != nil {
			t.Fatal(err)
		}
		taken.makeCooked()
	}
	taken.restore()
	if err := taken.makeRaw(); !errors.Is(err, errRestored) {
		t.Errorf("%v", err)
	}
	if after, err := term.GetState(int(slave.Fd())); err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("the terminal is not what it was: %v", err)
	}
}

// TestSuspendOrphan suspends a program that has no shell that could continue it: it goes on.
func TestSuspendOrphan(t *testing.T) {
	const child = "VENNEL_TEST_SUSPEND"
	if os.Getenv(child) != "" {
		suspend()
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestSuspendOrphan$")
	c.Env = append(os.Environ(), child+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // so that its parent is in another session
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
