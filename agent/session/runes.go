package session

import (
	"io"
	"unicode/utf8"
)

// runes writes whole characters, because the official client shows what each frame has by itself. What is no character is written as it
// is. source: agent
type runes struct {
	to   io.Writer
	rest []byte // the beginning of a character
}

// Write writes what is whole of p.
func (r *runes) Write(p []byte) (int, error) {
	all := p
	if len(r.rest) > 0 {
		all = append(r.rest, p...)
	}
	whole := len(all) - begun(all)
	r.rest = append([]byte(nil), all[whole:]...)
	if whole > 0 {
		if _, err := r.to.Write(all[:whole]); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// flush writes what is left.
func (r *runes) flush() error {
	if len(r.rest) == 0 {
		return nil
	}
	_, err := r.to.Write(r.rest)
	r.rest = nil
	return err
}

// begun is how many bytes at the end of b are the beginning of a character.
func begun(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if at := b[len(b)-n:]; utf8.RuneStart(at[0]) {
			if utf8.FullRune(at) {
				return 0
			}
			return n
		}
	}
	return 0
}

// prefixed writes a prefix before what follows the end of a line. source: agent
type prefixed struct {
	to     io.Writer
	prefix string
	inside bool // the last byte did not end a line
}

// Write writes p, with the prefix if it begins a line. Lines inside of p have none. source: agent
func (w *prefixed) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	out := p
	if !w.inside && w.prefix != "" {
		out = append([]byte(w.prefix), p...)
	}
	w.inside = p[len(p)-1] != '\n'
	if _, err := w.to.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
