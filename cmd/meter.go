package cmd

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// When progress is shown: not for what is done at once, and not more often than somebody reads.
const (
	meterAfter = time.Second
	meterEvery = 200 * time.Millisecond
)

// meter shows on a terminal how far a copy is.
type meter struct {
	notes *notes
	now   func() time.Time
	width int // 0 shows nothing

	mu          sync.Mutex
	name        string
	done, total int64 // total is 0 when it is not known
	start, last time.Time
	counted     int64   // done at last
	rate        float64 // bytes a second, lately
	shown       bool
}

// newMeter makes a meter for a terminal; elsewhere it shows nothing.
func newMeter(n *notes) *meter {
	m := &meter{notes: n, now: time.Now}
	if f, ok := n.out.(*os.File); ok && n.terminal && !n.quiet {
		m.width = 80
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 20 {
			m.width = columns
		}
	}
	return m
}

// begin says what is copied next: a part of all there is, or the first of it.
func (m *meter) begin(name string, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.name = clean(name)
	if m.start.IsZero() || total != m.total {
		m.start, m.total, m.done, m.counted, m.rate = m.now(), total, 0, 0, 0
		m.last = m.start
	}
}

// Write counts what has been copied.
func (m *meter) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += int64(len(b))
	now := m.now()
	if span := now.Sub(m.last); m.width > 0 && now.Sub(m.start) >= meterAfter && span >= meterEvery {
		lately := float64(m.done-m.counted) / span.Seconds()
		if m.rate == 0 {
			m.rate = float64(m.done) / now.Sub(m.start).Seconds()
		}
		m.rate += (lately - m.rate) / 4
		m.last, m.counted, m.shown = now, m.done, true
		m.notes.draw(clip(m.line(), m.width-1))
	}
	return len(b), nil
}

// end leaves the line as it is, so that the next begins below it.
func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shown {
		m.rate = float64(m.done) / max(m.now().Sub(m.start).Seconds(), 0.001)
		m.notes.draw(clip(m.line(), m.width-1))
		m.notes.line("")
	}
	m.start, m.shown = time.Time{}, false
}

// line is what is shown.
func (m *meter) line() string {
	share, left := "    ", ""
	if m.total > 0 {
		share = fmt.Sprintf("%3d%%", min(100, m.done*100/m.total))
		if m.rate > 0 && m.done < m.total {
			left = "  " + span(time.Duration(float64(m.total-m.done)/m.rate*float64(time.Second))) + " left"
		}
	}
	return fmt.Sprintf("%s  %s  %s  %s/s%s", m.name, share, size(float64(m.done)), size(m.rate), left)
}

// size is a number of bytes for people.
func size(n float64) string {
	if n < 1000 {
		return fmt.Sprintf("%.0f B", n)
	}
	for _, unit := range []string{"kB", "MB", "GB"} {
		if n /= 1000; n < 1000 {
			return fmt.Sprintf("%.1f %s", n, unit)
		}
	}
	return fmt.Sprintf("%.1f TB", n/1000)
}

// span is a time for people.
func span(d time.Duration) string {
	d = min(d, 99*time.Hour).Round(time.Second)
	if d >= time.Hour {
		return fmt.Sprintf("%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

// draw writes a line in the place of the one that was drawn before.
func (n *notes) draw(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, _ = io.WriteString(n.out, "\r\x1b[2K"+text) // a terminal that is gone needs no picture
}
