package plugin

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// runPowerShellScript is aws:runPowerShellScript.
func runPowerShellScript(ctx context.Context, s *Step) Result {
	command := powerShell()
	if command == nil {
		return s.Fail(errors.New("PowerShell is not installed on this node: neither powershell nor pwsh was found"))
	}
	return runScript(ctx, s, interpreter{file: "_script.ps1", mark: true, command: command})
}

// powerShell is the command that runs a file, or nil where there is no PowerShell.
func powerShell() []string {
	if runtime.GOOS == "windows" {
		name := filepath.Join(os.Getenv("SystemRoot"), "System32", "WindowsPowerShell", "v1.0", "powershell.exe") //nolint:forbidigo // Windows tells nowhere else
		return []string{name, "-InputFormat", "None", "-Noninteractive", "-NoProfile", "-ExecutionPolicy", "unrestricted", "-f"}
	}
	for _, name := range []string{"powershell", "pwsh", "/usr/local/bin/pwsh"} {
		if path, err := exec.LookPath(name); err == nil {
			return []string{path, "-f"}
		}
	}
	return nil
}
