//go:build !linux

package cmd

import (
	"context"
	"errors"

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
