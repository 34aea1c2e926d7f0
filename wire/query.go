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

// param is one parameter of a query.
type param struct{ name, text string }

// branch is the parameters of a query whose names begin alike: of Tag.1.Key=a and Tag.1.Value=b the
// branch Tag has one branch, 1, which has two. It is a part of one sorted list, so that names which
// are long or many take no more memory than they are worth.
type branch struct {
	params []param
	at     int // where their names go on
}

// plant sorts the parameters of a query; of those with one name the first counts. Deeper names than
// any model has are refused.
func plant(values url.Values) (branch, error) {
	params := make([]param, 0, len(values))
	for name, texts := range values {
		if strings.Count(name, ".") > deepest {
			return branch{}, api.Errorf(api.Unserializable, "")
		}
		params = append(params, param{name, texts[0]})
	}
	slices.SortFunc(params, func(a, b param) int { return compareNames(a.name, b.name) })
	return branch{params: params}, nil
}

// compareNames orders names so that those of a branch are side by side: a dot is before all else.
func compareNames(a, b string) int {
	for i := range min(len(a), len(b)) {
		switch {
		case a[i] == b[i]:
		case a[i] == '.':
			return -1
		case b[i] == '.':
			return 1
		default:
			return int(a[i]) - int(b[i])
		}
	}
	return len(a) - len(b)
}

// part is the next part of a parameter's name.
func (b branch) part(p param) string {
	part, _, _ := strings.Cut(p.name[b.at:], ".")
	return part
}

// text is what is given under the branch's own name.
func (b branch) text() (text string, given bool) {
	if len(b.params) == 0 || len(b.params[0].name) >= b.at {
		return "", false
	}
	return b.params[0].text, true
}

// parts is the branch without its text.
func (b branch) parts() branch {
	if _, given := b.text(); given {
		b.params = b.params[1:]
	}
	return b
}

// kid is the branch of a name, empty where there is none. The branch has no text.
func (b branch) kid(name string) branch {
	from, _ := slices.BinarySearchFunc(b.params, name, func(p param, name string) int { return strings.Compare(b.part(p), name) })
	to := from
	for to < len(b.params) && b.part(b.params[to]) == name {
		to++
	}
	return branch{b.params[from:to], b.at + len(name) + 1}
}

// unwrapped is the branch under a name that stands between a list or map and its items. Clients of
// flat lists leave it out.
func (b branch) unwrapped(name string) branch {
	if inner := b.kid(name); len(inner.params) > 0 && len(inner.params) == len(b.params) {
		return inner.parts()
	}
	return b
}

// item is an item of a list or map.
type item struct {
	number int
	branch
}

// items are the numbered branches in the order of their numbers, which may have gaps and begin
// anywhere; ok is false when one is no number. source: guess
func (b branch) items() (items []item, ok bool) {
	for len(b.params) > 0 {
		name := b.part(b.params[0])
		n, err := strconv.Atoi(name)
		if err != nil || n < 0 || strconv.Itoa(n) != name {
			return nil, false
		}
		one := b.kid(name)
		items = append(items, item{n, one})
		b.params = b.params[len(one.params):]
	}
	slices.SortFunc(items, func(a, b item) int { return a.number - b.number })
	return items, true
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
func (d *queryDecoder) structure(s *shape, b branch, v reflect.Value) error {
	var seen fields
	for _, m := range s.members {
		name := m.wireName()
		if d.ec2 {
			name = m.ec2Name()
		}
		kid := b.kid(name)
		if len(kid.params) == 0 {
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
func (d *queryDecoder) value(s *shape, b branch, v reflect.Value) error {
	in, given := b.text()
	parts := b.parts()
	switch {
	case s.nested() && in != "", !s.nested() && (len(parts.params) > 0 || !given):
		return d.malformed(s, in)
	case s.kind == structure:
		return d.structure(s, parts, v)
	case s.kind == list:
		return d.list(s, parts, v)
	case s.kind == mapping:
		return d.mapping(s, parts, v)
	case !setText(s, "iso8601", in, v):
		return d.malformed(s, in)
	}
	return nil
}

// list reads the items of a list. An empty text is an empty list.
func (d *queryDecoder) list(s *shape, b branch, v reflect.Value) error {
	if !d.ec2 && !s.Flattened {
		b = b.unwrapped(orElse(s.Member.LocationName, "member"))
	}
	items, ok := b.items()
	if !ok {
		return d.malformed(s, "")
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		d.check.item(i)
		d.check.enter("member")
		if err := d.value(s.elem, item.branch, v.Index(i)); err != nil {
			return err
		}
		d.check.leave(2)
	}
	return nil
}

// mapping reads the entries of a map.
func (d *queryDecoder) mapping(s *shape, b branch, v reflect.Value) error {
	items, ok := b.unwrapped("entry").items()
	if !ok {
		return d.malformed(s, "")
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(items)))
	for _, item := range items {
		parts := item.parts()
		key, given := parts.kid(orElse(s.Key.LocationName, "key")).text()
		if !given {
			return d.malformed(s, "")
		}
		d.check.enter(key)
		d.check.enter("member")
		elem := reflect.New(s.elem.goType).Elem()
		if err := d.value(s.elem, parts.kid(orElse(s.Value.LocationName, "value")), elem); err != nil {
			return err
		}
		d.check.leave(2)
		v.SetMapIndex(reflect.ValueOf(key), elem)
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
