package session

import (
	"context"

	"github.com/vennel/vennel/api"
)

// StreamURL is the address that a caller is told.
func StreamURL(ctx context.Context, call *api.Call, own string) (string, error) {
	s := &Sessions{endpoint: func(context.Context, string) (string, error) { return own, nil }}
	return s.streamURL(ctx, call, "ana-0123")
}

// NewID makes an id for a caller.
func NewID(p api.Principal) string { return newID(p) }

// Printable is what is left of a text that a terminal may be shown.
func Printable(text string) string { return printable(text) }

// Held is how many bytes are held for the ends of all sessions.
func (s *Sessions) Held() int64 { return s.held.Load() }

// Lives is how many sessions are held in memory.
func (s *Sessions) Lives() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lives)
}

// Shown is what is streamed of a line.
func Shown(line string) string { return shown(line) }

// Cut says how much of a text an event takes.
func Cut(text []byte, most int) int { return cut(text, most) }
