package ssmdoc

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSubstitute puts values of every type into steps.
func TestSubstitute(t *testing.T) {
	values := map[string]any{
		"s": "text", "l": []any{"a", "b"}, "m": map[string]any{"k": "v"}, "b": true, "n": 3600.0, "e": "",
		"money": "$1 $$2", "inner": "{{ s }}", "lt": "a<b>&c",
	}
	for _, tt := range []struct {
		name     string
		in, want any
	}{
		{"no placeholder", "plain", "plain"},
		{"a whole text", "{{ s }}", "text"},
		{"without spaces", "{{s}}", "text"},
		{"with other spaces", "{{\t s\n}}", "text"},
		{"a whole list", "{{ l }}", []any{"a", "b"}},
		{"a whole map", "{{ m }}", map[string]any{"k": "v"}},
		{"a whole boolean", "{{ b }}", true},
		{"a whole number", "{{ n }}", 3600.0},
		{"a whole empty text", "{{ e }}", ""},
		{"within text", "x {{ s }} y {{s}}", "x text y text"},
		{"a list within text", "x {{ l }}", `x ["a","b"]`},
		{"a map within text", "x {{ m }}", `x {"k":"v"}`},
		{"a boolean within text", "x {{ b }}", "x true"},
		{"a number within text", "sleep {{ n }}", "sleep 3600"},
		{"two placeholders and nothing else", "{{ s }}{{ s }}", "texttext"},
		{"a value is not searched again", "x {{ inner }}", "x {{ s }}"},
		{"a whole value is not searched either", "{{ inner }}", "{{ s }}"},
		{"dollars in a whole value", "{{ money }}", "$1 $$2"},
		{"dollars within text", "x {{ money }}", "x $1 $2"}, // source: agent
		{"characters that HTML escapes", "x {{ lt }}", "x a<b>&c"},
		{"an unknown name", "x {{ nobody }} {{ s }}", "x {{ nobody }} text"},
		{"an unknown whole name", "{{ nobody }}", "{{ nobody }}"},
		{"a reference to a stored parameter", "{{ ssm:name }}", "{{ ssm:name }}"},
		{"other braces", "awk '{{print $1}}' ${x} {{ s }}", "awk '{{print $1}}' ${x} text"},
		{"deep inside", map[string]any{"a": []any{map[string]any{"b": "{{ s }}"}, 1.0, nil}}, map[string]any{"a": []any{map[string]any{"b": "text"}, 1.0, nil}}},
		{"names are left alone", map[string]any{"{{ s }}": "x"}, map[string]any{"{{ s }}": "x"}},
		{"a number", 1.0, 1.0},
		{"nothing", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Substitute(tt.in, values)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestSubstituteCopies checks that the document is left as it was.
func TestSubstituteCopies(t *testing.T) {
	in := map[string]any{"a": []any{"{{ s }}"}, "b": map[string]any{"c": "{{ s }}"}}
	Substitute(in, map[string]any{"s": "x"})
	want := map[string]any{"a": []any{"{{ s }}"}, "b": map[string]any{"c": "{{ s }}"}}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Errorf("the input changed (-want +got)\n%s", diff)
	}
}
