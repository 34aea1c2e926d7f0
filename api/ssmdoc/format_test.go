package ssmdoc

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
)

// TestConvertDocuments converts both ways, keeping the order of members.
func TestConvertDocuments(t *testing.T) {
	for _, tt := range []struct{ name, from, in, to, want string }{
		{"to the same", JSON, `{"b": 1}`, JSON, `{"b": 1}`},
		{"JSON to YAML", JSON, `{"b":1,"a":[true,null,"x","1","true","",1.5],"c":{},"d":[]}`, YAML,
			"b: 1\na:\n  - true\n  - null\n  - x\n  - \"1\"\n  - \"true\"\n  - \"\"\n  - 1.5\nc: {}\nd: []\n"},
		{"YAML to JSON", YAML, "b: 1\na: [x, yes, 0x1F, 1e3, ~, 2001-12-14, !!binary aGk=, 18446744073709551615]\n", JSON,
			`{"b":1,"a":["x","yes",31,1000,null,"2001-12-14","aGk=",18446744073709551615]}`},
		{"a script", JSON, `{"s":"#!/bin/sh\n\techo \"$HOME\"\n"}`, YAML, "s: |\n  #!/bin/sh\n  \techo \"$HOME\"\n"},
		{"aliases", YAML, "a: &x [1]\nb: *x\n", JSON, `{"a":[1],"b":[1]}`},
		{"merges", YAML, "a: &x {p: 1, q: 2}\nb: {r: 0, <<: *x, q: 3}\nc: {<<: [{p: 4}, *x]}\n", JSON,
			`{"a":{"p":1,"q":2},"b":{"r":0,"p":1,"q":3},"c":{"p":4,"q":2}}`},
		{"nothing", YAML, "", JSON, "null"},
		{"names that are not text in YAML", YAML, "1: a\ntrue: b\n~: c\n", JSON, `{"1":"a","true":"b","~":"c"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Convert([]byte(tt.in), tt.from, tt.to)
			if err != nil {
				t.Fatal(err)
			}
			if tt.to == JSON && tt.from != JSON {
				got = []byte(strings.NewReplacer("\n", "", " ", "").Replace(string(got)))
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestConvertRefusals converts what cannot be.
func TestConvertRefusals(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'i'; c++ {
		bomb += strings.ReplaceAll("Y: &Y [*X,*X,*X,*X,*X,*X,*X,*X,*X,*X]\n", "X", string(c-1))
		bomb = strings.ReplaceAll(bomb, "Y", string(c))
	}
	mergeBomb := "a: &a {x: 1}\n"
	for c := 'b'; c < 'z'; c++ {
		mergeBomb += strings.NewReplacer("Y", string(c), "X", string(c-1)).Replace("Y: &Y {<<: [*X, *X, *X, *X]}\n")
	}
	for _, tt := range []struct{ name, from, in, want string }{
		{"torn JSON", JSON, `{"a"`, "not valid JSON"},
		{"JSON with a tail", JSON, `{} x`, "something follows"},
		{"a name twice in JSON", JSON, `{"a":1,"a":2}`, "not valid JSON"},
		{"torn YAML", YAML, "[", "not valid YAML"},
		{"a name twice in YAML", YAML, "a: 1\na: 2\n", "not valid YAML"},
		{"a list as a name", YAML, "[a]: 1\n", "names of an object"},
		{"infinity", YAML, "a: .inf\n", ".inf has no place"},
		{"an anchor in itself", YAML, "a: &a [*a]\n", "nested too deeply"},
		{"a mapping merged into itself", YAML, "a: &a {<<: *a}\n", "nested too deeply"},
		{"a merged text", YAML, "a: {<<: x}\n", "only objects can be merged"},
		{"many anchors", YAML, bomb, "too often"},
		{"many merges", YAML, mergeBomb, "too often"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := YAML
			if tt.from == YAML {
				to = JSON
			}
			_, err := Convert([]byte(tt.in), tt.from, to)
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("got %v (%T), want an *Error", err, err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want something with %q", err, tt.want)
			}
		})
	}
}

// FuzzConvert takes JSON to YAML and back: it must mean the same.
func FuzzConvert(f *testing.F) {
	for _, seed := range []string{shell, `{"a":[1,1.5,-0,1e300,true,null,"x","y\n","\tz"," q ","#","- a","\u0000\u0085\u2028\ufeff\r\n"]}`, `{"<<":{"a":1}}`, `{"1":"2001-12-14","~":"0x10","y":"no"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		var before, after any
		if json.Unmarshal(content, &before) != nil || depth(before, 0) > deepest {
			return
		}
		middle, err := Convert(content, JSON, YAML)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Convert(middle, YAML, JSON)
		if err != nil {
			t.Fatalf("%v\n%s", err, middle)
		}
		if err := json.Unmarshal(back, &after); err != nil {
			t.Fatalf("%v\n%s", err, back)
		}
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatalf("(-before +after)\n%s\n%q", diff, middle)
		}
	})
}
