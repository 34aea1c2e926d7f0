package session

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// DefaultUser is who sessions run as when nothing says otherwise. On Windows this agent has no way to become it.
const DefaultUser = "ssm-user"

// account is whom a session's programs run as: who the agent is.
type account struct{ name string }

// account finds out whom a session's programs run as.
func (s *Session) account(_ context.Context, p *plan) (*account, error) {
	own, err := user.Current()
	switch {
	case err != nil:
		return nil, err
	case bool(p.inputs.RunAsEnabled):
		return nil, errors.New("this agent cannot use RunAs on Windows")
	case s.User != "" && s.User != own.Username:
		return nil, errors.New("this agent cannot hold sessions as another user on Windows")
	}
	return &account{own.Username}, nil
}

// dress gives a command the agent's surroundings.
func (a *account) dress(cmd *exec.Cmd) {
	cmd.Env = os.Environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{}
}

// shell refuses: this agent has no terminals on Windows.
func (h *hold) shell(context.Context, string, ...string) (int, error) {
	return 0, errors.New("this agent has no terminals on Windows; commands without one and ports can be had")
}

// ownGroup keeps the console's Ctrl-C from a command.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr.CreationFlags = syscall.CREATE_NEW_PROCESS_GROUP }

// interrupt ends the program: there is no console that could interrupt it.
func (p *program) interrupt() { p.end() }

// quit ends the program.
func (p *program) quit() { p.end() }

// code is the exit code of a program; one that has not ended has none.
func (p *program) code() int {
	select {
	case <-p.gone:
		return p.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// end ends the program with all that it started.
func (p *program) end() {
	if exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(p.cmd.Process.Pid)).Run() != nil { //nolint:noctx // the end of it all
		_ = p.cmd.Process.Kill() // it may be gone
	}
	p.within(farewell)
}
