package plugin

import (
	"context"
	"errors"
)

// updateSsmAgent is aws:updateSsmAgent, which installs releases of the official agent. They must not
// take this agent's place, and a success would be a lie.
func updateSsmAgent(_ context.Context, s *Step) Result {
	return s.Fail(errors.New("this agent is not the official one and is not updated by a command; to update it, replace its program"))
}
