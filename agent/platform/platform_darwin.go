package platform

import (
	"context"
	"os/exec"
	"strings"
	"syscall"
)

// system is macOS with its version.
func system(ctx context.Context) (name, version string) {
	out, err := exec.CommandContext(ctx, "/usr/bin/sw_vers", "-productVersion").Output()
	if err != nil {
		return "macOS", ""
	}
	return "macOS", strings.TrimSpace(string(out))
}

// Machine is a hash that is the same as long as this is the same machine, or "" where nothing
// tells machines apart.
func Machine(context.Context) string {
	id, err := syscall.Sysctl("kern.uuid")
	if err != nil {
		return ""
	}
	return hashed(id)
}
