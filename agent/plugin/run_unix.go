//go:build unix

package plugin

import (
	"os/exec"
	"syscall"
)

// The codes that mean something to the agent. source: agent
const (
	rebootCode = 194
	killedCode = 137 // as if a shell reported SIGKILL
)

// ownGroup makes the command the leader of a process group.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup kills a command with all that it started. That nobody is left is no error.
func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
