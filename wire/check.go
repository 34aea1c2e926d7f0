package wire

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vennel/vennel/api"
)

// mostViolations bounds the length of an answer to a request that is wrong everywhere.
const mostViolations = 20

// checker collects the constraints that an input breaks, while a decoder walks through it. A nil
// checker checks nothing: so S3, whose words for a wrong value differ from call to call, is decoded,
// and so are answers.
type checker struct {
	requiredOnly bool // EC2 words all else by hand too

	at         []step // where the decoder is
	room       [12]step
	violations []violation
	more       int    // violations that are only counted
	missing    string // path of the first absent required member
}

// step is a part of a path: a name, or the number of an item.
type step struct {
	name  string
	index int // from 1; 0 for a name
}

// violation is a broken constraint.
type violation struct{ at, text string }

// enter goes to a part of the value, by its name.
func (c *checker) enter(name string) {
	if c == nil {
		return
	}
	if c.at == nil {
		c.at = c.room[:0]
	}
	c.at = append(c.at, step{name: name})
}

// item goes to an item of a list, counted from 0.
func (c *checker) item(i int) {
	if c != nil {
		c.at = append(c.at, step{index: i + 1})
	}
}

// leave goes back by some steps.
func (c *checker) leave(steps int) {
	if c != nil {
		c.at = c.at[:len(c.at)-steps]
	}
}

// path is where the decoder is, as AWS writes it: tags.1.member.key.
func (c *checker) path() string {
	if c == nil {
		return ""
	}
	parts := make([]string, len(c.at))
	for i, s := range c.at {
		parts[i] = s.name
		if s.index > 0 {
			parts[i] = strconv.Itoa(s.index)
		}
	}
	return brief(strings.Join(parts, "."))
}

// add notes a violation.
func (c *checker) add(shown, constraint string) {
	if len(c.violations) == mostViolations {
		c.more++
		return
	}
	at := c.path()
	c.violations = append(c.violations, violation{at, fmt.Sprintf("Value%s at '%s' failed to satisfy constraint: %s", shown, at, constraint)})
}

// forget drops what was noted about the place where the decoder is: the request gives it anew.
func (c *checker) forget() {
	if c == nil || len(c.violations) == 0 {
		return
	}
	at := c.path()
	c.violations = slices.DeleteFunc(c.violations, func(v violation) bool {
		return v.at == at || strings.HasPrefix(v.at, at+".")
	})
}

// fields is a set of a structure's members, a bit a field.
type fields [mostFields / 64]uint64

// add puts a member in.
func (f *fields) add(m *member) { f[m.index/64] |= 1 << (m.index % 64) }

// remove takes a member out.
func (f *fields) remove(m *member) { f[m.index/64] &^= 1 << (m.index % 64) }

// has says whether a member is in.
func (f *fields) has(m *member) bool { return f[m.index/64]&(1<<(m.index%64)) != 0 }

// required notes the members of s that were not given. Those that do not travel in the body are
// given by the route or the headers, and checked there.
func (c *checker) required(s *shape, seen *fields) {
	if c == nil || len(s.Required) == 0 {
		return
	}
	for _, m := range s.members {
		if m.required && m.inBody() && !seen.has(m) {
			c.absent(m)
		}
	}
}

// absent notes that a required member is not there. source: aws
func (c *checker) absent(m *member) {
	c.enter(m.path)
	if c.missing == "" {
		c.missing = c.path()
	}
	c.add(" null", "Member must not be null")
	c.leave(1)
}

// value checks a decoded member against the constraints of its shape. Items, keys and values are
// part of the member that holds them, and structures report for themselves.
func (c *checker) value(s *shape, v reflect.Value) {
	if c == nil || c.requiredOnly || !s.constrained {
		return
	}
	for _, constraint := range broken(s, v) {
		c.add(show(s, v), constraint)
	}
}

// broken lists the constraints that a value breaks. source: aws, for the order
func broken(s *shape, v reflect.Value) (out []string) {
	if !s.constrained {
		return nil
	}
	switch s.kind {
	case text:
		value := v.String()
		if s.pattern != nil && !s.pattern()(value) {
			out = append(out, patternConstraint(s))
		}
		out = outside(out, s, float64(utf8.RuneCountInString(value)), "length")
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, value) {
			out = append(out, enumConstraint(s))
		}
	case integer:
		out = outside(out, s, float64(v.Int()), "value")
	case float:
		out = outside(out, s, v.Float(), "value")
	case blob:
		out = outside(out, s, float64(v.Len()), "length")
	case list:
		out = outside(out, s, float64(v.Len()), "length")
		for i := range v.Len() {
			if len(broken(s.elem, v.Index(i))) > 0 {
				out = append(out, "Member must satisfy constraint: ["+describe(s.elem)+"]")
				break
			}
		}
	case mapping:
		out = outside(out, s, float64(v.Len()), "length")
		keys, values := false, false
		for it := v.MapRange(); it.Next(); {
			keys = keys || len(broken(s.key, it.Key())) > 0
			values = values || len(broken(s.elem, it.Value())) > 0
		}
		if keys {
			out = append(out, "Map keys must satisfy constraint: ["+describe(s.key)+"]")
		}
		if values {
			out = append(out, "Map value must satisfy constraint: ["+describe(s.elem)+"]")
		}
	}
	return out
}

// describe lists all constraints of a shape, as AWS does when an item breaks one of them. source: aws
func describe(s *shape) string {
	what := "length"
	if s.kind == integer || s.kind == float {
		what = "value"
	}
	var all []string
	if s.Max != nil {
		all = append(all, limit(what, "less", *s.Max))
	}
	if s.Min != nil {
		all = append(all, limit(what, "greater", *s.Min))
	}
	if s.Pattern != "" {
		all = append(all, patternConstraint(s))
	}
	if len(s.Enum) > 0 {
		all = append(all, enumConstraint(s))
	}
	if s.kind == list && s.elem.constrained {
		all = append(all, "Member must satisfy constraint: ["+describe(s.elem)+"]") // source: guess
	}
	return strings.Join(all, ", ")
}

// outside appends the bound that n breaks, if any.
func outside(out []string, s *shape, n float64, what string) []string {
	switch {
	case s.Min != nil && n < *s.Min:
		return append(out, limit(what, "greater", *s.Min))
	case s.Max != nil && n > *s.Max:
		return append(out, limit(what, "less", *s.Max))
	}
	return out
}

// limit words a bound in either direction.
func limit(what, direction string, n float64) string {
	return fmt.Sprintf("Member must have %s %s than or equal to %s", what, direction, strconv.FormatFloat(n, 'f', -1, 64))
}

// patternConstraint words a pattern.
func patternConstraint(s *shape) string {
	return "Member must satisfy regular expression pattern: " + s.Pattern
}

// enumConstraint words an enumeration.
func enumConstraint(s *shape) string {
	return "Member must satisfy enum value set: [" + strings.Join(s.Enum, ", ") + "]"
}

// show is a value as AWS repeats it, or nothing when the shape is sensitive.
func show(s *shape, v reflect.Value) string {
	if hides(s) {
		return ""
	}
	return " '" + brief(string(appendPlain(nil, s, v))) + "'"
}

// hides says whether a shape, or what it is made of, may not be repeated.
func hides(s *shape) bool {
	return s.Sensitive || s.kind == list && hides(s.elem) || s.kind == mapping && (hides(s.elem) || hides(s.key))
}

// appendPlain writes a value the way AWS's messages do: [a, b] and {k=v}; it stops when there is
// more than an answer repeats.
func appendPlain(b []byte, s *shape, v reflect.Value) []byte {
	switch s.kind {
	case list:
		b = append(b, '[')
		for i := 0; i < v.Len() && len(b) <= mostShown; i++ {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendPlain(b, s.elem, v.Index(i))
		}
		return append(b, ']')
	case mapping:
		b = append(b, '{')
		for i, key := range sortedKeys(v) {
			if len(b) > mostShown {
				break
			}
			if i > 0 {
				b = append(b, ", "...)
			}
			b = append(append(b, key...), '=')
			b = appendPlain(b, s.elem, v.MapIndex(reflect.ValueOf(key)))
		}
		return append(b, '}')
	case structure:
		return append(b, s.name...)
	case blob:
		return fmt.Appendf(b, "java.nio.HeapByteBuffer[pos=0 lim=%d cap=%d]", v.Len(), v.Len()) // source: aws
	case text:
		return append(b, v.String()...)
	}
	return fmt.Append(b, v.Interface())
}

// err is the error of everything collected, or nil.
func (c *checker) err() error {
	if c == nil {
		return nil
	}
	n := len(c.violations) + c.more
	if n == 0 {
		return nil
	}
	if c.requiredOnly {
		return api.Errorf(api.Missing, "The request must contain the parameter %s", c.missing)
	}
	noun := "validation error"
	if n > 1 {
		noun = "validation errors"
	}
	texts := make([]string, len(c.violations))
	for i, v := range c.violations {
		texts[i] = v.text
	}
	return api.Errorf(api.Invalid, "%d %s detected: %s", n, noun, strings.Join(texts, "; "))
}
