//go:build !linux

package cmd

import (
	"context"
	"errors"
	"syscall"

	"github.com/vennel/vennel/dataplane"
)

// Host is the daemon that carries VPCs, which only Linux can.
type Host struct{}

// errNotLinux is the answer of other systems.
var errNotLinux = errors.New("private networks are carried by Linux only")

// Run says so.
func (*Host) Run(context.Context, Streams) error { return errNotLinux }

// localHost says so, too.
func localHost(string) (dataplane.Host, error) { return nil, errNotLinux }

// First does nothing: there are no machines.
func First() {}

// hostSocket is the name of the socket in a host's folder.
const hostSocket = "host.sock"

// hostAttributes are none.
func hostAttributes() *syscall.SysProcAttr { return nil }

// cannotCarry says so.
func cannotCarry() error { return errNotLinux }

// execIn says so.
func execIn(context.Context, string, string, []string, Streams) (int, error) { return 0, errNotLinux }

// giveUpPrivileges has none to give up.
func giveUpPrivileges() error { return nil }
