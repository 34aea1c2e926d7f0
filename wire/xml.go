package wire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/model"
)

// mostElements is how many elements and attributes a request may have: an S3 upload of ten thousand
// parts completes with fifty thousand. An element of four bytes takes thirty times that in memory.
const mostElements = 1 << 17

// element is a parsed XML element.
type element struct {
	name  string
	attrs map[string]string
	text  strings.Builder
	kids  []*element
}

// kid finds the first kid of a name.
func (e *element) kid(name string) *element {
	for _, k := range e.kids {
		if k.name == name {
			return k
		}
	}
	return nil
}

// parseXML reads one document of bounded depth and number of elements. Namespaces are dropped: the
// models' names are unique without them. A document type is refused, and with it all entities but
// XML's own five.
func parseXML(body []byte, most int) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	root := new(element)
	stack := []*element{root}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, malformedXML(err)
		}
		top := stack[len(stack)-1]
		switch token := token.(type) {
		case xml.StartElement:
			if most -= 1 + len(token.Attr); most < 0 || len(stack) > deepest {
				return nil, malformedXML(nil)
			}
			e := &element{name: token.Name.Local, attrs: attributes(token.Attr)}
			top.kids = append(top.kids, e)
			stack = append(stack, e)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			top.text.Write(token)
		case xml.Directive:
			return nil, malformedXML(nil)
		}
	}
	if len(root.kids) != 1 || strings.TrimSpace(root.text.String()) != "" {
		return nil, malformedXML(nil)
	}
	return root.kids[0], nil
}

// attributes are an element's attributes by name.
func attributes(list []xml.Attr) map[string]string {
	if len(list) == 0 {
		return nil
	}
	attrs := make(map[string]string, len(list))
	for _, a := range list {
		name := a.Name.Local
		if a.Name.Space != "" && a.Name.Space != "xmlns" {
			name = "xsi:" + name // the one foreign attribute that S3 has
		}
		attrs[name] = a.Value
	}
	return attrs
}

// malformedXML is the answer to a body that is no XML of ours.
func malformedXML(cause error) error {
	return &api.Error{
		Reason: api.Unserializable, Cause: cause,
		Message: "The XML you provided was not well-formed or did not validate against our published schema",
	}
}

// xmlDecoder reads the XML form of shapes. A strict one, the server's, refuses what lacks a required
// member, or has elements where a text should be: AWS's answers, which a client reads, are taken as
// they come.
type xmlDecoder struct{ strict bool }

// value reads one value.
func (d xmlDecoder) value(e *element, s *shape, v reflect.Value) error {
	switch s.kind {
	case structure:
		for _, m := range s.members {
			if !m.inBody() {
				continue
			}
			given, err := d.member(e, m, v)
			if err != nil {
				return err
			}
			if d.strict && m.required && !given {
				return malformedXML(nil)
			}
		}
		return nil
	case list:
		return d.list(e.kids, s, v, orElse(s.Member.LocationName, "member"))
	case mapping:
		v.Set(reflect.MakeMap(v.Type()))
		for _, entry := range e.kids {
			key, value := entry.kid(orElse(s.Key.LocationName, "key")), entry.kid(orElse(s.Value.LocationName, "value"))
			if key == nil || value == nil {
				return malformedXML(nil)
			}
			elem := reflect.New(s.elem.goType).Elem()
			if err := d.value(value, s.elem, elem); err != nil {
				return err
			}
			v.SetMapIndex(reflect.ValueOf(key.text.String()), elem)
		}
		return nil
	}
	if d.strict && len(e.kids) > 0 || !setText(s, "iso8601", e.text.String(), v) {
		return malformedXML(nil)
	}
	return nil
}

// member reads one member of a structure from the structure's element.
func (d xmlDecoder) member(e *element, m *member, v reflect.Value) (given bool, err error) {
	if m.ref.XMLAttribute {
		a, ok := e.attrs[m.wireName()]
		if ok && !setText(m.shape, "iso8601", a, m.field(v)) {
			return false, malformedXML(nil)
		}
		return ok, nil
	}
	if m.flat() {
		if name := m.flatName(); e.kid(name) != nil {
			return true, d.list(e.kids, m.shape, m.field(v), name)
		}
		return false, nil
	}
	k := e.kid(m.wireName())
	if k == nil {
		return false, nil
	}
	return true, d.value(k, m.shape, m.field(v))
}

// list reads the elements of a name into a list.
func (d xmlDecoder) list(elements []*element, s *shape, v reflect.Value, name string) error {
	items := 0
	for _, e := range elements {
		if e.name == name {
			items++
		}
	}
	v.Set(reflect.MakeSlice(v.Type(), items, items))
	items = 0
	for _, e := range elements {
		if e.name != name {
			continue
		}
		if err := d.value(e, s.elem, v.Index(items)); err != nil {
			return err
		}
		items++
	}
	return nil
}

// flat says whether a list stands in its structure without an element of its own.
func (m *member) flat() bool { return m.kind == list && (m.ref.Flattened || m.shape.Flattened) }

// flatName is the element name of the items of a flat list.
func (m *member) flatName() string {
	return orElse(m.ref.LocationName, orElse(m.shape.Member.LocationName, m.name))
}

// appendXML appends the members of a structure, without an element for the structure itself.
func appendXML(b []byte, s *shape, v reflect.Value) []byte {
	for _, m := range s.members {
		f, ok := m.value(v)
		if !ok || !m.inBody() || m.ref.XMLAttribute {
			continue
		}
		if m.flat() {
			for i := range f.Len() {
				b = appendElement(b, m.flatName(), m.elem, f.Index(i), m.elem.XMLNamespace)
			}
			continue
		}
		space := m.ref.XMLNamespace
		if space == nil {
			space = m.shape.XMLNamespace
		}
		b = appendElement(b, m.wireName(), m.shape, f, space)
	}
	return b
}

// appendElement appends one value as an element.
func appendElement(b []byte, name string, s *shape, v reflect.Value, space *model.Namespace) []byte {
	b = append(append(b, '<'), name...)
	if space != nil {
		b = append(b, " xmlns"...)
		if space.Prefix != "" {
			b = append(append(b, ':'), space.Prefix...)
		}
		b = appendAttribute(b, space.URI)
	}
	if s.kind == structure {
		for _, m := range s.members {
			if f, ok := m.value(v); ok && m.ref.XMLAttribute {
				b = append(append(b, ' '), m.wireName()...)
				b = appendAttribute(b, getText(m.shape, "iso8601", f))
			}
		}
	}
	b = append(b, '>')
	switch s.kind {
	case structure:
		b = appendXML(b, s, v)
	case list:
		for i := range v.Len() {
			b = appendElement(b, orElse(s.Member.LocationName, "member"), s.elem, v.Index(i), s.elem.XMLNamespace)
		}
	case mapping:
		for _, key := range sortedKeys(v) {
			b = append(b, "<entry>"...)
			b = appendElement(b, orElse(s.Key.LocationName, "key"), s.key, reflect.ValueOf(key), nil)
			b = appendElement(b, orElse(s.Value.LocationName, "value"), s.elem, v.MapIndex(reflect.ValueOf(key)), nil)
			b = append(b, "</entry>"...)
		}
	default:
		b = appendEscaped(b, getText(s, "iso8601", v))
	}
	b = append(append(b, "</"...), name...)
	return append(b, '>')
}

// appendAttribute appends ="value".
func appendAttribute(b []byte, value string) []byte {
	return append(appendEscaped(append(b, '=', '"'), value), '"')
}

// appendEscaped appends character data. What XML cannot carry is replaced.
func appendEscaped(b []byte, s string) []byte {
	if !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == '<' || r == '>' || r == '&' || r == '"' || r == '\'' || r > '~'
	}) {
		return append(b, s...)
	}
	buf := bytes.NewBuffer(b)
	_ = xml.EscapeText(buf, []byte(s)) // a bytes.Buffer does not fail
	return buf.Bytes()
}
