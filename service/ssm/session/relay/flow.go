package relay

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/datachannel"
)

// What is kept of a direction, in frames. A plugin keeps 10,000 frames that came before their turn and
// drops what is above that without a word, so nothing that far ahead of its acknowledgements is sent to it.
// source: agent
const (
	mostAhead = 10_000    // of what the receiver has acknowledged without a gap
	fullAt    = 8 << 10   // frames above which the sender is asked to wait
	mostHeld  = 50_000    // frames above which the sender has not waited
	mostSpan  = 100_000   // between the lowest that is not acknowledged and the highest, as an agent keeps
	mostEarly = 1 << 10   // frames from before the relay's time
	slotCost  = 256       // bytes that a held frame costs beside itself
	lastOne   = 1<<62 - 1 // the highest sequence number
)

// settling is for how long after a frame from before the relay's time more of them may follow: an official sender
// repeats one each second at the least. source: agent
const settling = 5 * time.Second

// The bounds of all relays together. While they hold more than mostTogether, a flow is full as soon as it holds its share, and the
// senders of those that hold more wait.
const (
	mostTogether = 1 << 30 // bytes
	share        = 256 << 10
)

// slot is what is known of one sequence number.
type slot struct {
	m      *api.Message // nil when it has not come, or is acknowledged and not kept for watch
	stream uint32       // the receiver's stream on which it was sent last; 0 for none
	acked  bool
	again  bool // sent more than once on that stream, or on one before it, and not yet known to be of no use
}

// waits says whether a frame is held for the receiver.
func (s *slot) waits() bool { return s.m != nil && !s.acked }

// early is a frame from before the relay's time, see flow.start.
type early struct {
	sequence int64
	slot
}

// flow is the store of one direction: the frames that the receiver has not acknowledged, and a memory of those that
// it has. It is guarded by the relay's lock, and has no thoughts about time or peers of its own.
//
// A relay that follows on another one, after a restart of the server, begins in the middle: what is below the first
// sequence number that it sees may or may not have been acknowledged. Such frames come only when
// their sender repeats them. They are passed on like others, but nothing is remembered of them.
type flow struct {
	window   int           // bytes that may be on their way to the receiver; twice and four times that are other limits
	together *atomic.Int64 // bytes that all relays hold

	known bool  // a frame has come
	start int64 // the first that came
	base  int64 // all from start to here are acknowledged
	end   int64 // none from here on has come
	next  int64 // none below it waits to be sent on the receiver's stream
	slots []slot

	early   []early   // by sequence
	floor   int64     // what the receiver may wait for while more early frames may come
	settled time.Time // when no more early ones are to be expected

	watching bool
	watched  int64 // all below it were given to watch
	kept     int   // bytes of frames that are acknowledged, and kept for watch because one before them is missing

	repeated int64 // the sender's stream was told once more of the acknowledgements below it, as far as it asked
	held     int   // bytes
	frames   int   // held
	flying   int   // bytes of frames sent on the receiver's stream and not acknowledged
	full     bool  // the sender is to wait; see measure
}

// verdict says what a frame is to a flow.
type verdict int

const (
	fresh        verdict = iota // it is held now
	acknowledged                // the receiver has it already
	held                        // we have it already
	refused                     // no sender can have sent it
	dropped                     // it will come again
)

// at gives the slot of a sequence number from base to end.
func (f *flow) at(sequence int64) *slot { return &f.slots[sequence&int64(len(f.slots)-1)] }

// size is what a frame costs.
func size(m *api.Message) int {
	if m.Frame != nil {
		return len(m.Frame) + slotCost
	}
	return datachannel.FrameOverhead + len(m.Payload) + slotCost
}

// begin has the flow begin with a frame.
func (f *flow) begin(sequence int64) {
	f.known, f.start, f.base, f.end, f.next, f.watched = true, sequence, sequence, sequence, sequence, max(f.watched, sequence)
}

// take considers a frame of the sender, and keeps one that is new.
func (f *flow) take(m *api.Message, now time.Time) verdict {
	n := m.Sequence
	if n < 0 || n > lastOne {
		return refused
	}
	if !f.known {
		f.begin(n)
	}
	switch {
	case n < f.start:
		return f.takeEarly(m, now)
	case n < f.base:
		return acknowledged
	case n-f.base >= mostSpan:
		return refused
	}
	if span := n - f.base + 1; span > int64(len(f.slots)) {
		f.grow(span)
	}
	switch s := f.at(n); {
	case n >= f.end:
		f.end = n + 1
		s.m = m
	case s.acked:
		return acknowledged
	case s.m != nil:
		return held
	default:
		s.m = m
	}
	f.next = min(f.next, n)
	f.measure(m, 1)
	return fresh
}

// takeEarly is take for a frame from before our time.
func (f *flow) takeEarly(m *api.Message, now time.Time) verdict {
	i, found := f.findEarly(m.Sequence)
	switch {
	case found:
		return held
	case len(f.early) >= mostEarly:
		return dropped
	}
	f.early = slices.Insert(f.early, i, early{m.Sequence, slot{m: m}})
	f.floor, f.settled = f.early[0].sequence, now.Add(settling)
	f.measure(m, 1)
	return fresh
}

// findEarly gives the place of an early frame.
func (f *flow) findEarly(sequence int64) (int, bool) {
	return slices.BinarySearchFunc(f.early, sequence, func(e early, n int64) int {
		switch {
		case e.sequence < n:
			return -1
		case e.sequence > n:
			return 1
		}
		return 0
	})
}

// grow makes room for a span.
func (f *flow) grow(span int64) {
	size := max(16, int64(len(f.slots)))
	for size < span {
		size *= 2
	}
	old := *f
	f.slots = make([]slot, size)
	for n := old.base; n < old.end; n++ {
		*f.at(n) = *old.at(n)
	}
}

// measure counts a frame that came (1) or went (-1).
func (f *flow) measure(m *api.Message, sign int) {
	f.held += sign * size(m)
	f.together.Add(int64(sign * size(m)))
	f.frames += sign
	if f.held > f.room() || f.frames > fullAt {
		f.full = true
	} else if !f.busy() {
		f.full = false
	}
}

// busy says whether more than half of what makes the sender wait is held.
func (f *flow) busy() bool { return f.held > f.room()/2 || f.frames > fullAt/2 }

// room is how many bytes may be held before the sender is to wait.
func (f *flow) room() int {
	if f.together.Load() > mostTogether {
		return min(f.window, share)
	}
	return f.window
}

// over says whether the sender has gone on for too long while it was to wait.
func (f *flow) over() bool { return f.held+f.kept > 4*f.window || f.frames > mostHeld }

// find gives the slot of a sequence number, or nil where nothing is known.
func (f *flow) find(sequence int64) *slot {
	switch {
	case !f.known:
		return nil
	case sequence >= f.base && sequence < f.end:
		return f.at(sequence)
	case sequence < f.start:
		if i, found := f.findEarly(sequence); found {
			return &f.early[i].slot
		}
	}
	return nil
}

// ack notes that the receiver has a frame. It is false for one that was never sent to it, or that was acknowledged
// before.
func (f *flow) ack(sequence int64, stream uint32, now time.Time) bool {
	s := f.find(sequence)
	if s == nil || !s.waits() || s.stream == 0 {
		return false
	}
	if s.stream == stream {
		f.flying -= size(s.m)
	}
	f.measure(s.m, -1)
	if sequence < f.start {
		i, _ := f.findEarly(sequence)
		f.early = slices.Delete(f.early, i, i+1)
		if f.floor, f.settled = sequence+1, now.Add(settling); len(f.early) > 0 {
			f.floor = f.early[0].sequence
		}
		return true
	}
	if f.watching && sequence >= f.watched {
		f.kept += size(s.m)
		f.together.Add(int64(size(s.m)))
		*s = slot{m: s.m, acked: true}
	} else {
		*s = slot{acked: true}
	}
	for f.base < f.end && f.at(f.base).acked {
		*f.at(f.base) = slot{}
		f.base++
	}
	f.next = max(f.next, f.base)
	if f.base == f.end && len(f.slots) > 1<<10 {
		f.slots = nil
	}
	return true
}

// starved says whether the receiver waits for a frame that has not come: then what we hold is of no
// use to it, and only the sender can help.
func (f *flow) starved(now time.Time) bool {
	return f.base < f.end && f.at(f.base).m == nil || f.unsettled(now)
}

// unsettled says whether the receiver may wait for frames from before our time.
func (f *flow) unsettled(now time.Time) bool { return len(f.early) > 0 || now.Before(f.settled) }

// limit is the sequence number from which on nothing is to be sent yet.
func (f *flow) limit(now time.Time) int64 {
	if f.unsettled(now) {
		return f.floor + mostAhead
	}
	return f.base + mostAhead
}

// send gives the next frame for the receiver's stream, or nil: none waits, or enough is on its way, or one before it has not come and they are
// to be sent in their order. It is marked as sent. again says that it was sent before.
func (f *flow) send(stream uint32, now time.Time, ordered bool) (m *api.Message, again bool) {
	if f.frames == 0 {
		return nil, false
	}
	for i := range f.early {
		if s := &f.early[i].slot; s.stream != stream {
			return f.sent(s, stream)
		}
	}
	for limit := min(f.end, f.limit(now)); f.next < limit; f.next++ {
		s := f.at(f.next)
		if s.waits() && s.stream != stream {
			return f.sent(s, stream)
		}
		if ordered && s.m == nil && !s.acked {
			break
		}
	}
	return nil, false
}

// sent marks a frame as sent, if the window has room for it.
func (f *flow) sent(s *slot, stream uint32) (*api.Message, bool) {
	if f.flying > 0 && f.flying+size(s.m) > f.window {
		return nil, false
	}
	s.again, s.stream = s.stream != 0, stream
	f.flying += size(s.m)
	return s.m, s.again
}

// watch begins to give frames to watch, with the next one that comes, but not with one before a sequence number.
func (f *flow) watch(from int64) {
	f.watching = true
	for f.watched = max(f.watched, f.base, from); f.watched < f.end && (f.at(f.watched).m != nil || f.at(f.watched).acked); f.watched++ {
	}
}

// hear gives the next frame in the order of their numbers, or nil while it has not come.
func (f *flow) hear() *api.Message {
	if !f.watching || f.watched >= f.end {
		return nil
	}
	s := f.at(f.watched)
	m := s.m
	if m == nil {
		return nil
	}
	if s.acked {
		f.kept -= size(m)
		f.together.Add(-int64(size(m)))
		s.m = nil
	}
	f.watched++
	return m
}

// drop lets go of all that is held, for good.
func (f *flow) drop() {
	f.together.Add(-int64(f.held + f.kept))
	*f = flow{window: f.window, together: f.together}
}

// restart has all that is held sent again, on another stream of the receiver.
func (f *flow) restart() {
	f.flying, f.next = 0, f.base
}

// has says whether the receiver has acknowledged a frame, as far as we remember.
func (f *flow) has(sequence int64) bool {
	return f.known && sequence >= f.start && (sequence < f.base || sequence < f.end && f.at(sequence).acked)
}
