package document

import (
	"context"
	"strconv"

	"github.com/vennel/vennel/agent/plugin"
	"github.com/vennel/vennel/api/ssmdoc"
)

// Plan is a document with all values put in, as it is run. It is kept, so that a document that
// goes on after a reboot goes on with the same values.
type Plan struct {
	Schema string
	Steps  []Step
}

// Step is a step of a plan.
type Step struct {
	Action, Name string
	Inputs       []map[string]any
	Conditions   []Condition
	Flaw         string // why the precondition cannot be judged
}

// Condition is a precondition: two texts must be equal.
type Condition struct {
	Given [2]string // as the document has them
	Is    [2]string // with the parameters put in
}

// Read reads the document and the values for its parameters. Values for parameters that it does
// not declare are ignored, as the official agent does. The error is an *ssmdoc.Error.
func (s Source) Read() (*ssmdoc.Document, map[string]any, error) {
	d, err := ssmdoc.Read(s.Content, s.Format)
	if err != nil {
		return nil, nil, err
	}
	declared := map[string]any{}
	for _, p := range d.Parameters {
		if v, ok := s.Given[p.Name]; ok {
			declared[p.Name] = v
		}
	}
	values, err := d.Typed(declared)
	return d, values, err
}

// Prepare makes a plan: it puts the values in, and the stored parameters that they or the steps
// refer to. A value with such a reference is held to its declaration once it is known.
func Prepare(ctx context.Context, source Source, from plugin.Caller) (*Plan, error) {
	d, values, err := source.Read()
	if err != nil {
		return nil, err
	}
	stored, err := fetch(ctx, from, d, values)
	if err != nil {
		return nil, err
	}
	known, err := stored.put(values)
	if err != nil {
		return nil, err
	}
	if _, err := d.Typed(known.(map[string]any)); err != nil {
		return nil, err
	}
	plan := &Plan{Schema: d.SchemaVersion}
	for _, s := range d.Steps {
		step := Step{Action: s.Action, Name: s.Name, Flaw: s.Flaw}
		for _, operands := range s.Precondition {
			c := Condition{Given: [2]string(operands)}
			for i, o := range operands {
				c.Is[i] = ssmdoc.Text(ssmdoc.Substitute(o, values))
			}
			step.Conditions = append(step.Conditions, c)
		}
		for _, inputs := range s.Inputs {
			v, err := stored.put(ssmdoc.Substitute(inputs, values))
			if err != nil {
				return nil, err
			}
			step.Inputs = append(step.Inputs, spread(d.SchemaVersion, v.(map[string]any))...)
		}
		if step.Inputs == nil {
			step.Inputs = []map[string]any{{}} // a plugin without properties is run all the same
		}
		plan.Steps = append(plan.Steps, step)
	}
	return plan, nil
}

// spread turns the one placeholder that stood for all properties of a 1.x plugin into what it
// stands for.
func spread(schema string, inputs map[string]any) []map[string]any {
	if schema[0] != '1' || len(inputs) != 1 {
		return []map[string]any{inputs}
	}
	switch v := inputs["properties"].(type) {
	case map[string]any:
		return []map[string]any{v}
	case []any:
		var out []map[string]any
		for _, e := range v {
			if m, ok := e.(map[string]any); ok {
				out = append(out, m)
			}
		}
		if len(out) == len(v) {
			return out
		}
	}
	return []map[string]any{inputs}
}

// control reads one of the inputs that steer the document: a text or a boolean.
func (s *Step) control(name string) string {
	if len(s.Inputs) != 1 {
		return ""
	}
	switch v := s.Inputs[0][name].(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}
