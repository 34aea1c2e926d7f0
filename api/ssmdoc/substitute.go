package ssmdoc

import (
	"regexp"
	"strings"
)

// placeholder is {{ name }} with any white space. Placeholders with a colon, such as
// {{ssm:name}}, are not parameters of the document.
var placeholder = regexp.MustCompile(`{{\s*([a-zA-Z0-9]+)\s*}}`)

// reserved are names that a placeholder may have without being declared.
var reserved = map[string]bool{"platformType": true}

// placeholders checks that every placeholder in the steps is a declared parameter.
func (d *Document) placeholders() error {
	declared := map[string]bool{}
	for _, p := range d.Parameters {
		declared[p.Name] = true
	}
	for _, s := range d.Steps {
		var missing string
		visit := func(text string) {
			for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
				if !declared[m[1]] && !reserved[m[1]] {
					missing = m[1]
				}
			}
		}
		for _, inputs := range s.Inputs {
			Walk(inputs, visit)
		}
		for _, operands := range s.Precondition {
			for _, o := range operands {
				visit(o)
			}
		}
		if missing != "" {
			return errorf("Step %s uses the parameter %s, which the document does not declare", s.Name, missing)
		}
	}
	return nil
}

// Walk visits every text of a value.
func Walk(v any, visit func(string)) {
	switch v := v.(type) {
	case string:
		visit(v)
	case []any:
		for _, e := range v {
			Walk(e, visit)
		}
	case map[string]any:
		for _, e := range v {
			Walk(e, visit)
		}
	}
}

// Substitute puts values in place of placeholders, everywhere in v. A text that is one placeholder
// becomes the value itself, whatever its type; inside other text a value is written as text, and
// values are not searched for placeholders again. v is left as it is.
func Substitute(v any, values map[string]any) any {
	switch v := v.(type) {
	case string:
		return substitute(v, values)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = Substitute(e, values)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = Substitute(e, values)
		}
		return out
	}
	return v
}

// substitute does one text.
func substitute(text string, values map[string]any) any {
	if m := placeholder.FindStringSubmatchIndex(text); m != nil && m[0] == 0 && m[1] == len(text) {
		if v, ok := values[text[m[2]:m[3]]]; ok {
			return v
		}
		return text
	}
	return placeholder.ReplaceAllStringFunc(text, func(found string) string {
		v, ok := values[placeholder.FindStringSubmatch(found)[1]]
		if !ok {
			return found
		}
		return strings.ReplaceAll(Text(v), "$$", "$") // as the official agent does
	})
}
