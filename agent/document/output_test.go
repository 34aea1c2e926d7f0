package document

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// TestCut shortens streams at the byte where the official agent does. source: agent
func TestCut(t *testing.T) {
	for _, n := range []int{0, 1, mostStream - 1} {
		text := strings.Repeat("x", n)
		if got := Cut(text, mostStream); got != text {
			t.Errorf("%d bytes were cut to %d", n, len(got))
		}
	}
	for _, n := range []int{mostStream, mostStream + 1, 10 * mostStream} {
		got := Cut(strings.Repeat("x", n), mostStream)
		if want := strings.Repeat("x", 23980) + "--output truncated--"; got != want {
			t.Errorf("%d bytes were cut to %d ending in %q", n, len(got), got[len(got)-30:])
		}
	}
	if got := Cut(strings.Repeat("€", mostStream), mostStream); !utf8.ValidString(got) || len(got) > mostStream || len(got) < mostStream-2 {
		t.Errorf("a character was torn: %d bytes, %q", len(got), got[len(got)-30:])
	}
	if got := Cut(strings.Repeat("\x80", mostStream), mostStream); len(got) != mostStream {
		t.Errorf("bytes that are no text were cut to %d", len(got))
	}
}

// TestCombine puts streams together in 2500 bytes. source: agent
func TestCombine(t *testing.T) {
	x, y := func(n int) string { return strings.Repeat("x", n) }, func(n int) string { return strings.Repeat("y", n) }
	const title, out, end = "\n----------ERROR-------\n", "\n---Output truncated---", "\n---Error truncated----"
	room := 2500 - len(title)
	for _, tt := range []struct{ name, stdout, stderr, want string }{
		{"nothing", "", "", ""},
		{"output", "a\n", "", "a\n"},
		{"errors", "", "b", title + "b"},
		{"both", "a\n", "b", "a\n" + title + "b"},
		{"just enough", x(2499), "", x(2499)},
		{"one too many", x(2500), "", x(2500-len(out)) + out},
		{"much output", x(9000), "b", x(room-len(out)-1) + out + title + "b"},
		{"many errors", "a", y(9000), "a" + title + y(room-len(end)-1) + end},
		{"both too much", x(9000), y(9000), x((room-len(out)-len(end))/2) + out + title + y((room-len(out)-len(end))/2) + end},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := combine(tt.stdout, tt.stderr)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if len(got) > mostOutput {
				t.Errorf("%d bytes", len(got))
			}
		})
	}
}

// FuzzCombine never exceeds its room nor makes bad characters of good ones.
func FuzzCombine(f *testing.F) {
	f.Add("a", "b", 1)
	f.Add("€", "ü", 2000)
	f.Fuzz(func(t *testing.T, a, b string, n int) {
		a, b = strings.Repeat(a, max(0, min(n, 3000))), strings.Repeat(b, max(0, min(n, 3000)))
		got := combine(a, b)
		if len(got) > mostOutput || utf8.ValidString(a) && utf8.ValidString(b) && !utf8.ValidString(got) {
			t.Errorf("%d bytes, valid: %v", len(got), utf8.ValidString(got))
		}
	})
}
