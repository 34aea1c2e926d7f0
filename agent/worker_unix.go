//go:build unix

package agent

import (
	"os/exec"
	"syscall"
)

// detach puts a command into a session of its own, so that nothing that ends us ends it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
