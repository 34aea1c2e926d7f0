package cmd

import (
	"strings"
	"testing"
	"time"
)

// TestMeter shows nothing of what is done at once, then a rate and what is left, and the average at the end.
func TestMeter(t *testing.T) {
	var out strings.Builder
	now := time.Unix(1000, 0)
	m := &meter{notes: &notes{out: &out, terminal: true}, now: func() time.Time { return now }, width: 80}
	copied := func(n int, after time.Duration) string {
		now = now.Add(after)
		out.Reset()
		_, _ = m.Write(make([]byte, n))
		return strings.TrimPrefix(out.String(), "\r\x1b[2K")
	}
	m.begin("big\x1b[31m.iso", 40_000_000)
	if text := copied(1_000_000, 900*time.Millisecond); text != "" {
		t.Errorf("%q after less than a second", text)
	}
	if text := copied(9_000_000, 1100*time.Millisecond); text != "big�[31m.iso   25%  10.0 MB  5.0 MB/s  0:06 left" {
		t.Errorf("%q", text)
	}
	if text := copied(1, 100*time.Millisecond); text != "" {
		t.Errorf("%q after a moment", text)
	}
	if text := copied(30_000_000-1, 10*time.Second); text != "big�[31m.iso  100%  40.0 MB  4.5 MB/s" {
		t.Errorf("%q", text)
	}
	out.Reset()
	m.end()
	if text := out.String(); text != "\r\x1b[2Kbig�[31m.iso  100%  40.0 MB  3.3 MB/s\n" {
		t.Errorf("%q", text)
	}
	m.begin("folder", 0)
	copied(1, 2*time.Second)
	if text := copied(999_999, time.Second); !strings.HasPrefix(text, "folder        1.0 MB  ") || strings.Contains(text, "left") {
		t.Errorf("%q", text)
	}
	quick := &meter{notes: &notes{out: &out}, now: time.Now}
	out.Reset()
	quick.begin("x", 1)
	quick.start = quick.start.Add(-time.Hour)
	_, _ = quick.Write([]byte("x"))
	if quick.end(); out.Len() > 0 {
		t.Errorf("%q where there is no terminal", out.String())
	}
}

// TestSizes are for people.
func TestSizes(t *testing.T) {
	for n, want := range map[float64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1234567: "1.2 MB", 5e9: "5.0 GB", 7e12: "7.0 TB"} {
		if have := size(n); have != want {
			t.Errorf("%v: %s", n, have)
		}
	}
	for d, want := range map[time.Duration]string{0: "0:00", 61 * time.Second: "1:01", 3*time.Hour + 61*time.Second: "3:01:01", 9999 * time.Hour: "99:00:00"} {
		if have := span(d); have != want {
			t.Errorf("%v: %s", d, have)
		}
	}
}
