package wire

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"sync"

	"github.com/dlclark/regexp2"

	"github.com/vennel/vennel/api/model"
)

// mostFields is the largest structure that the decoders can keep count of; the models' has 122.
const mostFields = 256

// kind is what a shape is made of, as far as a codec cares.
type kind uint8

// The kinds. streamed is a blob that is not held in memory.
const (
	structure kind = iota
	list
	mapping
	text
	integer
	float
	boolean
	timestamp
	blob
	streamed
)

// kindOf maps the model's types.
var kindOf = map[string]kind{
	"structure": structure, "list": list, "map": mapping, "string": text, "character": text, "integer": integer,
	"long": integer, "double": float, "float": float, "boolean": boolean, "timestamp": timestamp, "blob": blob,
}

// shape is a model's shape bound to the Go type that carries it: all a codec needs to know, worked
// out once. Every protocol walks the same shapes.
type shape struct {
	*model.Shape
	kind        kind
	name        string
	goType      reflect.Type
	members     []*member          // of a structure, in the model's order
	byName      map[string]*member // of a structure, by JSON name
	elem        *shape             // of a list; value of a map
	key         *shape             // of a map
	payload     *member            // of a structure whose body is one member
	pattern     func() matcher     // nil without a pattern
	constrained bool               // a value can be wrong: by itself or in its items, keys or values
}

// nested says whether values of the shape have parts.
func (s *shape) nested() bool { return s.kind == structure || s.kind == list || s.kind == mapping }

// member is one member of a structure.
type member struct {
	*shape
	name     string    // the model's
	ref      model.Ref // how the structure uses the shape
	index    int       // of the Go field
	pointer  bool      // the field is a pointer, nil when absent
	required bool      // must be given, is always answered
	path     string    // as messages call it
}

// wireName is the name of the member in JSON, XML and queries.
func (m *member) wireName() string {
	return orElse(m.ref.LocationName, m.name)
}

// ec2Name is the name of the member in an EC2 query.
func (m *member) ec2Name() string {
	return orElse(m.ref.QueryName, upperFirst(m.wireName()))
}

// inBody says whether the member travels in the body and not in the URI or a header.
func (m *member) inBody() bool { return m.ref.Location == "" }

// rootName is the name of the root element of a body that is this member.
func (m *member) rootName() string {
	return orElse(m.ref.LocationName, orElse(m.shape.LocationName, m.ref.Shape))
}

// field gives the place of the member in v for writing, making it where it is a pointer.
func (m *member) field(v reflect.Value) reflect.Value {
	f := v.Field(m.index)
	if !m.pointer {
		return f
	}
	if f.IsNil() {
		f.Set(reflect.New(f.Type().Elem()))
	}
	return f.Elem()
}

// value gives the member of v for reading; ok is false when it is absent.
func (m *member) value(v reflect.Value) (f reflect.Value, ok bool) {
	f = v.Field(m.index)
	if m.pointer {
		if f.IsNil() {
			return f, false
		}
		return f.Elem(), true
	}
	switch m.kind {
	case list, mapping, blob, streamed:
		return f, m.required || !f.IsNil()
	}
	return f, true
}

// binder binds the shapes of one model, each pair of shape and type once.
type binder struct {
	model *model.Service
	done  map[bound]*shape
}

// bound is a shape with the Go type that carries it.
type bound struct {
	shape  string
	goType reflect.Type
}

// bind works out a shape. A type that does not fit the model is a mistake of the program and panics.
func (b *binder) bind(name string, goType reflect.Type) *shape {
	if s := b.done[bound{name, goType}]; s != nil {
		return s
	}
	m := b.model.Shapes[name]
	k, known := kindOf[m.Type]
	if !known {
		panic(fmt.Sprintf("wire: %s is of type %s", name, m.Type))
	}
	s := &shape{Shape: m, kind: k, name: name, goType: goType, constrained: m.Min != nil || m.Max != nil || m.Pattern != "" || len(m.Enum) > 0}
	b.done[bound{name, goType}] = s
	switch s.kind {
	case structure:
		b.members(s)
	case list:
		s.elem = b.bind(m.Member.Shape, goType.Elem())
		s.constrained = s.constrained || s.elem.kind != structure && s.elem.constrained
	case mapping:
		s.key = b.bind(m.Key.Shape, goType.Key())
		s.elem = b.bind(m.Value.Shape, goType.Elem())
		s.constrained = s.constrained || s.key.constrained || s.elem.kind != structure && s.elem.constrained
	case blob:
		if goType.Kind() == reflect.Interface {
			s.kind = streamed
		}
	}
	if m.Pattern != "" {
		s.pattern = sync.OnceValue(func() matcher { return compile(m.Pattern) })
	}
	return s
}

// members binds the members of a structure to the fields of its type.
func (b *binder) members(s *shape) {
	if s.goType.NumField() > mostFields {
		panic(fmt.Sprintf("wire: %s has more than %d fields", s.goType, mostFields))
	}
	s.byName = make(map[string]*member, len(s.Members))
	for _, mm := range s.Members {
		field, ok := s.goType.FieldByName(upperFirst(mm.Name))
		if !ok {
			panic(fmt.Sprintf("wire: %s has no field for %s.%s", s.goType, s.name, mm.Name))
		}
		t, pointer := field.Type, false
		if t.Kind() == reflect.Pointer {
			t, pointer = t.Elem(), true
		}
		m := &member{
			name: mm.Name, ref: mm.Ref, index: field.Index[0], pointer: pointer, required: s.Requires(mm.Name), path: lowerFirst(mm.Name),
			shape: b.bind(mm.Shape, t),
		}
		s.members = append(s.members, m)
		s.byName[m.wireName()] = m
		if mm.Name == s.Payload {
			s.payload = m
		}
	}
}

// matcher is a compiled pattern: a value matches it as a whole, or not.
type matcher func(value string) bool

// javaEscape is how the models, which are written for Java, name a character.
var javaEscape = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

// compile turns a model's pattern into a matcher. Nearly all are regular; the rest look ahead or
// back, or repeat more often than RE2 counts, and a test holds them to time in proportion to the
// value's length.
func compile(pattern string) matcher {
	whole := `\A(?:` + javaEscape.ReplaceAllString(pattern, `\x{$1}`) + `)\z`
	if re, err := regexp.Compile(whole); err == nil {
		return re.MatchString
	}
	re := regexp2.MustCompile(`\A(?:`+pattern+`)\z`, regexp2.None)
	return func(value string) bool {
		ok, err := re.MatchString(value)
		return ok && err == nil
	}
}

// upperFirst turns a model's name into a Go field's.
func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// lowerFirst turns a model's name into a message's.
func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
