package datachannel

import (
	"time"
)

// The limits of what is on its way unacknowledged, and of the times after which it is sent again.
const (
	leastWindow = 256 << 10
	mostWindow  = 16 << 20
	firstRetry  = time.Second // while no round trip has been measured
	leastRetry  = 250 * time.Millisecond
	mostRetry   = 5 * time.Second
	renewLeast  = 10 * time.Second     // after which the least round trip is measured anew
	rateRounds  = 8                    // round trips of which the fastest counts
	work        = 8 * time.Millisecond // that the ends and the relay may have before them, where the path is short
	sharedWork  = 2 * time.Millisecond // the same while somebody waits for little
	sharing     = time.Second          // for how long that is to be expected after it has happened
	fastPath    = 64 << 20             // bytes in a second with which a large frame is sent in as many milliseconds as a keystroke may wait
)

// window is how many bytes may be on their way. It is twice what the path carries in its shortest
// round trip: that fills the path, and what waits in it waits one round trip at most, so that a
// keystroke is not far behind a download. Where the path is short that would be little, and each end would wait for
// the other: then it is what the path carries in a few milliseconds, and in fewer of them when there are keystrokes. The rate is measured, so the window grows twofold in each
// round trip as long as the path keeps up, and shrinks when it does not.
type window struct {
	least, most int
	size        int

	smooth, vary time.Duration // round trip and its variation; zero until measured
	shortest     time.Duration
	since        time.Time // when shortest was last seen
	probing      bool      // this round trip is only to measure shortest
	shared       time.Time // until when little is to be expected beside much

	begun   time.Time // of the current round trip
	until   int64     // the sequence number whose acknowledgement ends it
	bytes   int       // acknowledged in it
	low     time.Duration
	limited bool // the window held something back in it
	rates   [rateRounds]float64
	round   int
}

// retry is the time after which a frame without acknowledgement is sent again.
func (w *window) retry() time.Duration {
	if w.smooth == 0 {
		return firstRetry
	}
	return min(mostRetry, max(leastRetry, w.smooth+4*w.vary))
}

// usual says whether an acknowledgement that took so long is one for what was sent last. For what was sent long before it would come just then only by chance.
func (w *window) usual(took time.Duration) bool {
	return w.shortest > 0 && max(took, time.Microsecond) >= w.shortest && took <= w.smooth+4*w.vary+10*lazy
}

// measured takes the time that an acknowledgement took.
func (w *window) measured(d time.Duration, now time.Time) {
	d = max(d, time.Microsecond)
	if w.smooth == 0 {
		w.smooth, w.vary = d, d/2
	} else {
		off := w.smooth - d
		w.vary += (max(off, -off) - w.vary) / 4
		w.smooth += (d - w.smooth) / 8
	}
	if w.low == 0 || d < w.low {
		w.low = d
	}
	if w.shortest == 0 || d < w.shortest {
		w.shortest = d
	}
	if d <= w.shortest+w.shortest/8 {
		w.since = now
	}
}

// acknowledged takes the acknowledgement of a frame; next is the sequence number of the next frame
// that will be sent.
func (w *window) acknowledged(seq int64, size int, next int64, now time.Time) {
	w.bytes += size
	if seq < w.until {
		return
	}
	if passed := now.Sub(w.begun); !w.begun.IsZero() && passed > 0 {
		w.rates[w.round%rateRounds] = float64(w.bytes) / passed.Seconds()
		w.round++
		w.adjust(now)
	}
	w.begun, w.until, w.bytes, w.low, w.limited = now, next, 0, 0, false
}

// adjust sets the size after a round trip.
func (w *window) adjust(now time.Time) {
	if w.probing {
		w.probing = false
		if w.low > 0 {
			w.shortest, w.since = w.low, now
		}
	}
	if !w.limited || w.shortest == 0 {
		return
	}
	ahead := work
	if now.Before(w.shared) {
		ahead = sharedWork
	}
	target := int(w.rate() * max(2*w.shortest, ahead).Seconds())
	w.size = min(max(target, w.size/2, w.least), 2*w.size, w.most)
	w.probing = now.Sub(w.since) > renewLeast
}

// rate is how many bytes the path carries in a second; zero until measured.
func (w *window) rate() (rate float64) {
	for _, r := range w.rates {
		rate = max(rate, r)
	}
	return rate
}

// fast says whether the path is fast enough for large frames, and has room for more than one.
func (w *window) fast() bool { return w.size >= 2*largeChunk && w.rate() >= fastPath }

// room is the size that holds now.
func (w *window) room() int {
	if w.probing {
		return w.least
	}
	return w.size
}

// reset forgets the path, because another connection takes another.
func (w *window) reset(next int64) {
	*w = window{least: w.least, most: w.most, size: max(w.least, w.size/2), until: next}
}
