package agent

import (
	"os/exec"
	"syscall"
)

// detachedProcess has no console. source: Windows
const detachedProcess = 8

// detach separates a command from our console, so that nothing that ends us ends it.
func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: detachedProcess | syscall.CREATE_NEW_PROCESS_GROUP}
}
