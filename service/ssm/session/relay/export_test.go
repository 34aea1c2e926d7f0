package relay

import (
	"fmt"
	"runtime/debug"
)

// Held is what is held for an end, and the most that its memory of sequence numbers has room for.
func (r *Relay) Held(role Role) (bytes, frames, flying, slots int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := &r.flows[role]
	return f.held + f.kept, f.frames, f.flying, len(f.slots)
}

// Check finds what must never be.
func (r *Relay) Check() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for role := range r.flows {
		f, s := &r.flows[role], &r.sides[role]
		held, frames, flying := 0, 0, 0
		count := func(slot *slot) {
			if slot.waits() {
				held, frames = held+size(slot.m), frames+1
				if slot.stream == s.number {
					flying += size(slot.m)
				}
			}
		}
		for n := f.base; n < f.end; n++ {
			count(f.at(n))
		}
		for i := range f.early {
			count(&f.early[i].slot)
		}
		if held != f.held || frames != f.frames || s.stream != nil && flying != f.flying {
			return fmt.Errorf("%d holds %d bytes in %d frames, %d on their way; counted were %d, %d, %d\n%s",
				role, held, frames, flying, f.held, f.frames, f.flying, debug.Stack())
		}
		if f.end-f.base > int64(len(f.slots)) || f.base < f.end && f.at(f.base).acked || s.acks.len() > mostAcks || len(f.early) > mostEarly {
			return fmt.Errorf("%d has %d slots from %d to %d, and %d acknowledgements", role, len(f.slots), f.base, f.end, s.acks.len())
		}
	}
	return nil
}

// Waiting is how many acknowledgements and repeated frames wait to be sent to an end.
func (r *Relay) Waiting(role Role) (acks, repeats int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sides[role].acks.len(), r.sides[role].repeat.len()
}

// String says what state a relay is in.
func (r *Relay) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := fmt.Sprintf("pausing %v, ready %v, silent %v, held up %v", r.pausing, r.ready, r.silent, r.room != nil)
	for role := range r.flows {
		f, s := &r.flows[role], &r.sides[role]
		text += fmt.Sprintf("\nto %d: stream %d there %v writing %v broken %v ended %v paused %v, %d acks, %d doubts, %d asked, %d to repeat;"+
			" from %d to %d, next %d, %d early, %d bytes of %d frames held, %d on their way, full %v", role,
			s.number, s.stream != nil, s.writing, s.broken, s.ended, s.paused, s.acks.len(), len(s.doubts), len(s.asked), s.repeat.len(),
			f.base, f.end, f.next, len(f.early), f.held, f.frames, f.flying, f.full)
	}
	return text
}
