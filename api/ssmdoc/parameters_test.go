package ssmdoc

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// declare makes a document with the one parameter p, declared by members.
func declare(t *testing.T, members string) *Document {
	t.Helper()
	d, err := Parse([]byte(`{"schemaVersion":"2.2","parameters":{"p":{`+members+`}},"mainSteps":[{"action":"aws:runDocument","name":"n"}]}`), JSON)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestResolveValues gives values of every type as SendCommand does, as lists of texts.
func TestResolveValues(t *testing.T) {
	for _, tt := range []struct {
		name, parameter string
		given           []string // nil is not given
		want            any
	}{
		{"String", `"type":"String"`, []string{"a"}, "a"},
		{"String stays as it is", `"type":"String"`, []string{" {\"a\":1} "}, ` {"a":1} `},
		{"empty String", `"type":"String"`, []string{""}, ""},
		{"String by default", `"type":"String","default":"d"`, nil, "d"},
		{"String by a number as default", `"type":"String","default":3600`, nil, "3600"},
		{"String by a boolean as default", `"type":"String","default":false`, nil, "false"},
		{"empty default", `"type":"String","default":""`, nil, ""},
		{"StringList", `"type":"StringList"`, []string{"a", "b"}, []any{"a", "b"}},
		{"StringList of one that looks like JSON", `"type":"StringList"`, []string{`["a"]`}, []any{`["a"]`}},
		{"empty StringList", `"type":"StringList"`, []string{}, []any{}},
		{"StringList by default", `"type":"StringList","default":["a",1]`, nil, []any{"a", "1"}},
		{"StringList by a text as default", `"type":"StringList","default":"a"`, nil, []any{"a"}},
		{"StringList by JSON as default", `"type":"StringList","default":"[\"a\",\"b\"]"`, nil, []any{"a", "b"}},
		{"Boolean", `"type":"Boolean"`, []string{"true"}, true},
		{"Boolean by default", `"type":"Boolean","default":false`, nil, false},
		{"Integer", `"type":"Integer"`, []string{"-7"}, -7.0},
		{"Integer by default", `"type":"Integer","default":0`, nil, 0.0},
		{"StringMap", `"type":"StringMap"`, []string{`{"a":"b"}`}, map[string]any{"a": "b"}},
		{"StringMap by default", `"type":"StringMap","default":{}`, nil, map[string]any{}},
		{"MapList", `"type":"MapList"`, []string{`[{"a":1}]`}, []any{map[string]any{"a": 1.0}}},
		{"MapList of several texts", `"type":"MapList"`, []string{`{"a":1}`, `{"b":2}`}, []any{map[string]any{"a": 1.0}, map[string]any{"b": 2.0}}},
		{"MapList of one map", `"type":"MapList"`, []string{`{"a":1}`}, []any{map[string]any{"a": 1.0}}},
		{"within the characters", `"type":"String","minChars":2,"maxChars":3`, []string{"äöü"}, "äöü"},
		{"within the items", `"type":"StringList","minItems":1,"maxItems":"2"`, []string{"a", "b"}, []any{"a", "b"}},
		{"an allowed value", `"type":"String","allowedValues":["a","b"]`, []string{"b"}, "b"},
		{"allowed values of a list", `"type":"StringList","allowedValues":["a","b"]`, []string{"b", "a"}, []any{"b", "a"}},
		{"an allowed number", `"type":"Integer","allowedValues":[1,2]`, []string{"2"}, 2.0},
		{"an allowed number written as text", `"type":"Integer","allowedValues":["1","2"]`, []string{"2"}, 2.0},
		{"a pattern", `"type":"String","allowedPattern":"^[a-z]+$"`, []string{"abc"}, "abc"},
		{"a pattern that looks ahead", `"type":"String","allowedPattern":"^(?!root).*$"`, []string{"user"}, "user"},
		{"a reference escapes the pattern", `"type":"String","allowedPattern":"^[a-z]+$"`, []string{"{{ ssm:/a/b }}"}, "{{ ssm:/a/b }}"},
		{"a reference escapes the other bounds", `"type":"StringList","minItems":2,"maxChars":3,"allowedValues":["a"]`, []string{"{{ ssm:list }}"}, []any{"{{ ssm:list }}"}},
		{"a reference beside other text", `"type":"String","allowedPattern":"^[a-z]+$"`, []string{"x{{ssm:a}}"}, "x{{ssm:a}}"},
		{"a reference with more spaces", `"type":"String","allowedPattern":"^[a-z]+$"`, []string{"{{   ssm:/a/b }}"}, "{{   ssm:/a/b }}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			given := map[string][]string{}
			if tt.given != nil {
				given["p"] = tt.given
			}
			got, err := declare(t, tt.parameter).Resolve(given)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]any{"p": tt.want}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestResolveRefusals breaks each bound of a declaration.
func TestResolveRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, parameter string
		given           map[string][]string
		want            string
	}{
		{"missing", `"type":"String"`, nil, "Parameter p is required"},
		{"unknown", `"type":"String","default":"d"`, map[string][]string{"q": {"x"}}, "Parameter q is not defined in the document"},
		{"two values for one", `"type":"String"`, map[string][]string{"p": {"a", "b"}}, "exactly one value"},
		{"no value for one", `"type":"String"`, map[string][]string{"p": {}}, "exactly one value"},
		{"a number that is none", `"type":"Integer"`, map[string][]string{"p": {"x"}}, "not of type Integer"},
		{"a broken number", `"type":"Integer"`, map[string][]string{"p": {"1.5"}}, "not of type Integer"},
		{"a boolean that is none", `"type":"Boolean"`, map[string][]string{"p": {"yes"}}, "not of type Boolean"},
		{"a quoted boolean", `"type":"Boolean"`, map[string][]string{"p": {`"true"`}}, "not of type Boolean"},
		{"a map that is none", `"type":"StringMap"`, map[string][]string{"p": {"[]"}}, "not of type StringMap"},
		{"a list of no maps", `"type":"MapList"`, map[string][]string{"p": {"[1]"}}, "list of maps"},
		{"texts that are no maps", `"type":"MapList"`, map[string][]string{"p": {"{}", "x"}}, "list of maps"},
		{"too short", `"type":"String","minChars":2`, map[string][]string{"p": {"ä"}}, "at least 2 characters"},
		{"too long", `"type":"String","maxChars":2`, map[string][]string{"p": {"abc"}}, "at most 2 characters"},
		{"an item too long", `"type":"StringList","maxChars":2`, map[string][]string{"p": {"a", "abc"}}, "at most 2 characters"},
		{"too few", `"type":"StringList","minItems":1`, map[string][]string{"p": {}}, "at least 1 items"},
		{"too many", `"type":"StringList","maxItems":1`, map[string][]string{"p": {"a", "b"}}, "at most 1 items"},
		{"not allowed", `"type":"String","allowedValues":["a"]`, map[string][]string{"p": {"b"}}, "which is not one of"},
		{"one not allowed", `"type":"StringList","allowedValues":["a"]`, map[string][]string{"p": {"a", "b"}}, "which is not one of"},
		{"no match", `"type":"String","allowedPattern":"^a$"`, map[string][]string{"p": {"b"}}, "not matching"},
		{"one no match", `"type":"StringList","allowedPattern":"^a$"`, map[string][]string{"p": {"a", "b"}}, "not matching"},
		{"a pattern without end", `"type":"String","allowedPattern":"^(a+)+$"`, map[string][]string{"p": {strings.Repeat("a", 60) + "b"}}, "not matching"},
		{"what only looks like a reference", `"type":"String","allowedPattern":"^[a-z]+$"`, map[string][]string{"p": {"$(reboot) {{ssm:}}"}}, "not matching"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := declare(t, tt.parameter).Resolve(tt.given)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something with %q", err, tt.want)
			}
		})
	}
}

// TestTypedValues gives values that have types already, as a document that runs another does.
func TestTypedValues(t *testing.T) {
	for _, tt := range []struct {
		name, parameter string
		given           any
		want            any
		refusal         string
	}{
		{"String", `"type":"String"`, "a", "a", ""},
		{"a number for a String", `"type":"String"`, 5.0, "5", ""},
		{"a boolean for a String", `"type":"String"`, true, "true", ""},
		{"a list for a String", `"type":"String"`, []any{"a"}, nil, "not of type String"},
		{"StringList", `"type":"StringList"`, []any{"a", 1.0}, []any{"a", "1"}, ""},
		{"JSON for a StringList", `"type":"StringList"`, `["a","b"]`, []any{"a", "b"}, ""},
		{"a text for a StringList", `"type":"StringList"`, "a", []any{"a"}, ""},
		{"a text that begins like JSON", `"type":"StringList"`, "[ -f x ] && true", []any{"[ -f x ] && true"}, ""},
		{"a text for a Boolean", `"type":"Boolean"`, "false", false, ""},
		{"a text for an Integer", `"type":"Integer"`, "12", 12.0, ""},
		{"a huge Integer", `"type":"Integer"`, 1e300, nil, "not of type Integer"},
		{"JSON for a StringMap", `"type":"StringMap"`, `{"a":"b"}`, map[string]any{"a": "b"}, ""},
		{"a null takes the default", `"type":"String","default":"d"`, nil, "d", ""},
		{"a null without default", `"type":"String"`, nil, nil, "required"},
		{"out of bounds", `"type":"String","maxChars":1`, "ab", nil, "at most 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := declare(t, tt.parameter).Typed(map[string]any{"p": tt.given})
			if tt.refusal != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refusal) {
					t.Fatalf("got %v, want something with %q", err, tt.refusal)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]any{"p": tt.want}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if _, err := declare(t, `"type":"String"`).Typed(map[string]any{"p": "x", "q": "y"}); err == nil {
		t.Error("an undeclared parameter was taken")
	}
}

// TestSortedNames gives names in order, whatever the document's order is.
func TestSortedNames(t *testing.T) {
	d := &Document{Parameters: []Parameter{{Name: "b"}, {Name: "a"}}}
	if diff := cmp.Diff([]string{"a", "b"}, d.SortedNames()); diff != "" {
		t.Error(diff)
	}
}
