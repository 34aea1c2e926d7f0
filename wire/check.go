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

// path is where a value stands in the input, kept as a chain so that a good request pays nothing.
type path struct {
	up   *path
	name string
}

// String is the path as AWS writes it: tags.1.member.key.
func (p *path) String() string {
	if p == nil {
		return ""
	}
	if p.up == nil || p.up.name == "" {
		return p.name
	}
	return p.up.String() + "." + p.name
}

// checker collects the constraints that an input breaks. A nil checker checks nothing: so S3, whose
// words for a wrong value differ from call to call, is decoded.
type checker struct {
	requiredOnly bool // EC2 words all else by hand too

	violations []string
	count      int
	missing    []string // paths of absent required members
}

// add notes a violation.
func (c *checker) add(p *path, shown, constraint string) {
	c.count++
	if len(c.violations) < mostViolations {
		c.violations = append(c.violations, fmt.Sprintf("Value%s at '%s' failed to satisfy constraint: %s", shown, p, constraint))
	}
}

// fields is a set of a structure's members, a bit a field.
type fields [mostFields / 64]uint64

// add puts a member in.
func (f *fields) add(m *member) { f[m.index/64] |= 1 << (m.index % 64) }

// has says whether a member is in.
func (f *fields) has(m *member) bool { return f[m.index/64]&(1<<(m.index%64)) != 0 }

// required notes the members of s that were not given. Those that do not travel in the body are
// given by the route or the headers, and checked there.
func (c *checker) required(s *shape, seen *fields, p *path) {
	if c == nil || len(s.Required) == 0 {
		return
	}
	for _, m := range s.members {
		if m.required && m.inBody() && !seen.has(m) {
			at := path{p, m.path}
			c.missing = append(c.missing, at.String())
			c.add(&at, " null", "Member must not be null")
		}
	}
}

// value checks one decoded value against the constraints of its shape.
func (c *checker) value(s *shape, v reflect.Value, p *path) {
	if c == nil || c.requiredOnly {
		return
	}
	switch s.kind {
	case list:
		c.bounds(s, v, v.Len(), p)
		if broken := c.items(s.elem, v); len(broken) > 0 {
			c.add(p, show(s, v), "Member must satisfy constraint: ["+strings.Join(broken, ", ")+"]")
		}
	case mapping:
		c.bounds(s, v, v.Len(), p)
		if broken := c.keys(s, v); len(broken) > 0 {
			c.add(p, show(s, v), "Map keys must satisfy constraint: ["+strings.Join(broken, ", ")+"]")
		}
		if s.elem.kind == text {
			if broken := c.entries(s, v); len(broken) > 0 {
				c.add(p, show(s, v), "Map value must satisfy constraint: ["+strings.Join(broken, ", ")+"]")
			}
		}
	default:
		for _, constraint := range broken(s, v) {
			c.add(p, show(s, v), constraint)
		}
	}
}

// bounds checks the number of items of a list or map.
func (c *checker) bounds(s *shape, v reflect.Value, n int, p *path) {
	if constraint := outside(s, float64(n), "length"); constraint != "" {
		c.add(p, show(s, v), constraint)
	}
}

// items lists what the scalars of a list break, each constraint once. Structures in a list report
// for themselves, with their own path.
func (c *checker) items(elem *shape, v reflect.Value) (all []string) {
	if elem.kind == structure || elem.kind == list || elem.kind == mapping {
		return nil
	}
	for i := range v.Len() {
		if one := broken(elem, v.Index(i)); len(one) > 0 && len(all) == 0 {
			all = describe(elem)
		}
	}
	return all
}

// keys lists the constraints of a map's keys when one of them breaks any.
func (c *checker) keys(s *shape, v reflect.Value) []string {
	for it := v.MapRange(); it.Next(); {
		if len(broken(s.key, it.Key())) > 0 {
			return describe(s.key)
		}
	}
	return nil
}

// entries lists the constraints of a map's values when one of them breaks any.
func (c *checker) entries(s *shape, v reflect.Value) []string {
	for it := v.MapRange(); it.Next(); {
		if len(broken(s.elem, it.Value())) > 0 {
			return describe(s.elem)
		}
	}
	return nil
}

// broken lists the constraints that a scalar breaks.
func broken(s *shape, v reflect.Value) (out []string) {
	switch s.kind {
	case text:
		if s.Min == nil && s.Max == nil && s.Pattern == "" && len(s.Enum) == 0 {
			return nil
		}
		value := v.String()
		if constraint := outside(s, float64(utf8.RuneCountInString(value)), "length"); constraint != "" {
			out = append(out, constraint)
		}
		if s.pattern != nil {
			if !s.pattern()(value) {
				out = append(out, patternConstraint(s))
			}
		}
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, value) {
			out = append(out, enumConstraint(s))
		}
	case integer:
		if constraint := outside(s, float64(v.Int()), "value"); constraint != "" {
			out = append(out, constraint)
		}
	case float:
		if constraint := outside(s, v.Float(), "value"); constraint != "" {
			out = append(out, constraint)
		}
	case blob:
		if constraint := outside(s, float64(v.Len()), "length"); constraint != "" {
			out = append(out, constraint)
		}
	}
	return out
}

// describe lists all constraints of a scalar shape, as AWS does when an item of a list breaks one.
func describe(s *shape) (out []string) {
	what := "length"
	if s.kind == integer || s.kind == float {
		what = "value"
	}
	if s.Max != nil {
		out = append(out, limit(what, "less", *s.Max))
	}
	if s.Min != nil {
		out = append(out, limit(what, "greater", *s.Min))
	}
	if s.Pattern != "" {
		out = append(out, patternConstraint(s))
	}
	if len(s.Enum) > 0 {
		out = append(out, enumConstraint(s))
	}
	return out
}

// outside names the bound that n breaks.
func outside(s *shape, n float64, what string) string {
	switch {
	case s.Min != nil && n < *s.Min:
		return limit(what, "greater", *s.Min)
	case s.Max != nil && n > *s.Max:
		return limit(what, "less", *s.Max)
	}
	return ""
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
	return " '" + plain(s, v) + "'"
}

// hides says whether a shape, or what it is made of, may not be repeated.
func hides(s *shape) bool {
	return s.Sensitive || s.kind == list && hides(s.elem) || s.kind == mapping && (hides(s.elem) || hides(s.key))
}

// plain writes a value the way AWS's messages do: [a, b] and {k=v}.
func plain(s *shape, v reflect.Value) string {
	switch s.kind {
	case list:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = plain(s.elem, v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case mapping:
		var parts []string
		for it := v.MapRange(); it.Next(); {
			parts = append(parts, it.Key().String()+"="+plain(s.elem, it.Value()))
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	case structure:
		return s.name
	case blob:
		return fmt.Sprintf("java.nio.HeapByteBuffer[pos=0 lim=%d cap=%d]", v.Len(), v.Len())
	}
	return fmt.Sprint(v.Interface())
}

// err is the error of everything collected, or nil.
func (c *checker) err() error {
	if c == nil || c.count == 0 {
		return nil
	}
	if c.requiredOnly {
		return api.Errorf(api.Missing, "The request must contain the parameter %s", c.missing[0])
	}
	noun := "validation error"
	if c.count > 1 {
		noun = "validation errors"
	}
	return api.Errorf(api.Invalid, "%d %s detected: %s", c.count, noun, strings.Join(c.violations, "; "))
}
