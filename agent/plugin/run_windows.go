package plugin

import (
	"os/exec"
	"strconv"
	"syscall"
)

// The codes that mean something to the agent. source: agent
const (
	rebootCode = 3010
	killedCode = -1
)

// ownGroup keeps the console's Ctrl-C from the command.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// killGroup kills a command with all that it started. That nobody is left is no error.
func killGroup(cmd *exec.Cmd) {
	if exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run() != nil { //nolint:noctx // the end of it all
		_ = cmd.Process.Kill()
	}
}
