package linux

import "context"

// Console gives the last of what a machine has written to its console.
func (h *Host) Console(_ context.Context, id string) ([]byte, error) { return h.machines.Console(id) }
