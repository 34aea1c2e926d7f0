package wire

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api/model"
)

// patterned are all shapes of the vocabulary that have a pattern, one a pattern.
func patterned() map[string]*shape {
	found, done := map[string]*shape{}, map[*shape]bool{}
	var walk func(s *shape)
	walk = func(s *shape) {
		if s == nil || done[s] {
			return
		}
		done[s] = true
		if s.Pattern != "" {
			found[s.Pattern] = s
		}
		for _, m := range s.members {
			walk(m.shape)
		}
		walk(s.elem)
		walk(s.key)
	}
	for _, svc := range bindings() {
		for _, op := range svc.operations {
			walk(op.in())
			walk(op.out())
		}
	}
	return found
}

// TestEveryPatternCompiles compiles all patterns of the vocabulary, which is otherwise done when one
// is first needed, and holds each to time in proportion to the value, however nasty.
func TestEveryPatternCompiles(t *testing.T) {
	regular, others := 0, 0
	for pattern, s := range patterned() {
		match := s.pattern()
		if _, err := regexp.Compile(javaEscape.ReplaceAllString(pattern, `\x{$1}`)); err == nil {
			regular++
			continue
		}
		others++
		for _, part := range []string{"a", " ", "0", "-", "1234-", "a-", "https://", ".s3.amazonaws.com/", "\n", "é"} {
			value := strings.Repeat(part, 200_000/len(part))
			begin := time.Now()
			match(value)
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("%s took %v for %d bytes of %q", pattern, took, len(value), part)
			}
		}
	}
	t.Logf("%d regular patterns, %d others", regular, others)
	if regular < 120 || others < 6 {
		t.Errorf("%d regular patterns, %d others", regular, others)
	}
}

// TestPatterns holds what the patterns that RE2 has not mean in Java. source: model
func TestPatterns(t *testing.T) {
	for pattern, values := range map[string]map[string]bool{
		`^(?!\s*$).+`: {"a": true, " a ": true, "": false, " ": false, " \t": false, "a\nb": false, "\na": false},
		`^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$`: {"abc": true, "a-b": true, "a--b": false, "-ab": false, "ab-": false, "ab": false, "abc\n": false, strings.Repeat("a", 63): true, strings.Repeat("a", 64): false},
		`^.{1,100000}$`:                               {"a": true, "": false, strings.Repeat("a", 100000): true, strings.Repeat("a", 100001): false},
		`(?!^[0-9]+$)([a-zA-Z0-9\-_' ']+)`:            {"a1": true, "12": false, "1-2": true, "": false, "ä": false},
		`[\u0009\u000A\u000D\u0020-\u00FF]+`:          {"a\tb\r\n": true, "ÿ": true, "Ā": false, "\x00": false, "": false},
		`[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00\t]*`: {"a\t日": true, "\x01": false},
		`a|ab`: {"a": true, "ab": true, "b": false}, // the whole value must match, not its beginning
	} {
		match := compile(pattern)
		for value, want := range values {
			if match(value) != want {
				t.Errorf("%s matches %.20q: %v", pattern, value, !want)
			}
		}
	}
}

// TestUnknownTypes holds that a model with a type that no codec knows does not pass for a structure.
func TestUnknownTypes(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it was bound")
		}
	}()
	m := *modelOf("sts")
	m.Shapes = map[string]*model.Shape{"X": {Type: "document"}}
	(&binder{model: &m, done: map[bound]*shape{}}).bind("X", reflect.TypeFor[string]())
}
