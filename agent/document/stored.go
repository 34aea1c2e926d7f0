package document

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/vennel/vennel/agent/plugin"
	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
)

// mostNames is how many parameters one call reads. source: model
const mostNames = 10

// stored are the stored parameters that a document refers to, by the names in its references.
type stored map[string]ssm.Parameter

// fetch reads the stored parameters that a document or its values refer to.
func fetch(ctx context.Context, from plugin.Caller, d *ssmdoc.Document, values map[string]any) (stored, error) {
	var names []string
	find := func(text string) {
		for _, m := range ssmdoc.Reference.FindAllStringSubmatch(text, -1) {
			names = append(names, strings.TrimPrefix(m[1], "ssm:"))
		}
	}
	ssmdoc.Walk(values, find)
	for _, s := range d.Steps {
		for _, inputs := range s.Inputs {
			ssmdoc.Walk(inputs, find)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	all := stored{}
	for part := range slices.Chunk(names, mostNames) {
		var out ssm.GetParametersOutput
		if err := from.Call(ctx, "GetParameters", &ssm.GetParametersInput{Names: part, WithDecryption: new(bool)}, &out); err != nil {
			return nil, fmt.Errorf("the stored parameters %s could not be read: %w", strings.Join(part, ", "), err)
		}
		for _, p := range out.Parameters {
			if name := named(p, part); name != "" {
				all[name] = p
			}
		}
	}
	var missing, secret []string
	for _, name := range names {
		p, ok := all[name]
		switch {
		case !ok || p.Value == nil:
			missing = append(missing, name)
		case api.Or(p.Type, "") == ssm.ParameterTypeSecureString:
			secret = append(secret, name)
		}
	}
	if missing != nil {
		return nil, fmt.Errorf("the document refers to stored parameters that do not exist: %s", strings.Join(missing, ", "))
	}
	if secret != nil {
		return nil, fmt.Errorf("the stored parameters %s are of type SecureString, which documents must not refer to", strings.Join(secret, ", "))
	}
	return all, nil
}

// named says by which of the names asked for a parameter goes: with its version or its label
// behind it, or without; as a name or as an ARN.
func named(p ssm.Parameter, asked []string) string {
	for _, name := range []string{api.Or(p.Name, ""), api.Or(p.ARN, "")} {
		for _, selector := range []string{fmt.Sprintf(":%d", api.Or(p.Version, 0)), api.Or(p.Selector, ""), ""} {
			if slices.Contains(asked, name+selector) {
				return name + selector
			}
		}
	}
	return ""
}

// put puts the values in place of the references, everywhere in v. A list's element that is one
// reference to a StringList becomes that list's elements; elsewhere a StringList has no place.
func (s stored) put(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return s.text(v)
	case []any:
		out := []any{}
		for _, e := range v {
			if text, ok := e.(string); ok {
				if m := ssmdoc.Reference.FindStringSubmatch(text); m != nil && m[0] == strings.TrimSpace(text) {
					if p := s[strings.TrimPrefix(m[1], "ssm:")]; api.Or(p.Type, "") == ssm.ParameterTypeStringList {
						for item := range strings.SplitSeq(api.Or(p.Value, ""), ",") {
							out = append(out, item)
						}
						continue
					}
				}
			}
			e, err := s.put(e)
			if err != nil {
				return nil, err
			}
			out = append(out, e)
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			e, err := s.put(e)
			if err != nil {
				return nil, err
			}
			out[k] = e
		}
		return out, nil
	}
	return v, nil
}

// text puts values into one text. What they contain is not searched again.
func (s stored) text(text string) (_ string, err error) {
	text = ssmdoc.Reference.ReplaceAllStringFunc(text, func(found string) string {
		p, ok := s[strings.TrimPrefix(ssmdoc.Reference.FindStringSubmatch(found)[1], "ssm:")]
		if !ok {
			return found // it came with a stored value
		}
		if api.Or(p.Type, "") == ssm.ParameterTypeStringList {
			err = fmt.Errorf("the stored parameter %s is of type StringList and cannot be part of a text", api.Or(p.Name, ""))
		}
		return api.Or(p.Value, "")
	})
	return text, err
}
