package wire

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vennel/vennel/api"
)

// deepest is how far values may nest in any request. The deepest shape of a model has 12 levels;
// unknown members may nest a little further before they are refused.
const deepest = 64

// decodeJSON reads the JSON form of a shape into v and checks it. Members that the model lacks are
// passed over: agents send some that no public model has. Of a name that is given twice the last
// counts. An empty body is an empty object.
func decodeJSON(body []byte, s *shape, v reflect.Value, c *checker) error {
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	in := decoders.Get().(*tokenizer)
	defer in.done()
	in.buffer = *bytes.NewBuffer(body)
	in.Reset(&in.buffer, jsontext.AllowDuplicateNames(true))
	d := jsonDecoder{in: in, check: c}
	if first := d.in.PeekKind(); first != '{' && first != '[' && first != 0 {
		return unserializable(fmt.Errorf("the body is a %v", first))
	}
	if err := d.value(s, v); err != nil {
		return unserializable(err)
	}
	if _, err := d.in.ReadToken(); !errors.Is(err, io.EOF) {
		return unserializable(err)
	}
	return c.err()
}

// unserializable gives AWS's error for a body that is not what the model says. Errors of syntax
// have no message. source: aws
func unserializable(cause error) error {
	if e, ok := errors.AsType[*api.Error](cause); ok {
		return e
	}
	return &api.Error{Reason: api.Unserializable, Cause: cause}
}

// tokenizer is a reader of JSON tokens, used again and again.
type tokenizer struct {
	jsontext.Decoder
	buffer bytes.Buffer
}

// decoders are the tokenizers that are not in use.
var decoders = sync.Pool{New: func() any { return new(tokenizer) }}

// done lets go of the text.
func (t *tokenizer) done() {
	t.buffer = bytes.Buffer{}
	t.Reset(&t.buffer)
	decoders.Put(t)
}

// jsonDecoder walks a shape along the tokens of a JSON text.
type jsonDecoder struct {
	in    *tokenizer
	check *checker
}

// tokenKinds are the kinds of scalars as AWS calls them. source: aws
var tokenKinds = map[jsontext.Kind]string{'"': "STRING_VALUE", '0': "NUMBER_VALUE", 't': "TRUE_VALUE", 'f': "FALSE_VALUE"}

// wanted is what AWS says that a scalar must be convertible to. source: aws; a long, a double and a
// string for a boolean by analogy
func wanted(s *shape) string {
	switch s.kind {
	case integer:
		if s.Type == "long" {
			return "a Long"
		}
		return "an Integer"
	case float:
		return "a Double"
	case boolean:
		return "a Boolean"
	case timestamp:
		return "milliseconds since epoch"
	case blob:
		return "a Blob"
	}
	return "a String"
}

// misfit is the error for a value of another kind than the shape's: AWS's words depend on both.
// source: aws
func misfit(s *shape, found jsontext.Kind) error {
	switch {
	case found == '{':
		return api.Errorf(api.Unserializable, "Start of structure or map found where not expected.")
	case found == '[':
		return api.Errorf(api.Unserializable, "Start of list found where not expected")
	case s.kind == structure:
		return api.Errorf(api.Unserializable, "Expected null")
	case s.kind == list:
		return api.Errorf(api.Unserializable, "Expected list or null")
	case s.kind == mapping:
		return api.Errorf(api.Unserializable, "Expected map or null")
	case s.kind == boolean && found == '"':
		return api.Errorf(api.Unserializable, "STRING_VALUE can not be converted to an Boolean")
	}
	return api.Errorf(api.Unserializable, "%s can not be converted to %s", tokenKinds[found], wanted(s))
}

// value reads one value, which the place that holds it checks.
func (d *jsonDecoder) value(s *shape, v reflect.Value) error {
	if d.in.StackDepth() > deepest {
		return tooDeep()
	}
	if !s.nested() {
		token, err := d.in.ReadToken()
		if err != nil {
			return err
		}
		return setJSON(s, v, token)
	}
	found := d.in.PeekKind()
	fits := found == '{'
	if s.kind == list {
		fits = found == '['
	}
	token, err := d.in.ReadToken()
	if err != nil {
		return err
	}
	if !fits {
		return misfit(s, token.Kind())
	}
	switch s.kind {
	case structure:
		err = d.structure(s, v)
	case list:
		err = d.list(s, v)
	default:
		err = d.mapping(s, v)
	}
	if err != nil {
		return err
	}
	_, err = d.in.ReadToken() // the end, which has been seen
	return err
}

// tooDeep is the error of a value that nests further than any of ours.
func tooDeep() error { return api.Errorf(api.Unserializable, "The request is nested too deeply") }

// structure reads the members of an object.
func (d *jsonDecoder) structure(s *shape, v reflect.Value) error {
	var seen fields
	for d.in.PeekKind() != '}' {
		name, err := d.name()
		if err != nil {
			return err
		}
		m := s.byName[string(name)]
		if m == nil || !m.inBody() {
			if err := d.skip(); err != nil {
				return err
			}
			continue
		}
		if err := d.member(m, v, &seen); err != nil {
			return err
		}
	}
	d.check.required(s, &seen)
	return nil
}

// member reads one member of a structure. A null is an absent one.
func (d *jsonDecoder) member(m *member, v reflect.Value, seen *fields) error {
	d.check.enter(m.path)
	defer d.check.leave(1)
	if seen.has(m) {
		v.Field(m.index).SetZero()
		seen.remove(m)
		d.check.forget()
	}
	if d.in.PeekKind() == 'n' {
		return d.skip()
	}
	seen.add(m)
	f := m.field(v)
	if err := d.value(m.shape, f); err != nil {
		return err
	}
	d.check.value(m.shape, f)
	return nil
}

// name reads the name of a member, without its escapes. It is valid until the next read.
func (d *jsonDecoder) name() ([]byte, error) {
	quoted, err := d.in.ReadValue()
	if err != nil {
		return nil, err
	}
	if plain := quoted[1 : len(quoted)-1]; bytes.IndexByte(plain, '\\') < 0 {
		return plain, nil
	}
	return jsontext.AppendUnquote(nil, quoted)
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
			return tooDeep()
		}
	}
}

// list reads the items of an array; those that are null are passed over.
func (d *jsonDecoder) list(s *shape, v reflect.Value) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 4))
	for d.in.PeekKind() != ']' {
		if d.in.PeekKind() == 'n' {
			if err := d.skip(); err != nil {
				return err
			}
			continue
		}
		i := v.Len()
		v.Grow(1)
		v.SetLen(i + 1)
		v.Index(i).SetZero()
		d.check.item(i)
		d.check.enter("member")
		if err := d.value(s.elem, v.Index(i)); err != nil {
			return err
		}
		d.check.leave(2)
	}
	return nil
}

// mapping reads an object whose names are data.
func (d *jsonDecoder) mapping(s *shape, v reflect.Value) error {
	v.Set(reflect.MakeMap(v.Type()))
	for d.in.PeekKind() != '}' {
		name, err := d.name()
		if err != nil {
			return err
		}
		key := string(name)
		d.check.enter(key)
		d.check.enter("member")
		given := reflect.ValueOf(key)
		if v.MapIndex(given).IsValid() {
			v.SetMapIndex(given, reflect.Value{})
			d.check.forget()
		}
		if d.in.PeekKind() == 'n' {
			err = d.skip()
		} else {
			elem := reflect.New(s.elem.goType).Elem()
			if err = d.value(s.elem, elem); err == nil {
				v.SetMapIndex(given, elem)
			}
		}
		if err != nil {
			return err
		}
		d.check.leave(2)
	}
	return nil
}

// setJSON puts a scalar token into v.
func setJSON(s *shape, v reflect.Value, token jsontext.Token) error {
	k := token.Kind()
	switch {
	case s.kind == text && k == '"':
		v.SetString(token.String())
	case s.kind == integer && k == '0':
		v.SetInt(truncated(token, bits(s)))
	case s.kind == float && k == '0':
		f, err := token.Float()
		if err != nil || math.IsInf(f, 0) {
			return misfit(s, k)
		}
		v.SetFloat(f)
	case s.kind == boolean && (k == 't' || k == 'f'):
		v.SetBool(k == 't')
	case s.kind == boolean && k == '"':
		value, ok := booleans[strings.ToLower(token.String())]
		if !ok {
			return misfit(s, k)
		}
		v.SetBool(value)
	case s.kind == timestamp && k == '0':
		f, _ := token.Float() // one beyond the range of a float is infinite
		t, ok := fromEpoch(f)
		if !ok {
			return misfit(s, k)
		}
		v.Set(reflect.ValueOf(t))
	case s.kind == blob && k == '"':
		b, err := base64.StdEncoding.DecodeString(token.String())
		if err != nil {
			return notBase64(s, token.String())
		}
		v.SetBytes(b)
	default:
		return misfit(s, k)
	}
	return nil
}

// booleans are the texts that AWS takes for a boolean. source: aws
var booleans = map[string]bool{
	"true": true, "yes": true, "y": true, "t": true, "1": true, "false": false, "no": false, "n": false, "f": false, "0": false,
}

// truncated is a number as an integer: without its fraction, and no further than the integers go, as
// AWS reads it; a bound of the model then refuses what is too large. source: aws
func truncated(token jsontext.Token, bits int) int64 {
	n, err := strconv.ParseInt(token.String(), 10, bits) // gives the nearest integer when out of range
	if errors.Is(err, strconv.ErrSyntax) {
		f, _ := token.Float()
		most := float64(uint64(1) << (bits - 1))
		switch {
		case f >= most:
			return int64(uint64(1)<<(bits-1) - 1)
		case f < -most:
			return -1 << (bits - 1)
		}
		return int64(f)
	}
	return n
}

// notBase64 is the error of a blob. source: aws
func notBase64(s *shape, text string) error {
	shown := "'" + brief(text) + "'"
	if s.Sensitive {
		shown = "The value"
	}
	if len(text)%4 != 0 {
		return api.Errorf(api.Unserializable, "%s can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: %d", shown, len(text))
	}
	return api.Errorf(api.Unserializable, "%s can not be converted to a Blob: Invalid Base64 character", shown)
}

// bits is the width of an integer shape.
func bits(s *shape) int {
	if s.Type == "integer" {
		return 32
	}
	return 64
}

// The times that have a form in every protocol: those of the years 0 to 9999, in milliseconds.
const (
	firstTime = -62167219200000
	lastTime  = 253402300799999
)

// fromEpoch turns seconds into a time, to the millisecond.
func fromEpoch(seconds float64) (time.Time, bool) {
	ms := math.Round(seconds * 1000)
	if !(ms >= firstTime && ms <= lastTime) { // nor a number at all
		return time.Time{}, false
	}
	return time.UnixMilli(int64(ms)).UTC(), true
}

// appendJSON appends the JSON form of v.
func appendJSON(b []byte, s *shape, v reflect.Value) []byte {
	return jsonStyle{}.append(b, s, v)
}

// jsonStyle is a way of writing JSON.
type jsonStyle struct {
	skip  []string // members of the outermost structure to leave out
	audit bool     // for the audit trail
}

// append appends v in the style. A stream has no JSON form and is left out.
func (j jsonStyle) append(b []byte, s *shape, v reflect.Value) []byte {
	if j.audit && s.Sensitive {
		return append(b, `"HIDDEN_DUE_TO_SECURITY_REASONS"`...)
	}
	inner := jsonStyle{audit: j.audit}
	switch s.kind {
	case structure:
		b = append(b, '{')
		first := true
		for _, m := range s.members {
			f, ok := m.value(v)
			if !ok || m.kind == streamed || !(m.inBody() || j.audit) || slices.Contains(j.skip, m.name) {
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
			b = inner.append(b, m.shape, f)
		}
		return append(b, '}')
	case list:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = inner.append(b, s.elem, v.Index(i))
		}
		return append(b, ']')
	case mapping:
		b = append(b, '{')
		for i, key := range sortedKeys(v) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendText(b, key), ':')
			b = inner.append(b, s.elem, v.MapIndex(reflect.ValueOf(key)))
		}
		return append(b, '}')
	case integer:
		return strconv.AppendInt(b, v.Int(), 10)
	case float:
		return appendFloat(b, v.Float())
	case boolean:
		return strconv.AppendBool(b, v.Bool())
	case timestamp:
		return appendEpoch(b, v.Interface().(time.Time))
	case blob:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, v.Bytes())
		return append(b, '"')
	}
	return appendText(b, v.String())
}

// appendText appends a JSON string; invalid UTF-8, which no client could read, is replaced.
func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // an error only says that something was replaced
	return b
}

// appendFloat appends a number; what is none is a text. source: sdk
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(append(append(b, '"'), floatText(f)...), '"')
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
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
