package wire

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vennel/vennel/api"
)

// deepest is how far values may nest in any request. The deepest shape of a model has 12 levels;
// unknown members may nest a little further before they are refused.
const deepest = 64

// decodeJSON reads the JSON form of a shape into v and checks it. Members that the model lacks are
// passed over: agents send some that no public model has.
func decodeJSON(body []byte, s *shape, v reflect.Value, c *checker) error {
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	d := jsonDecoder{
		in:    jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true)),
		check: c,
	}
	if err := d.value(s, v, nil); err != nil {
		return unserializable(err)
	}
	if _, err := d.in.ReadToken(); err != io.EOF {
		return api.Errorf(api.Unserializable, "")
	}
	return c.err()
}

// unserializable gives AWS's error for a body that is not what the model says. Syntax errors have
// no message there either.
func unserializable(err error) error {
	var e *api.Error
	if errors.As(err, &e) {
		return err
	}
	return &api.Error{Reason: api.Unserializable, Cause: err}
}

// jsonDecoder walks a shape along the tokens of a JSON text.
type jsonDecoder struct {
	in    *jsontext.Decoder
	check *checker
}

// misfit is the error for a token of the wrong kind.
func misfit(found jsontext.Kind, wanted string) error {
	names := map[jsontext.Kind]string{'"': "STRING_VALUE", '0': "NUMBER_VALUE", 't': "TRUE_VALUE", 'f': "FALSE_VALUE"}
	switch found {
	case '{':
		return api.Errorf(api.Unserializable, "Start of structure or map found where not expected.")
	case '[':
		return api.Errorf(api.Unserializable, "Start of list found where not expected")
	}
	return api.Errorf(api.Unserializable, "%s can not be converted to %s", names[found], wanted)
}

// value reads one value that is not null.
func (d *jsonDecoder) value(s *shape, v reflect.Value, p *path) error {
	if d.in.StackDepth() > deepest {
		return api.Errorf(api.Unserializable, "The request is nested too deeply")
	}
	k := d.in.PeekKind()
	switch s.kind {
	case structure:
		return d.structure(s, v, p, k)
	case list:
		if k != '[' {
			return d.wrong(k, api.Errorf(api.Unserializable, "Expected list or null"))
		}
		if err := d.list(s, v, p); err != nil {
			return err
		}
	case mapping:
		if k != '{' {
			return d.wrong(k, api.Errorf(api.Unserializable, "Expected map or null"))
		}
		if err := d.mapping(s, v, p); err != nil {
			return err
		}
	default:
		token, err := d.in.ReadToken()
		if err != nil {
			return err
		}
		if err := setJSON(s, v, token); err != nil {
			return err
		}
	}
	d.check.value(s, v, p)
	return nil
}

// wrong gives the syntax error of the next token when it has one, and err otherwise.
func (d *jsonDecoder) wrong(k jsontext.Kind, err error) error {
	if k == 0 {
		_, err = d.in.ReadToken()
	}
	return err
}

// structure reads an object.
func (d *jsonDecoder) structure(s *shape, v reflect.Value, p *path, k jsontext.Kind) error {
	if k != '{' {
		return d.wrong(k, api.Errorf(api.Unserializable, "Expected null"))
	}
	if _, err := d.in.ReadToken(); err != nil {
		return err
	}
	var seen fields
	for d.in.PeekKind() != '}' {
		name, err := d.in.ReadToken()
		if err != nil {
			return err
		}
		m := s.byName[name.String()]
		if m == nil || !m.inBody() || d.in.PeekKind() == 'n' {
			if err := d.skip(); err != nil {
				return err
			}
			continue
		}
		seen.add(m)
		if err := d.value(m.shape, m.field(v), &path{p, m.path}); err != nil {
			return err
		}
	}
	if _, err := d.in.ReadToken(); err != nil {
		return err
	}
	d.check.required(s, &seen, p)
	return nil
}

// skip passes over a value, no deeper than any value may be.
func (d *jsonDecoder) skip() error {
	for base := d.in.StackDepth(); ; {
		if _, err := d.in.ReadToken(); err != nil {
			return err
		}
		if d.in.StackDepth() <= base {
			return nil
		}
		if d.in.StackDepth() > deepest {
			return api.Errorf(api.Unserializable, "The request is nested too deeply")
		}
	}
}

// list reads an array.
func (d *jsonDecoder) list(s *shape, v reflect.Value, p *path) error {
	if _, err := d.in.ReadToken(); err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 4))
	for d.in.PeekKind() != ']' {
		i := v.Len()
		if d.in.PeekKind() == 'n' {
			if err := d.skip(); err != nil {
				return err
			}
			continue
		}
		v.Grow(1)
		v.SetLen(i + 1)
		v.Index(i).SetZero()
		item := &path{p, strconv.Itoa(i + 1)}
		if s.elem.kind == structure || s.elem.kind == list || s.elem.kind == mapping {
			item = &path{item, "member"}
			if err := d.value(s.elem, v.Index(i), item); err != nil {
				return err
			}
			continue
		}
		if err := d.scalar(s.elem, v.Index(i)); err != nil {
			return err
		}
	}
	_, err := d.in.ReadToken()
	return err
}

// scalar reads an item of a list or map that the container checks.
func (d *jsonDecoder) scalar(s *shape, v reflect.Value) error {
	token, err := d.in.ReadToken()
	if err != nil {
		return err
	}
	return setJSON(s, v, token)
}

// mapping reads an object whose names are data.
func (d *jsonDecoder) mapping(s *shape, v reflect.Value, p *path) error {
	if _, err := d.in.ReadToken(); err != nil {
		return err
	}
	v.Set(reflect.MakeMap(v.Type()))
	for d.in.PeekKind() != '}' {
		name, err := d.in.ReadToken()
		if err != nil {
			return err
		}
		key := name.String()
		if d.in.PeekKind() == 'n' {
			if err := d.skip(); err != nil {
				return err
			}
			continue
		}
		elem := reflect.New(s.elem.goType).Elem()
		switch s.elem.kind {
		case structure, list, mapping:
			err = d.value(s.elem, elem, &path{&path{p, key}, "member"})
		default:
			err = d.scalar(s.elem, elem)
		}
		if err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(key), elem)
	}
	_, err := d.in.ReadToken()
	return err
}

// setJSON puts a scalar token into v.
func setJSON(s *shape, v reflect.Value, token jsontext.Token) error {
	k := token.Kind()
	switch s.kind {
	case text:
		if k != '"' {
			return misfit(k, "a String")
		}
		v.SetString(token.String())
	case integer:
		wanted := "an Integer"
		if s.Type == "long" {
			wanted = "a Long"
		}
		if k != '0' {
			return misfit(k, wanted)
		}
		n, err := strconv.ParseInt(token.String(), 10, bits(s))
		if err != nil {
			f := number(token)
			if f != math.Trunc(f) || !(math.Abs(f) <= 1<<53) || bits(s) == 32 && math.Abs(f) > math.MaxInt32 {
				return api.Errorf(api.Unserializable, "NUMBER_VALUE can not be converted to %s", wanted)
			}
			n = int64(f)
		}
		v.SetInt(n)
	case float:
		if k != '0' {
			return misfit(k, "a Double")
		}
		v.SetFloat(number(token))
	case boolean:
		if k != 't' && k != 'f' {
			return misfit(k, "a Boolean")
		}
		v.SetBool(token.Bool())
	case timestamp:
		if k != '0' {
			return misfit(k, "milliseconds since epoch")
		}
		t, ok := fromEpoch(number(token))
		if !ok {
			return api.Errorf(api.Unserializable, "NUMBER_VALUE can not be converted to milliseconds since epoch")
		}
		v.Set(reflect.ValueOf(t))
	case blob:
		if k != '"' {
			return misfit(k, "a Blob")
		}
		b, err := base64.StdEncoding.DecodeString(token.String())
		if err != nil {
			return api.Errorf(api.Unserializable, "Invalid base64 encoding")
		}
		v.SetBytes(b)
	}
	return nil
}

// number is the value of a number token; one beyond the range of a float is infinite.
func number(token jsontext.Token) float64 {
	f, _ := token.Float()
	return f
}

// bits is the width of an integer shape.
func bits(s *shape) int {
	if s.Type == "integer" {
		return 32
	}
	return 64
}

// fromEpoch turns seconds into a time, to the millisecond, between the years 0 and 9999.
func fromEpoch(seconds float64) (time.Time, bool) {
	if math.IsNaN(seconds) || seconds < -62167219200 || seconds >= 253402300800 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(math.Round(seconds * 1000))).UTC(), true
}

// appendJSON appends the JSON form of v.
func appendJSON(b []byte, s *shape, v reflect.Value) ([]byte, error) {
	return jsonStyle{}.append(b, s, v)
}

// mostAudit is the largest request or answer that the audit trail keeps whole, as CloudTrail does.
const mostAudit = 100 << 10

// auditJSON is the form that the audit trail keeps: names begin in lower case, secrets are left
// out, and what is very long is only counted.
func auditJSON(s *shape, v reflect.Value) []byte {
	b, err := jsonStyle{audit: true}.append(nil, s, v)
	if err != nil {
		return nil
	}
	if len(b) > mostAudit {
		return fmt.Appendf(nil, `{"omitted":true,"originalSize":%d,"reason":"too large"}`, len(b))
	}
	return b
}

// jsonStyle is a way of writing JSON.
type jsonStyle struct {
	skip  []string // members of the outermost structure to leave out
	audit bool     // for the audit trail
}

// append appends v in the style.
func (j jsonStyle) append(b []byte, s *shape, v reflect.Value) ([]byte, error) {
	var err error
	if j.audit && s.Sensitive {
		return append(b, `"HIDDEN_DUE_TO_SECURITY_REASONS"`...), nil
	}
	inner := jsonStyle{audit: j.audit}
	switch s.kind {
	case structure:
		b = append(b, '{')
		first := true
		for _, m := range s.members {
			f, ok := m.value(v)
			if !ok || !(m.inBody() || j.audit) || slices.Contains(j.skip, m.name) {
				continue
			}
			if !first {
				b = append(b, ',')
			}
			first = false
			name := m.wireName()
			if j.audit {
				name = m.path
			}
			b = append(append(append(b, '"'), name...), '"', ':')
			if b, err = inner.append(b, m.shape, f); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case list:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = inner.append(b, s.elem, v.Index(i)); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case mapping:
		b = append(b, '{')
		for i, key := range sortedKeys(v) {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendText(b, key); err != nil {
				return nil, err
			}
			b = append(b, ':')
			if b, err = inner.append(b, s.elem, v.MapIndex(reflect.ValueOf(key))); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case text:
		return appendText(b, v.String())
	case integer:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case float:
		return strconv.AppendFloat(b, v.Float(), 'g', -1, 64), nil
	case boolean:
		return strconv.AppendBool(b, v.Bool()), nil
	case timestamp:
		return appendEpoch(b, v.Interface().(time.Time)), nil
	case blob:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, v.Bytes())
		return append(b, '"'), nil
	}
	return nil, errors.New("wire: a stream has no JSON form")
}

// appendText appends a JSON string; invalid UTF-8, which no client could read, is replaced.
func appendText(b []byte, s string) ([]byte, error) {
	b, err := jsontext.AppendQuote(b, s)
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		err = nil // the replacement has been made
	}
	return b, err
}

// appendEpoch appends a time as seconds, to the millisecond.
func appendEpoch(b []byte, t time.Time) []byte {
	ms := t.UnixMilli()
	if ms < 0 {
		return strconv.AppendFloat(b, float64(ms)/1000, 'f', -1, 64)
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	if rest := ms % 1000; rest != 0 {
		b = append(b, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	}
	return b
}

// sortedKeys are a map's keys in order, so that equal values have equal bytes.
func sortedKeys(v reflect.Value) []string {
	keys := make([]string, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		keys = append(keys, it.Key().String())
	}
	slices.Sort(keys)
	return keys
}

// appendObject appends an object of strings and other scalars, in the order of names.
func appendObject(b []byte, fields map[string]any) ([]byte, error) {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(fields)) {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendText(b, name); err != nil {
			return nil, err
		}
		b = append(b, ':')
		switch v := fields[name].(type) {
		case string:
			if b, err = appendText(b, v); err != nil {
				return nil, err
			}
		case int:
			b = strconv.AppendInt(b, int64(v), 10)
		case int64:
			b = strconv.AppendInt(b, v, 10)
		case bool:
			b = strconv.AppendBool(b, v)
		default:
			return nil, errors.New("wire: an error's field is neither text, number nor boolean")
		}
	}
	return append(b, '}'), nil
}
