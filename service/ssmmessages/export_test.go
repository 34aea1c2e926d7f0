package ssmmessages

import "github.com/vennel/vennel/api"

// Refused is why a message on a control channel is refused that cannot be read.
func Refused(m *api.Message) error { return new(channel).receive(m) }
