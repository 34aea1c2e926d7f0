package ssmdoc

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
	"github.com/go-json-experiment/json"
)

// Types of parameters.
const (
	String     = "String"
	StringList = "StringList"
	Boolean    = "Boolean"
	Integer    = "Integer"
	MapList    = "MapList"
	StringMap  = "StringMap"
)

// Parameter is a parameter as a document declares it.
type Parameter struct {
	Name           string
	Type           string
	Description    string
	Default        any // nil when the parameter must be given
	AllowedValues  []any
	AllowedPattern string
	MinChars       *int
	MaxChars       *int
	MinItems       *int
	MaxItems       *int
}

// parameterName is what agents take for a name.
var parameterName = regexp.MustCompile(`^[a-zA-Z0-9]+$`)

// patternTime bounds the work of a user's own pattern.
const patternTime = 100 * time.Millisecond

// parameters reads the declarations.
func parameters(root map[string]any, content []byte) ([]Parameter, error) {
	if root["parameters"] == nil {
		return nil, nil
	}
	declared, ok := root["parameters"].(map[string]any)
	if !ok {
		return nil, errorf("parameters must be an object")
	}
	names, err := order(content, "parameters")
	if err != nil {
		return nil, err
	}
	var out []Parameter
	for _, name := range names {
		m, ok := declared[name].(map[string]any)
		if !ok {
			return nil, errorf("The parameter %s must be an object", name)
		}
		p, err := parameter(name, m)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// parameter reads one declaration and checks it against itself: its default must be allowed.
func parameter(name string, m map[string]any) (p Parameter, err error) {
	p.Name = name
	if !parameterName.MatchString(name) {
		return p, errorf("The parameter name %s may have letters and digits only", name)
	}
	if p.Type, err = textOf(m, "type"); err != nil {
		return p, err
	}
	if !slices.Contains([]string{String, StringList, Boolean, Integer, MapList, StringMap}, p.Type) {
		return p, errorf("The parameter %s has the type %q, which is not one of String, StringList, Boolean, Integer, MapList, StringMap", name, p.Type)
	}
	if p.Description, err = textOf(m, "description"); err != nil {
		return p, err
	}
	if p.AllowedPattern, err = textOf(m, "allowedPattern"); err != nil {
		return p, err
	}
	if p.AllowedPattern != "" {
		if _, err := regexp2.Compile(p.AllowedPattern, regexp2.None); err != nil {
			return p, errorf("The allowedPattern of parameter %s is not a regular expression: %s", name, err)
		}
	}
	if v, ok := m["allowedValues"]; ok {
		if p.AllowedValues, ok = v.([]any); !ok {
			return p, errorf("The allowedValues of parameter %s must be a list", name)
		}
	}
	for _, b := range []struct {
		name  string
		bound **int
	}{{"minChars", &p.MinChars}, {"maxChars", &p.MaxChars}, {"minItems", &p.MinItems}, {"maxItems", &p.MaxItems}} {
		if *b.bound, err = count(m[b.name], b.name, name); err != nil {
			return p, err
		}
	}
	if d, ok := m["default"]; ok && d != nil {
		if p.Default, err = p.typed(d); err != nil {
			return p, err
		}
		if err := p.check(p.Default); err != nil {
			return p, fmt.Errorf("the default value: %w", err)
		}
	}
	return p, nil
}

// count reads a bound, which documents write as a number or as text.
func count(v any, bound, parameter string) (*int, error) {
	if v == nil {
		return nil, nil
	}
	n, err := strconv.Atoi(Text(v))
	if err != nil || n < 0 {
		return nil, errorf("The %s of parameter %s must be a whole number", bound, parameter)
	}
	return &n, nil
}

// Resolve turns the values given with a command, each a list of texts, into the values that steps
// see: the right type, within all bounds, defaults where nothing is given. It refuses parameters
// that the document lacks and the absence of those without a default: a node would run an empty
// script and call it a success. The error is an *Error.
func (d *Document) Resolve(given map[string][]string) (map[string]any, error) {
	known := map[string]bool{}
	values := map[string]any{}
	for _, p := range d.Parameters {
		known[p.Name] = true
		texts, ok := given[p.Name]
		if !ok {
			if p.Default == nil {
				return nil, errorf("Parameter %s is required", p.Name)
			}
			values[p.Name] = p.Default
			continue
		}
		v, err := p.given(texts)
		if err != nil {
			return nil, err
		}
		if err := p.check(v); err != nil {
			return nil, err
		}
		values[p.Name] = v
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !known[name] {
			return nil, errorf("Parameter %s is not defined in the document", name)
		}
	}
	return values, nil
}

// Typed does what Resolve does with values that have their type already, as a document that runs
// another gives them.
func (d *Document) Typed(given map[string]any) (map[string]any, error) {
	values := map[string]any{}
	known := map[string]bool{}
	for _, p := range d.Parameters {
		known[p.Name] = true
		v, ok := given[p.Name]
		if !ok || v == nil {
			if p.Default == nil {
				return nil, errorf("Parameter %s is required", p.Name)
			}
			values[p.Name] = p.Default
			continue
		}
		v, err := p.typed(v)
		if err != nil {
			return nil, err
		}
		if err := p.check(v); err != nil {
			return nil, err
		}
		values[p.Name] = v
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !known[name] {
			return nil, errorf("Parameter %s is not defined in the document", name)
		}
	}
	return values, nil
}

// given reads a value from the texts of a request.
func (p *Parameter) given(texts []string) (any, error) {
	if p.Type == StringList {
		list := make([]any, len(texts))
		for i, text := range texts {
			list[i] = text
		}
		return list, nil
	}
	if p.Type == MapList && len(texts) != 1 {
		list := make([]any, len(texts))
		for i, text := range texts {
			if err := json.Unmarshal([]byte(text), &list[i]); err != nil {
				return nil, errorf("Parameter %s must be a list of maps written in JSON", p.Name)
			}
		}
		return p.typed(list)
	}
	if len(texts) != 1 {
		return nil, errorf("Parameter %s must have exactly one value", p.Name)
	}
	if p.Type == String {
		return texts[0], nil
	}
	return p.typed(texts[0])
}

// typed turns a value into the parameter's type. Text that spells a value of another type is read.
func (p *Parameter) typed(v any) (any, error) {
	if text, ok := v.(string); ok {
		switch p.Type {
		case StringList:
			if strings.HasPrefix(strings.TrimSpace(text), "[") {
				var list []any
				if json.Unmarshal([]byte(text), &list) == nil {
					return p.typed(list)
				}
			}
			return []any{text}, nil
		case Boolean, Integer, MapList, StringMap:
			var parsed any
			if err := json.Unmarshal([]byte(text), &parsed); err != nil {
				return nil, errorf("Parameter %s is not of type %s", p.Name, p.Type)
			}
			if _, again := parsed.(string); !again {
				return p.typed(parsed)
			}
		}
	}
	switch value := v.(type) {
	case string:
		if p.Type == String {
			return value, nil
		}
	case float64:
		if p.Type == Integer && value == float64(int64(value)) {
			return value, nil
		}
		if p.Type == String {
			return Text(value), nil
		}
	case bool:
		if p.Type == Boolean {
			return value, nil
		}
		if p.Type == String {
			return strconv.FormatBool(value), nil
		}
	case []any:
		switch p.Type {
		case StringList:
			list := make([]any, len(value))
			for i, e := range value {
				list[i] = Text(e)
			}
			return list, nil
		case MapList:
			for _, e := range value {
				if _, ok := e.(map[string]any); !ok {
					return nil, errorf("Parameter %s must be a list of maps", p.Name)
				}
			}
			return value, nil
		}
	case map[string]any:
		if p.Type == StringMap {
			return value, nil
		}
		if p.Type == MapList {
			return []any{value}, nil
		}
	}
	return nil, errorf("Parameter %s is not of type %s", p.Name, p.Type)
}

// Reference is a reference to a stored parameter, whose name with "ssm:" before it is the first
// group. Nodes put the stored value in its place. source: agent
var Reference = regexp.MustCompile(`{{ *(ssm:[/\w.:-]+) *}}`)

// check holds a value of the right type to the declaration. One with a reference to a stored
// parameter cannot be judged yet: the node does when it knows the value.
func (p *Parameter) check(v any) error {
	refers := false
	Walk(v, func(text string) { refers = refers || Reference.MatchString(text) })
	if refers {
		return nil
	}
	list, isList := v.([]any)
	if isList {
		if err := within(len(list), p.MinItems, p.MaxItems, "items", p.Name); err != nil {
			return err
		}
	} else {
		list = []any{v}
	}
	for _, e := range list {
		text := Text(e)
		if p.Type == String || p.Type == StringList {
			if err := within(utf8.RuneCountInString(text), p.MinChars, p.MaxChars, "characters", p.Name); err != nil {
				return err
			}
			if err := p.matches(text); err != nil {
				return err
			}
		}
		if len(p.AllowedValues) > 0 && !slices.ContainsFunc(p.AllowedValues, func(a any) bool { return Text(a) == text }) {
			return errorf("Parameter %s has the value %q, which is not one of %s", p.Name, text, Text(p.AllowedValues))
		}
	}
	return nil
}

// whole makes a pattern match nothing less than a whole text. Amazon's own documents have patterns that
// would allow nearly everything if a part were enough. source: guess
func whole(pattern string) string { return `\A(?:` + pattern + `)\z` }

// matches holds a text to the allowed pattern.
func (p *Parameter) matches(text string) error {
	if p.AllowedPattern == "" {
		return nil
	}
	if re, err := regexp.Compile(whole(p.AllowedPattern)); err == nil {
		if !re.MatchString(text) {
			return p.mismatch(text)
		}
		return nil
	}
	re, err := regexp2.Compile(whole(p.AllowedPattern), regexp2.None)
	if err != nil {
		return errorf("The allowedPattern of parameter %s is not a regular expression: %s", p.Name, err)
	}
	re.MatchTimeout = patternTime
	if ok, err := re.MatchString(text); err != nil || !ok {
		return p.mismatch(text)
	}
	return nil
}

// mismatch is the error for a text that does not match the allowed pattern. source: aws
func (p *Parameter) mismatch(text string) error {
	return errorf(`Parameter "%s" has value "%s" not matching "%s".`, p.Name, text, p.AllowedPattern)
}

// within checks a count against its bounds.
func within(n int, least, most *int, what, name string) error {
	if least != nil && n < *least {
		return errorf("Parameter %s must have at least %d %s", name, *least, what)
	}
	if most != nil && n > *most {
		return errorf("Parameter %s must have at most %d %s", name, *most, what)
	}
	return nil
}

// Text is a value as text: strings as they are, everything else as JSON.
func Text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return ""
	}
	return string(b)
}

// SortedNames are the names of the parameters in order, for answers.
func (d *Document) SortedNames() []string {
	sorted := slices.SortedFunc(slices.Values(d.Parameters), func(a, b Parameter) int { return cmp.Compare(a.Name, b.Name) })
	names := make([]string, len(sorted))
	for i, p := range sorted {
		names[i] = p.Name
	}
	return names
}
