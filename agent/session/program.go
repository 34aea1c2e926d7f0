package session

import (
	"errors"
	"io/fs"
	"os/exec"
	"sync/atomic"
	"time"
)

// The exit codes of what could not be started, as shells give them.
const (
	cannotRun = 126
	notFound  = 127
)

// farewell is the time that a program has to end when it is told, and then the system to end it.
const farewell = 2 * time.Second

// program is a running command.
type program struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended
	left atomic.Bool   // it has ended, and others of its process group may not have
}

// watch makes a program of a command that was started.
func watch(cmd *exec.Cmd) *program {
	p := &program{cmd: cmd, gone: make(chan struct{})}
	go func() {
		defer close(p.gone)
		_ = cmd.Wait() // its state says how it went
		p.left.Store(othersIn(cmd.Process.Pid))
	}()
	return p
}

// within waits for the program's end.
func (p *program) within(d time.Duration) bool {
	late := time.NewTimer(d)
	defer late.Stop()
	select {
	case <-p.gone:
		return true
	case <-late.C:
		return false
	}
}

// failure is the exit code of a command that could not be started.
func failure(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return notFound
	}
	return cannotRun
}
