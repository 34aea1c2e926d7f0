package agent

import "time"

// Hurry sets one of the times by which an agent waits, by its name.
func (c *Config) Hurry(what string, d time.Duration) {
	*map[string]*time.Duration{
		"heartbeat": &c.pace.heartbeat, "ping": &c.pace.ping, "silence": &c.pace.silence, "steady": &c.pace.steady,
		"ack": &c.pace.ack, "watch": &c.pace.watch, "reboot": &c.pace.reboot, "farewell": &c.pace.farewell,
	}[what] = d
}

// MostSessions sets how many sessions a node holds.
func (c *Config) MostSessions(n int) { c.mostSessions = n }
