package session

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestSplit takes command lines apart. source: agent, whose lexer this follows
func TestSplit(t *testing.T) {
	for line, want := range map[string][]string{
		"a b":                      {"a", "b"},
		" a\t b\r\n":               {"a", "b"},
		`a 'b "c' "d 'e" f\ g`:     {"a", `b "c`, `d 'e`, "f g"},
		`"a\"b\\" 'c\d' e"f"g`:     {`a"b\`, `c\d`, "efg"},
		"'' a \"\"":                {"", "a", ""},
		"a | b; $(c) > d &":        {"a", "|", "b;", "$(c)", ">", "d", "&"},
		"a # b\nc d#e":             {"a", "c", "d#e"},
		"sh -c 'x=1; echo \"$x\"'": {"sh", "-c", `x=1; echo "$x"`},
		"":                         nil, "# only a comment": nil, `"a`: nil, "'a": nil, `a\`: nil,
	} {
		if got, err := split(line); !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %q, %v", line, got, err)
		}
	}
}

// TestDenied looks for addresses that are denied, in all their forms. source: agent
func TestDenied(t *testing.T) {
	reserved := Reserved(netip.MustParsePrefix("10.1.2.0/23"))
	if got := fmt.Sprint(reserved); got != "[10.1.2.0 10.1.2.1 10.1.2.2 10.1.2.3 10.1.3.255]" {
		t.Errorf("%s", got)
	}
	if got := Reserved(netip.MustParsePrefix("fd00::/64")); got[4] != netip.MustParseAddr("fd00::ffff:ffff:ffff:ffff") {
		t.Errorf("%v", got)
	}
	for host, forbidden := range map[string]bool{
		"169.254.169.254": true, "::ffff:169.254.169.254": true, "64:ff9b::a9fe:a9fe": true, "fd00:ec2::254": true, "169.254.169.253": true, "10.1.2.2": true, "10.1.3.255": true,
		"64:ff9b::10.1.2.2": true, "64:ff9b:1::a9fe:a9fe": true, "64:ff9b:1:2:3:4:a9fe:a9fe": true, "64:ff9b:1:a9fe:a9:fe00::": true, "64:ff9b:1:2a9:fe:a9fe::": true, "64:ff9b:1:2:a9:fea9:fe00::": true,
		"64:ff9b:1::a9fe:a901": false, "64:ff9b:2::a9fe:a9fe": false, "64:ff9b::1:a9fe:a9fe": false,
		"169.254.169.1": false, "127.0.0.1": false, "::1": false, "10.1.2.4": false,
	} {
		if _, err := target(t.Context(), host, reserved); (err != nil) != forbidden {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// TestRunes writes whole characters whatever the pieces are. source: agent
func TestRunes(t *testing.T) {
	text := "aé世🌍\xff\xe4\xb8b\xf0\x9f\x8c"
	for size := 1; size <= len(text); size++ {
		var got strings.Builder
		r := &runes{to: &got}
		for part := range slices.Chunk([]byte(text), size) {
			if _, err := r.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if strings.HasSuffix(got.String(), "\xf0\x9f\x8c") {
			t.Errorf("%d: the beginning of a character was written", size)
		}
		if err := r.flush(); err != nil || got.String() != text {
			t.Errorf("%d: %q, %v", size, got.String(), err)
		}
	}
}

// TestPrefixed writes prefixes where the official agent does: not inside of what is written at a time. source: agent
func TestPrefixed(t *testing.T) {
	var got strings.Builder
	w := &prefixed{to: &got, prefix: "O:"}
	for _, p := range []string{"a\nb\n", "", "c", "d\n", "e\n"} {
		if _, err := w.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	if got.String() != "O:a\nb\nO:cd\nO:e\n" {
		t.Errorf("%q", got.String())
	}
}
