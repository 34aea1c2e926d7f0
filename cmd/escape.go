package cmd

import (
	"fmt"
	"strings"
	"sync"
)

// deed is what an escape sequence asks for.
type deed int

// The deeds.
const (
	deedNone    deed = iota
	deedEnd          // ~. ends the session
	deedHelp         // ~? shows what there is
	deedSuspend      // ~^Z stops this program until the shell continues it
)

// escapes finds escape sequences in what is typed, as ssh does: the escape key counts at the start of a line only, and typed twice it
// is itself.
type escapes struct {
	key    byte // 0 for none
	inLine bool
	held   bool // the key has been typed, and not yet what follows it
}

// newEscapes reads the option of ssh: a character, ^ and a letter, or none.
func newEscapes(option string) (*escapes, error) {
	switch {
	case option == "none":
		return &escapes{}, nil
	case len(option) == 1 && option[0] > ' ' && option[0] < 0x7f:
		return &escapes{key: option[0]}, nil
	case len(option) == 2 && option[0] == '^' && option[1] >= '@' && option[1] <= '_' || len(option) == 2 && option[0] == '^' && option[1] >= 'a' && option[1] <= 'z':
		return &escapes{key: option[1] & 0x1f}, nil
	}
	return nil, fmt.Errorf("--escape must be a character, ^ and a letter, or none, not %q", option)
}

// next takes what was typed up to the next deed: what of it is for the node, and what is left to take.
func (e *escapes) next(typed []byte) (send []byte, do deed, rest []byte) {
	if e.key == 0 {
		return typed, deedNone, nil
	}
	send = make([]byte, 0, len(typed)+1)
	for i, b := range typed {
		if e.held {
			e.held = false
			switch b {
			case '.':
				return send, deedEnd, typed[i+1:]
			case '?':
				return send, deedHelp, typed[i+1:]
			case 'Z' & 0x1f:
				return send, deedSuspend, typed[i+1:]
			case e.key:
			default:
				send = append(send, e.key)
			}
		} else if b == e.key && !e.inLine {
			e.held = true
			continue
		}
		send = append(send, b)
		e.inLine = b != '\r' && b != '\n'
	}
	return send, deedNone, nil
}

// help names the sequences.
func (e *escapes) help() string {
	k := string(rune(e.key))
	if e.key < ' ' {
		k = "^" + string(rune(e.key|0x40))
	}
	return strings.NewReplacer("KEY", k).Replace(`Supported escape sequences:
 KEY.   - end the session
 KEY^Z  - suspend vennel
 KEY?   - this message
 KEYKEY   - send the escape character by typing it twice
(Note that escapes are only recognized immediately after newline.)`)
}

// mostTyped is how much may be typed before the node takes it. Beyond it the terminal waits, and with it the escape key.
const mostTyped = 1 << 20

// typeahead is what has been typed and waits for the node to take it. Typing goes on meanwhile, so that the escape key works while the
// node takes nothing.
type typeahead struct {
	mu      sync.Mutex
	changed sync.Cond
	waiting []byte // guarded by mu
	ended   bool   // guarded by mu
}

// newTypeahead makes an empty one.
func newTypeahead() *typeahead {
	t := new(typeahead)
	t.changed.L = &t.mu
	return t
}

// add appends what was typed; it waits for room.
func (t *typeahead) add(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.waiting) > mostTyped && !t.ended {
		t.changed.Wait()
	}
	t.waiting = append(t.waiting, b...)
	t.changed.Broadcast()
}

// end says that nothing follows.
func (t *typeahead) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.changed.Broadcast()
}

// take gives all that waits, up to a size; nothing when nothing follows.
func (t *typeahead) take(size int) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.waiting) == 0 && !t.ended {
		t.changed.Wait()
	}
	n := min(size, len(t.waiting))
	b := append([]byte(nil), t.waiting[:n]...)
	t.waiting = append(t.waiting[:0], t.waiting[n:]...)
	t.changed.Broadcast()
	return b
}
