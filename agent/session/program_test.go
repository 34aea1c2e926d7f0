//go:build unix

package session

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// begin starts a command in a group of its own.
func begin(t *testing.T, name string, args ...string) *program {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return watch(cmd)
}

// TestSignalStranger gives a program that has ended the number of another, as the system may: the other is not touched.
func TestSignalStranger(t *testing.T) {
	ended := begin(t, "true")
	<-ended.gone
	for _, left := range []bool{false, true} { // as when nobody was left, and when the last has gone since
		stranger := begin(t, "sleep", "60")
		ended.cmd.Process.Pid = stranger.cmd.Process.Pid
		ended.left.Store(left)
		ended.interrupt()
		ended.signal(syscall.SIGKILL)
		if stranger.within(farewell / 20) {
			t.Error("it was")
		}
		stranger.signal(syscall.SIGKILL)
		<-stranger.gone
	}
}

// TestSignalLeft signals what a program has left in its group.
func TestSignalLeft(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	cmd := exec.Command("sh", "-c", "sleep 60 &")
	cmd.SysProcAttr, cmd.Stdout = &syscall.SysProcAttr{}, w
	ownGroup(cmd)
	if err := errors.Join(cmd.Start(), w.Close()); err != nil {
		t.Fatal(err)
	}
	p := watch(cmd)
	<-p.gone
	p.signal(syscall.SIGTERM)
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("it lives: %v", err)
	}
}
