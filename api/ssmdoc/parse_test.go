package ssmdoc

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shell is the smallest document of schema 2.2. source: userguide ("Schema version 2.2")
const shell = `{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runShellScript","name":"s","inputs":{"runCommand":["true"]}}]}`

// TestParseDocuments reads documents of every schema in both formats.
func TestParseDocuments(t *testing.T) {
	script := map[string]any{"runCommand": []any{"echo {{ who }}"}}
	who := Parameter{Name: "who", Type: "String", Default: "me", Description: "Whom to greet"}
	for _, tt := range []struct {
		name, format, content string
		want                  *Document
	}{{
		"schema 2.2 in JSON", JSON,
		`{"schemaVersion":"2.2","description":"Greets","parameters":{"who":{"type":"String","default":"me","description":"Whom to greet"}},
		  "mainSteps":[{"action":"aws:runShellScript","name":"greet","precondition":{"StringEquals":["platformType","Linux"]},"inputs":{"runCommand":["echo {{ who }}"]}}]}`,
		&Document{SchemaVersion: "2.2", Description: "Greets", Parameters: []Parameter{who}, Steps: []Step{{
			Action: "aws:runShellScript", Name: "greet", Inputs: []map[string]any{script},
			Precondition: map[string][]string{"StringEquals": {"platformType", "Linux"}},
		}}},
	}, {
		"schema 2.2 in YAML", YAML,
		"schemaVersion: '2.2'\ndescription: Greets\nparameters:\n  who: {type: String, default: me, description: Whom to greet}\n" +
			"mainSteps:\n- action: aws:runShellScript\n  name: greet\n  precondition:\n    StringEquals: [platformType, Linux]\n  inputs:\n    runCommand:\n    - echo {{ who }}\n",
		&Document{SchemaVersion: "2.2", Description: "Greets", Parameters: []Parameter{who}, Steps: []Step{{
			Action: "aws:runShellScript", Name: "greet", Inputs: []map[string]any{script},
			Precondition: map[string][]string{"StringEquals": {"platformType", "Linux"}},
		}}},
	}, {
		"schema 1.2 keeps the order of its plugins", JSON,
		`{"schemaVersion":"1.2","runtimeConfig":{
		  "aws:runShellScript":{"properties":[{"id":"0","runCommand":["a"]},{"id":"1","runCommand":["b"]}]},
		  "aws:runPowerShellScript":{"properties":{"runCommand":["c"]}},
		  "aws:downloadContent":{}}}`,
		&Document{SchemaVersion: "1.2", Steps: []Step{
			{Action: "aws:runShellScript", Name: "aws:runShellScript", Inputs: []map[string]any{{"id": "0", "runCommand": []any{"a"}}, {"id": "1", "runCommand": []any{"b"}}}},
			{Action: "aws:runPowerShellScript", Name: "aws:runPowerShellScript", Inputs: []map[string]any{{"runCommand": []any{"c"}}}},
			{Action: "aws:downloadContent", Name: "aws:downloadContent", Inputs: []map[string]any{{}}},
		}},
	}, {
		"schema 1.2 in YAML keeps it too", YAML,
		"schemaVersion: \"1.2\"\nruntimeConfig:\n  aws:runShellScript:\n    properties: {runCommand: [a]}\n  aws:downloadContent:\n    properties: '{{ p }}'\nparameters:\n  p: {type: StringMap}\n",
		&Document{SchemaVersion: "1.2", Parameters: []Parameter{{Name: "p", Type: "StringMap"}}, Steps: []Step{
			{Action: "aws:runShellScript", Name: "aws:runShellScript", Inputs: []map[string]any{{"runCommand": []any{"a"}}}},
			{Action: "aws:downloadContent", Name: "aws:downloadContent", Inputs: []map[string]any{{"properties": "{{ p }}"}}},
		}},
	}, {
		"a version that YAML takes for a number", YAML,
		"schemaVersion: 2.0\nmainSteps: [{action: aws:runDocument, name: n}]\n",
		&Document{SchemaVersion: "2.0", Steps: []Step{{Action: "aws:runDocument", Name: "n", Inputs: []map[string]any{nil}}}},
	}, {
		"parameters by alias", YAML,
		"common: &c\n  b: {type: String, default: x}\n  a: {type: Integer, default: 1}\nschemaVersion: '2.2'\nparameters: *c\nmainSteps: [{action: aws:runDocument, name: n}]\n",
		&Document{SchemaVersion: "2.2", Parameters: []Parameter{{Name: "b", Type: "String", Default: "x"}, {Name: "a", Type: "Integer", Default: 1.0}},
			Steps: []Step{{Action: "aws:runDocument", Name: "n", Inputs: []map[string]any{nil}}}},
	}, {
		"parameters by merging", YAML,
		"common: &c\n  b: {type: String, default: x}\nschemaVersion: '2.2'\nparameters:\n  a: {type: Integer, default: 1}\n  <<: *c\nmainSteps: [{action: aws:runDocument, name: n}]\n",
		&Document{SchemaVersion: "2.2", Parameters: []Parameter{{Name: "a", Type: "Integer", Default: 1.0}, {Name: "b", Type: "String", Default: "x"}},
			Steps: []Step{{Action: "aws:runDocument", Name: "n", Inputs: []map[string]any{nil}}}},
	}, {
		"a date is text", YAML,
		"schemaVersion: '2.2'\ndescription: 2001-12-14\nmainSteps: [{action: aws:runDocument, name: n}]\n",
		&Document{SchemaVersion: "2.2", Description: "2001-12-14", Steps: []Step{{Action: "aws:runDocument", Name: "n", Inputs: []map[string]any{nil}}}},
	}} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.content), tt.format)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestParseRefusals gives the sentence for everything that makes a document unfit. The sentences
// are ours.
func TestParseRefusals(t *testing.T) {
	step := func(members string) string { return `{"schemaVersion":"2.2","mainSteps":[{` + members + `}]}` }
	param := func(members string) string {
		return `{"schemaVersion":"2.2","parameters":{"p":{` + members + `}},"mainSteps":[{"action":"aws:runDocument","name":"n"}]}`
	}
	for _, tt := range []struct{ name, format, content, want string }{
		{"empty", JSON, "", "not valid JSON"},
		{"empty YAML", YAML, "", "must be an object"},
		{"list", JSON, "[]", "must be an object"},
		{"torn JSON", JSON, `{"schemaVersion":`, "not valid JSON"},
		{"JSON with a tail", JSON, shell + "{}", "something follows"},
		{"a name twice", JSON, `{"schemaVersion":"2.2","schemaVersion":"2.2"}`, "not valid JSON"},
		{"torn YAML", YAML, "a: [", "not valid YAML"},
		{"text", TEXT, "x", "JSON or YAML"},
		{"too long", JSON, shell + strings.Repeat(" ", MostContent), "larger than"},
		{"too deep", JSON, step(`"action":"aws:runDocument","name":"n","inputs":{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`), "nested too deeply"},
		{"no schema", JSON, `{}`, "schemaVersion"},
		{"newer schema", JSON, `{"schemaVersion":"3.0"}`, "schemaVersion \"3.0\""},
		{"automation", JSON, `{"schemaVersion":"0.3"}`, "schemaVersion \"0.3\""},
		{"no steps", JSON, `{"schemaVersion":"2.2"}`, "needs mainSteps"},
		{"no plugins", JSON, `{"schemaVersion":"1.2"}`, "needs runtimeConfig"},
		{"a step that is text", JSON, `{"schemaVersion":"2.2","mainSteps":["x"]}`, "mainSteps[0] must be an object"},
		{"a step without action", JSON, step(`"name":"n"`), "mainSteps[0] needs an action"},
		{"a step without name", JSON, step(`"action":"aws:runDocument"`), "mainSteps[0] needs a name"},
		{"a name used twice", JSON, `{"schemaVersion":"2.2","mainSteps":[{"action":"aws:runDocument","name":"n"},{"action":"aws:runDocument","name":"n"}]}`, "used more than once"},
		{"an unknown plugin", JSON, step(`"action":"aws:makeCoffee","name":"n"`), "not one that nodes know"},
		{"an unknown plugin of 1.2", JSON, `{"schemaVersion":"1.2","runtimeConfig":{"aws:makeCoffee":{}}}`, "not one that nodes know"},
		{"a plugin that is text", JSON, `{"schemaVersion":"1.2","runtimeConfig":{"aws:runShellScript":"x"}}`, "must be an object"},
		{"properties that are a number", JSON, `{"schemaVersion":"1.2","runtimeConfig":{"aws:runShellScript":{"properties":1}}}`, "list or an object"},
		{"inputs that are text", JSON, step(`"action":"aws:runDocument","name":"n","inputs":"x"`), "inputs of step n"},
		{"a precondition before 2.2", JSON, `{"schemaVersion":"2.0","mainSteps":[{"action":"aws:runDocument","name":"n","precondition":{"StringEquals":["platformType","Linux"]}}]}`, "Preconditions need schema 2.2"},
		{"another operator", JSON, step(`"action":"aws:runDocument","name":"n","precondition":{"StringLike":["platformType","Linux"]}`), "must be StringEquals"},
		{"one operand", JSON, step(`"action":"aws:runDocument","name":"n","precondition":{"StringEquals":["platformType"]}`), "must be StringEquals"},
		{"a number as operand", JSON, step(`"action":"aws:runDocument","name":"n","precondition":{"StringEquals":["platformType",1]}`), "must be strings"},
		{"a precondition that is a list", JSON, step(`"action":"aws:runDocument","name":"n","precondition":[]`), "must be an object"},
		{"an undeclared parameter", JSON, step(`"action":"aws:runDocument","name":"n","inputs":{"documentPath":"{{ x }}"}`), "parameter x, which the document does not declare"},
		{"parameters that are a list", JSON, `{"schemaVersion":"2.2","parameters":[]}`, "parameters must be an object"},
		{"a parameter that is text", JSON, `{"schemaVersion":"2.2","parameters":{"p":"String"}}`, "parameter p must be an object"},
		{"a parameter's bad name", JSON, `{"schemaVersion":"2.2","parameters":{"p-q":{"type":"String"}}}`, "letters and digits only"},
		{"a parameter's bad type", JSON, param(`"type":"Float"`), `the type "Float"`},
		{"a pattern that is none", JSON, param(`"type":"String","allowedPattern":"("`), "not a regular expression"},
		{"values that are no list", JSON, param(`"type":"String","allowedValues":"x"`), "must be a list"},
		{"a bound that is no number", JSON, param(`"type":"String","minChars":"x"`), "whole number"},
		{"a negative bound", JSON, param(`"type":"String","maxChars":-1`), "whole number"},
		{"a default that is not allowed", JSON, param(`"type":"String","default":"z","allowedValues":["a"]`), "which is not one of"},
		{"a default that does not match", JSON, param(`"type":"String","default":"z","allowedPattern":"^a$"`), "not matching"},
		{"a default that is too short", JSON, param(`"type":"String","default":"z","minChars":2`), "at least 2 characters"},
		{"a default of another type", JSON, param(`"type":"Integer","default":"z"`), "not of type Integer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.content), tt.format)
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("got %v (%T), want an *Error", err, err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want something with %q", err, tt.want)
			}
		})
	}
}

// TestReadIsLenient checks that a node gets as far as it can with documents that a server would
// refuse, and no further.
func TestReadIsLenient(t *testing.T) {
	content := `{"schemaVersion":"2.2","mainSteps":[
	  {"action":"aws:makeCoffee","name":"a","inputs":{"x":"{{ nobody }}"}},
	  {"action":"aws:runShellScript","name":"b","precondition":{"StringLike":["a","b"]}}]}`
	d, err := Read([]byte(content), JSON)
	if err != nil {
		t.Fatal(err)
	}
	want := []Step{
		{Action: "aws:makeCoffee", Name: "a", Inputs: []map[string]any{{"x": "{{ nobody }}"}}},
		{Action: "aws:runShellScript", Name: "b", Inputs: []map[string]any{nil}, Flaw: "The precondition of step b must be StringEquals with two operands"},
	}
	if diff := cmp.Diff(want, d.Steps); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if _, err := Read([]byte(shell+strings.Repeat(" ", MostContent)), JSON); err != nil {
		t.Errorf("a document that a conversion made longer: %v", err)
	}
	for _, content := range []string{`{"schemaVersion":"9"}`, `{"schemaVersion":"2.2"}`, `{"schemaVersion":"2.2","mainSteps":[{"name":"n"}]}`, shell + strings.Repeat(" ", mostConverted)} {
		if _, err := Read([]byte(content), JSON); err == nil {
			t.Errorf("Read took %.60s", content)
		}
	}
}

// TestPlatforms checks which platforms a document and its plugins are for.
func TestPlatforms(t *testing.T) {
	d, err := Parse([]byte(shell), JSON)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.PlatformTypes(); !slices.Equal(got, []string{"Linux", "MacOS"}) {
		t.Errorf("PlatformTypes = %v", got)
	}
	if !Known("aws:psModule") || Known("aws:makeCoffee") {
		t.Error("Known is wrong")
	}
	if RunsOn("aws:psModule", "Linux") || !RunsOn("aws:psModule", "Windows") {
		t.Error("RunsOn is wrong")
	}
}

// FuzzParse feeds the parser what a stranger might: it must neither panic nor take more than its
// bounds, its errors must be in our words, and what it accepts must survive the other format.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		shell, "{}", "[]", "a: *b", "a: &a [*a]", "schemaVersion: 2.2\nmainSteps: [{action: 'aws:runShellScript', name: x}]",
		`{"schemaVersion":"1.2","runtimeConfig":{"aws:runShellScript":{"properties":"{{ p }}"}},"parameters":{"p":{"type":"StringMap"}}}`,
		"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]",
		"schemaVersion: '2.2'\nx: {<<: {a: 1}, b: !!binary aGk=, c: 2001-12-14, d: .inf, e: 0x10, f: 18446744073709551615}\nmainSteps: [{action: aws:runDocument, name: n}]",
	} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, content []byte, inYAML bool) {
		format, other := JSON, YAML
		if inYAML {
			format, other = YAML, JSON
		}
		d, err := Parse(content, format)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%T: %v", err, err)
			}
		}
		converted, cerr := Convert(content, format, other)
		if err != nil {
			return
		}
		if cerr != nil {
			t.Fatalf("Convert refuses what Parse takes: %v", cerr)
		}
		again, err := parseConverted(converted, other)
		if err != nil {
			t.Fatalf("the converted document is refused: %v\n%s", err, converted)
		}
		if diff := cmp.Diff(d, again); diff != "" {
			t.Fatalf("conversion changed the document (-before +after)\n%s\n%s", diff, converted)
		}
	})
}

// parseConverted parses a document that may have grown beyond the bound by being converted.
func parseConverted(content []byte, format string) (*Document, error) {
	d, err := read(content, format, mostConverted+MostContent)
	if err != nil {
		return nil, err
	}
	return d, d.placeholders()
}
