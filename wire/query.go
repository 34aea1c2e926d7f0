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
		if strings.Count(name, ".") > deepest {
			return nil, api.Errorf(api.Unserializable, "")
		}
		t := root
		for part := range strings.SplitSeq(name, ".") {
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

// items are the numbered kids in the order of their numbers, which may have gaps and begin
// anywhere; ok is false when a kid is no number. source: guess
func (t *tree) items() (items []*tree, ok bool) {
	numbers := make([]int, 0, len(t.kids))
	for name := range t.kids {
		n, err := strconv.Atoi(name)
		if err != nil || n < 0 || strconv.Itoa(n) != name {
			return nil, false
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	items = make([]*tree, len(numbers))
	for i, n := range numbers {
		items[i] = t.kids[strconv.Itoa(n)]
	}
	return items, true
}

// unwrapped is the tree under a name that stands between a list or map and its items. Clients of
// flat lists leave it out.
func (t *tree) unwrapped(name string) *tree {
	if inner := t.kids[name]; inner != nil && len(t.kids) == 1 {
		return inner
	}
	return t
}

// decodeQuery reads the query form of a shape into v and checks it. ec2 says which of the two
// dialects is spoken.
func decodeQuery(values url.Values, s *shape, v reflect.Value, ec2 bool, c *checker) error {
	root, err := plant(values)
	if err != nil {
		return err
	}
	d := queryDecoder{ec2: ec2, check: c}
	if err := d.structure(s, root, v); err != nil {
		return err
	}
	return c.err()
}

// queryDecoder walks a shape along a tree.
type queryDecoder struct {
	ec2   bool
	check *checker
}

// structure reads the members that were given, in the model's order.
func (d *queryDecoder) structure(s *shape, t *tree, v reflect.Value) error {
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
		d.check.enter(m.path)
		f := m.field(v)
		if err := d.value(m.shape, kid, f); err != nil {
			return err
		}
		d.check.value(m.shape, f)
		d.check.leave(1)
	}
	d.check.required(s, &seen)
	return nil
}

// value reads one value, which the place that holds it checks.
func (d *queryDecoder) value(s *shape, t *tree, v reflect.Value) error {
	if s.nested() && t.text != "" || !s.nested() && (t.kids != nil || !t.given) {
		return d.malformed(s, t.text)
	}
	switch s.kind {
	case structure:
		return d.structure(s, t, v)
	case list:
		return d.list(s, t, v)
	case mapping:
		return d.mapping(s, t, v)
	}
	if !setText(s, "iso8601", t.text, v) {
		return d.malformed(s, t.text)
	}
	return nil
}

// list reads the items of a list. An empty text is an empty list.
func (d *queryDecoder) list(s *shape, t *tree, v reflect.Value) error {
	if !d.ec2 && !s.Flattened {
		t = t.unwrapped(orElse(s.Member.LocationName, "member"))
	}
	items, ok := t.items()
	if !ok {
		return d.malformed(s, "")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		d.check.item(i)
		d.check.enter("member")
		if err := d.value(s.elem, item, v.Index(i)); err != nil {
			return err
		}
		d.check.leave(2)
	}
	return nil
}

// mapping reads the entries of a map.
func (d *queryDecoder) mapping(s *shape, t *tree, v reflect.Value) error {
	items, ok := t.unwrapped("entry").items()
	if !ok {
		return d.malformed(s, "")
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(items)))
	for _, item := range items {
		key, value := item.kids[orElse(s.Key.LocationName, "key")], item.kids[orElse(s.Value.LocationName, "value")]
		if key == nil || value == nil || !key.given {
			return d.malformed(s, "")
		}
		d.check.enter(key.text)
		d.check.enter("member")
		elem := reflect.New(s.elem.goType).Elem()
		if err := d.value(s.elem, value, elem); err != nil {
			return err
		}
		d.check.leave(2)
		v.SetMapIndex(reflect.ValueOf(key.text), elem)
	}
	return nil
}

// malformed is the error for a text that is no value of the shape, or a value where there should be
// parts. AWS says little about it.
func (d *queryDecoder) malformed(s *shape, text string) error {
	switch {
	case d.ec2 && hides(s):
		return api.Errorf(api.Unserializable, "The value for parameter %s is invalid.", d.check.path())
	case d.ec2:
		return api.Errorf(api.Unserializable, "Value (%s) for parameter %s is invalid.", brief(text), d.check.path()) // source: aws, for other parameters
	case s.kind == integer && text == "":
		return api.Errorf(api.Unserializable, "missing value for decimal type") // source: aws
	}
	return api.Errorf(api.Unserializable, "") // source: aws
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
