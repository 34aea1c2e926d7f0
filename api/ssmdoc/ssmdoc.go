// Package ssmdoc is the vocabulary of Command documents: their schemas (1.2, 2.0 and 2.2), their
// parameters, and how parameters are put into steps. The server checks documents and parameters
// with it before anything is sent; the agent runs what the same code made of them.
package ssmdoc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MostContent is the largest document, in bytes. source: userguide, quotas
const MostContent = 64 << 10

// deepest is how far a document may nest.
const deepest = 32

// Formats of content.
const (
	JSON = "JSON"
	YAML = "YAML"
	TEXT = "TEXT"
)

// Document is a parsed Command document.
type Document struct {
	SchemaVersion string
	Description   string
	Parameters    []Parameter // in the document's order
	Steps         []Step
}

// Step is one step: an entry of mainSteps, or a plugin of runtimeConfig.
type Step struct {
	Action string // the plugin: aws:runShellScript, …
	Name   string // the key of the step's results: its name, or in 1.x the plugin
	// Inputs are the inputs of a 2.x step, or each of the properties of a 1.x plugin.
	Inputs       []map[string]any
	Precondition map[string][]string // 2.2: operator -> operands
	Flaw         string              // why the precondition cannot be judged; "" when it can
}

// Error is a document or parameter that is not as it should be.
type Error struct{ Message string }

// Error is the message.
func (e *Error) Error() string { return e.Message }

// errorf makes an Error.
func errorf(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// schemas are the schema versions of Command documents that agents take.
var schemas = []string{"1.0", "1.2", "2.0", "2.0.1", "2.0.2", "2.0.3", "2.2"}

// Parse reads a Command document and checks that it is whole: a known schema, steps with plugins
// and unique names, well-formed parameters, no placeholder without a parameter. The error is an
// *Error.
func Parse(content []byte, format string) (*Document, error) {
	d, err := read(content, format, MostContent)
	if err != nil {
		return nil, err
	}
	for _, s := range d.Steps {
		if !Known(s.Action) {
			return nil, errorf("The action %s of step %s is not one that nodes know", s.Action, s.Name)
		}
		if s.Flaw != "" {
			return nil, errorf("%s", s.Flaw)
		}
	}
	return d, d.placeholders()
}

// Read reads a Command document as a node does, which may come from a server that knows more than
// we do: an unknown plugin, an odd precondition or a placeholder without a parameter is a matter of
// the one step that has it. The document may be as long as a conversion can make it. The error is
// an *Error.
func Read(content []byte, format string) (*Document, error) {
	return read(content, format, mostConverted)
}

// read reads a Command document of bounded size and checks what both sides insist on.
func read(content []byte, format string, most int) (*Document, error) {
	content, err := bounded(content, format, most)
	if err != nil {
		return nil, err
	}
	root, err := object(content)
	if err != nil {
		return nil, err
	}
	d := new(Document)
	if d.SchemaVersion, err = textOf(root, "schemaVersion"); err != nil {
		return nil, err
	}
	if len(d.SchemaVersion) == 1 {
		d.SchemaVersion += ".0" // an unquoted 2.0 is the number 2
	}
	if !slices.Contains(schemas, d.SchemaVersion) {
		return nil, errorf("The document's schemaVersion %q is not one of %v", d.SchemaVersion, schemas)
	}
	if d.Description, err = textOf(root, "description"); err != nil {
		return nil, err
	}
	if d.Parameters, err = parameters(root, content); err != nil {
		return nil, err
	}
	if d.SchemaVersion[0] == '1' {
		d.Steps, err = runtimeConfig(root, content)
	} else {
		d.Steps, err = d.mainSteps(root)
	}
	return d, err
}

// Tree reads content of either format into maps, lists and scalars, of bounded depth and size.
func Tree(content []byte, format string) (map[string]any, error) {
	content, err := bounded(content, format, MostContent)
	if err != nil {
		return nil, err
	}
	return object(content)
}

// bounded gives content of either format as JSON, and refuses what is too long.
func bounded(content []byte, format string, most int) ([]byte, error) {
	if len(content) > most {
		return nil, errorf("The document is larger than %d bytes", most)
	}
	switch format {
	case JSON, "":
		return content, nil
	case YAML:
		return Convert(content, YAML, JSON)
	}
	return nil, errorf("A document of this type is written in JSON or YAML, not %s", format)
}

// object reads a JSON object of bounded depth.
func object(content []byte) (map[string]any, error) {
	var v any
	d := jsontext.NewDecoder(bytes.NewReader(content))
	if err := json.UnmarshalDecode(d, &v); err != nil {
		return nil, errorf("The document is not valid JSON: %s", syntax(err))
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errorf("The document is not valid JSON: something follows its end")
	}
	if depth(v, 0) > deepest {
		return nil, errorf("The document is nested too deeply")
	}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, errorf("The document must be an object")
	}
	return root, nil
}

// syntax shortens an error of the JSON library to what is wrong and where.
func syntax(err error) string {
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Sprintf("%v at byte %d", s.Err, s.ByteOffset)
	}
	return err.Error()
}

// depth is how far a value nests.
func depth(v any, at int) int {
	most := at
	if at > deepest {
		return at
	}
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			most = max(most, depth(e, at+1))
		}
	case []any:
		for _, e := range v {
			most = max(most, depth(e, at+1))
		}
	}
	return most
}

// textOf reads an optional text member. Numbers are taken too, since schemaVersion: 2.2 in YAML is one.
func textOf(m map[string]any, name string) (string, error) {
	switch v := m[name].(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case float64:
		return Text(v), nil
	}
	return "", errorf("%s must be a string", name)
}

// mainSteps reads the steps of schemas 2.x.
func (d *Document) mainSteps(root map[string]any) ([]Step, error) {
	list, ok := root["mainSteps"].([]any)
	if !ok || len(list) == 0 {
		return nil, errorf("A document of schema %s needs mainSteps, a list of at least one step", d.SchemaVersion)
	}
	var steps []Step
	seen := map[string]bool{}
	for i, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			return nil, errorf("mainSteps[%d] must be an object", i)
		}
		s := Step{}
		var err error
		if s.Action, err = textOf(m, "action"); err != nil || s.Action == "" {
			return nil, errorf("mainSteps[%d] needs an action", i)
		}
		if s.Name, err = textOf(m, "name"); err != nil || s.Name == "" {
			return nil, errorf("mainSteps[%d] needs a name", i)
		}
		if seen[s.Name] {
			return nil, errorf("The step name %s is used more than once", s.Name)
		}
		seen[s.Name] = true
		inputs, ok := m["inputs"].(map[string]any)
		if !ok && m["inputs"] != nil {
			return nil, errorf("The inputs of step %s must be an object", s.Name)
		}
		s.Inputs = []map[string]any{inputs}
		s.Precondition, s.Flaw = d.precondition(m["precondition"], s.Name)
		steps = append(steps, s)
	}
	return steps, nil
}

// precondition reads a step's precondition, or says what is wrong with it.
func (d *Document) precondition(v any, step string) (conditions map[string][]string, flaw string) {
	if v == nil {
		return nil, ""
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Sprintf("The precondition of step %s must be an object", step)
	}
	if d.SchemaVersion != "2.2" {
		return nil, fmt.Sprintf("Preconditions need schema 2.2, but step %s of schema %s has one", step, d.SchemaVersion)
	}
	out := map[string][]string{}
	for operator, operands := range m {
		list, ok := operands.([]any)
		if operator != "StringEquals" || !ok || len(list) != 2 {
			return nil, fmt.Sprintf("The precondition of step %s must be StringEquals with two operands", step)
		}
		for _, o := range list {
			text, ok := o.(string)
			if !ok {
				return nil, fmt.Sprintf("The operands of step %s's precondition must be strings", step)
			}
			out[operator] = append(out[operator], text)
		}
	}
	return out, ""
}

// runtimeConfig reads the plugins of schemas 1.x, in the document's order.
func runtimeConfig(root map[string]any, content []byte) ([]Step, error) {
	config, ok := root["runtimeConfig"].(map[string]any)
	if !ok || len(config) == 0 {
		return nil, errorf("A document of schema 1.x needs runtimeConfig, an object of at least one plugin")
	}
	order, err := order(content, "runtimeConfig")
	if err != nil {
		return nil, err
	}
	var steps []Step
	for _, plugin := range order {
		m, ok := config[plugin].(map[string]any)
		if !ok {
			return nil, errorf("The plugin %s must be an object", plugin)
		}
		s := Step{Action: plugin, Name: plugin}
		switch properties := m["properties"].(type) {
		case map[string]any:
			s.Inputs = append(s.Inputs, properties)
		case []any:
			for _, e := range properties {
				p, ok := e.(map[string]any)
				if !ok {
					return nil, errorf("The properties of plugin %s must be objects", plugin)
				}
				s.Inputs = append(s.Inputs, p)
			}
		case string: // a placeholder for the whole
			s.Inputs = append(s.Inputs, map[string]any{"properties": properties})
		case nil:
			s.Inputs = append(s.Inputs, map[string]any{})
		default:
			return nil, errorf("The properties of plugin %s must be a list or an object", plugin)
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// order gives the names of an object of the root in the order in which they are written.
func order(content []byte, member string) ([]string, error) {
	var names []string
	d := jsontext.NewDecoder(bytes.NewReader(content))
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		if name.String() != member || d.PeekKind() != '{' {
			if err := d.SkipValue(); err != nil {
				return nil, err
			}
			continue
		}
		if _, err := d.ReadToken(); err != nil {
			return nil, err
		}
		for d.PeekKind() == '"' {
			key, err := d.ReadToken()
			if err != nil {
				return nil, err
			}
			names = append(names, key.String())
			if err := d.SkipValue(); err != nil {
				return nil, err
			}
		}
		return names, nil
	}
	return names, nil
}
