package cmd

import (
	"strings"
	"testing"
	"testing/synctest"
)

// TestEscapes takes what is typed in pieces of every size. source: aws's plugin has no escape key; ssh(1), "ESCAPE CHARACTERS"
func TestEscapes(t *testing.T) {
	for _, c := range []struct{ key, typed, sent string }{
		{"~", "ls\r", "ls\r"},
		{"~", "~.", "[end]"},
		{"~", "ls\r~.more", "ls\r[end]more"},
		{"~", "cd ~.\r", "cd ~.\r"},
		{"~", "~~.\r", "~.\r"},
		{"~", "~/bin/x\r~", "~/bin/x\r"},
		{"~", "~?~.", "[help][end]"},
		{"~", "\r~\x1als", "\r[suspend]ls"},
		{"~", "ä\n~?ö", "ä\n[help]ö"},
		{"^]", "\x1d.", "[end]"},
		{"^]", "~.", "~."},
		{"none", "\r~.", "\r~."},
	} {
		for piece := 1; piece <= len(c.typed); piece++ {
			e, err := newEscapes(c.key)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for at := 0; at < len(c.typed); at += piece {
				for rest := []byte(c.typed[at:min(at+piece, len(c.typed))]); len(rest) > 0; {
					var send []byte
					var do deed
					send, do, rest = e.next(rest)
					got.Write(send)
					got.WriteString(map[deed]string{deedNone: "", deedEnd: "[end]", deedHelp: "[help]", deedSuspend: "[suspend]"}[do])
				}
			}
			if got.String() != c.sent {
				t.Errorf("%s: %q in pieces of %d: %q, not %q", c.key, c.typed, piece, got.String(), c.sent)
			}
		}
	}
	for _, wrong := range []string{"", "~~", "^1", "ä", " "} {
		if _, err := newEscapes(wrong); err == nil {
			t.Errorf("%q is an escape key", wrong)
		}
	}
	if e, _ := newEscapes("^]"); !strings.Contains(e.help(), "^].  ") {
		t.Errorf("the help names another key:\n%s", e.help())
	}
}

// TestTypeahead keeps the order, gives what waits at once, and has room for a megabyte.
func TestTypeahead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		typed, added := newTypeahead(), 0
		go func() {
			for range 4 {
				typed.add(make([]byte, mostTyped/2))
				added++
			}
			typed.add([]byte("z"))
			typed.end()
		}()
		synctest.Wait()
		if added != 3 {
			t.Errorf("%d pieces were taken by nobody", added)
		}
		total, last := 0, byte(0)
		for {
			b := typed.take(mostKeys)
			if len(b) == 0 {
				break
			}
			if len(b) > mostKeys {
				t.Errorf("%d bytes at once", len(b))
			}
			total, last = total+len(b), b[len(b)-1]
		}
		if total != 2*mostTyped+1 || last != 'z' {
			t.Errorf("%d bytes, the last is %q", total, last)
		}
		typed.add([]byte("nobody takes it")) // it does not wait
	})
}
