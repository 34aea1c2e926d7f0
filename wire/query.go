package wire

import (
	"encoding/base64"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/vennel/vennel/api"
)

// tree is a query with its dotted names taken apart: Tag.1.Key=a is tree.kids[Tag].kids[1].kids[Key].
type tree struct {
	text  string
	given bool // text was given
	kids  map[string]*tree
}

// plant takes a query apart. Deeper names than any model has are refused.
func plant(values url.Values) (*tree, error) {
	root := new(tree)
	for name, texts := range values {
		t := root
		for depth, part := range strings.Split(name, ".") {
			if depth > deepest {
				return nil, api.Errorf(api.Unserializable, "The parameter name is nested too deeply")
			}
			if t.kids == nil {
				t.kids = map[string]*tree{}
			}
			if t.kids[part] == nil {
				t.kids[part] = new(tree)
			}
			t = t.kids[part]
		}
		t.text, t.given = texts[0], true
	}
	return root, nil
}

// items are the numbered kids in the order of their numbers, which may have gaps.
func (t *tree) items() ([]*tree, error) {
	numbers := make([]int, 0, len(t.kids))
	for name := range t.kids {
		n, err := strconv.Atoi(name)
		if err != nil || n < 0 || strconv.Itoa(n) != name {
			return nil, api.Errorf(api.Unserializable, "%s is not a valid index", name)
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	out := make([]*tree, len(numbers))
	for i, n := range numbers {
		out[i] = t.kids[strconv.Itoa(n)]
	}
	return out, nil
}

// decodeQuery reads the query form of a shape into v and checks it. ec2 says which of the two
// dialects is spoken.
func decodeQuery(values url.Values, s *shape, v reflect.Value, ec2 bool, c *checker) error {
	root, err := plant(values)
	if err != nil {
		return err
	}
	d := queryDecoder{ec2: ec2, check: c}
	if err := d.structure(s, root, v, nil); err != nil {
		return err
	}
	return c.err()
}

// queryDecoder walks a shape along a tree.
type queryDecoder struct {
	ec2   bool
	check *checker
}

// structure reads the members that were given.
func (d *queryDecoder) structure(s *shape, t *tree, v reflect.Value, p *path) error {
	var seen fields
	for _, m := range s.members {
		name := m.wireName()
		if d.ec2 {
			name = m.ec2Name()
		}
		kid := t.kids[name]
		if kid == nil {
			continue
		}
		seen.add(m)
		if err := d.value(m.shape, kid, m.field(v), &path{p, m.path}); err != nil {
			return err
		}
	}
	d.check.required(s, &seen, p)
	return nil
}

// value reads one value.
func (d *queryDecoder) value(s *shape, t *tree, v reflect.Value, p *path) error {
	switch s.kind {
	case structure:
		return d.structure(s, t, v, p)
	case list:
		if !d.ec2 && !s.Flattened {
			name := s.Member.LocationName
			if name == "" {
				name = "member"
			}
			if inner := t.kids[name]; inner != nil {
				t = inner
			}
		}
		items, err := t.items()
		if err != nil {
			return err
		}
		v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
		for i, item := range items {
			at := &path{p, strconv.Itoa(i + 1)}
			if s.elem.kind == structure || s.elem.kind == list || s.elem.kind == mapping {
				at = &path{at, "member"}
				err = d.value(s.elem, item, v.Index(i), at)
			} else {
				err = setText(s.elem, "iso8601", item.text, v.Index(i), at)
			}
			if err != nil {
				return err
			}
		}
	case mapping:
		if inner := t.kids["entry"]; inner != nil {
			t = inner
		}
		items, err := t.items()
		if err != nil {
			return err
		}
		v.Set(reflect.MakeMapWithSize(v.Type(), len(items)))
		for _, item := range items {
			key, value := item.kids[orElse(s.Key.LocationName, "key")], item.kids[orElse(s.Value.LocationName, "value")]
			if key == nil || value == nil {
				return api.Errorf(api.Unserializable, "Each entry of %s needs a key and a value", p)
			}
			elem := reflect.New(s.elem.goType).Elem()
			if err := d.value(s.elem, value, elem, &path{&path{p, key.text}, "member"}); err != nil {
				return err
			}
			v.SetMapIndex(reflect.ValueOf(key.text), elem)
		}
	default:
		if err := setText(s, "iso8601", t.text, v, p); err != nil {
			return err
		}
	}
	d.check.value(s, v, p)
	return nil
}

// orElse is a, or b when a is empty.
func orElse(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// encodeQuery is the query form of a request, for our own clients.
func encodeQuery(values url.Values, s *shape, v reflect.Value, ec2 bool, prefix string) {
	switch s.kind {
	case structure:
		for _, m := range s.members {
			f, ok := m.value(v)
			if !ok {
				continue
			}
			name := m.wireName()
			if ec2 {
				name = m.ec2Name()
			}
			encodeQuery(values, m.shape, f, ec2, dotted(prefix, name))
		}
	case list:
		if v.Len() == 0 {
			values.Set(prefix, "")
			return
		}
		if !ec2 && !s.Flattened {
			prefix = dotted(prefix, orElse(s.Member.LocationName, "member"))
		}
		for i := range v.Len() {
			encodeQuery(values, s.elem, v.Index(i), ec2, dotted(prefix, strconv.Itoa(i+1)))
		}
	case mapping:
		for i, key := range sortedKeys(v) {
			entry := dotted(prefix, "entry."+strconv.Itoa(i+1))
			values.Set(dotted(entry, orElse(s.Key.LocationName, "key")), key)
			encodeQuery(values, s.elem, v.MapIndex(reflect.ValueOf(key)), ec2, dotted(entry, orElse(s.Value.LocationName, "value")))
		}
	case blob:
		values.Set(prefix, base64.StdEncoding.EncodeToString(v.Bytes()))
	default:
		values.Set(prefix, getText(s, "iso8601", v))
	}
}

// dotted joins two parts of a name.
func dotted(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}
