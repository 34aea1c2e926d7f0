//go:build unix

package session

import (
	"errors"
	"os/exec"
	"syscall"
)

// bySignal is the exit code of what a signal has ended, as shells give it: this and the signal's number.
const bySignal = 128

// code is the exit code of a program; one that not even a kill could end has none.
func (p *program) code() int {
	select {
	case <-p.gone:
	default:
		return -1
	}
	state, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && state.Signaled() {
		return bySignal + int(state.Signal())
	}
	return p.cmd.ProcessState.ExitCode()
}

// ownGroup gives a command a session of its own, so that no key of another terminal reaches it.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr.Setsid = true }

// interrupt is what Ctrl-C does.
func (p *program) interrupt() { p.signal(syscall.SIGINT) }

// quit is what Ctrl-\ does.
func (p *program) quit() { p.signal(syscall.SIGQUIT) }

// signal sends a signal to the program's process group. When the program has ended and nobody is left of its group, its number may be that of
// a stranger.
func (p *program) signal(s syscall.Signal) {
	pid := p.cmd.Process.Pid
	select {
	case <-p.gone:
		if !p.left.Load() {
			return
		}
		if !othersIn(pid) {
			p.left.Store(false)
			return
		}
	default:
	}
	_ = syscall.Kill(-pid, s) // it may just have ended
}

// othersIn says whether anybody is left of the process group of a program that has ended. As long as somebody is, the system gives no
// process the group's number: one that has it is a stranger, with a group of its own.
func othersIn(pid int) bool {
	return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) && syscall.Kill(-pid, 0) == nil
}

// end ends a program whose session is over: it is told, as when a line hangs up, and what does not listen is killed. What was made
// to outlive the line, as by nohup, does.
func (p *program) end() {
	p.signal(syscall.SIGHUP)
	p.signal(syscall.SIGCONT)
	if !p.within(farewell) {
		p.signal(syscall.SIGKILL)
		p.within(farewell)
	}
}
