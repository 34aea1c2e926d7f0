package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vennel/vennel/api"
)

// place is where a required member is in an input.
type place struct {
	chain []*member // from the input to the member, the last
	names []string  // as the request writes the steps; "1" for the only item of a list
	path  string    // as messages write it
}

// requiredPlaces lists all required members of an input that travel in the body, those of inner
// structures too. A structure is entered once, so recursive shapes end.
func requiredPlaces(s *shape, name func(*member) string, done map[*shape]bool) (out []place) {
	if done[s] {
		return nil
	}
	done[s] = true
	for _, m := range s.members {
		if !m.inBody() {
			continue
		}
		if m.required {
			out = append(out, place{[]*member{m}, []string{name(m)}, m.path})
		}
		inner, names, path := m.shape, []string{name(m)}, m.path
		for inner.kind == list {
			if inner.elem.nested() {
				path += ".1.member"
			}
			names = append(names, "1")
			inner = inner.elem
		}
		if inner.kind != structure {
			continue // the keys of maps are data
		}
		for _, p := range requiredPlaces(inner, name, done) {
			out = append(out, place{append([]*member{m}, p.chain...), append(slices.Clone(names), p.names...), path + "." + p.path})
		}
	}
	return out
}

// fillFor fills an input with what is required, and with the members that lead to a place.
func fillFor(r *rand.Rand, s *shape, v reflect.Value, chain []*member, depth int) {
	given := plainMember(s) // an empty structure could not be told from an absent one
	for i, m := range s.members {
		leads := len(chain) > 0 && m == chain[0]
		if !m.required && !leads && (i != given || depth == 0) || depth > 8 || m.kind == streamed {
			continue
		}
		inner, f := m.shape, m.field(v)
		for inner.kind == list {
			f.Set(reflect.MakeSlice(f.Type(), 1, 1))
			inner, f = inner.elem, f.Index(0)
		}
		switch {
		case inner.kind == structure && leads:
			fillFor(r, inner, f, chain[1:], depth+1)
		case inner.kind == structure:
			fillFor(r, inner, f, nil, depth+1)
		default:
			fill(r, inner, f, 3)
		}
	}
}

// TestRequiredMembers takes each required member out of a request that has all of them, for every
// operation of the vocabulary, and expects the refusal to name it. source: model, and aws for the words
func TestRequiredMembers(t *testing.T) {
	tested := 0
	for _, s := range everyService {
		svc := bindings()[s.Name]
		protocol := svc.model.Metadata.Protocol
		for name, op := range svc.operations {
			if op.in() == nil {
				continue
			}
			writes := (*member).wireName
			if protocol == "ec2" {
				writes = (*member).ec2Name
			}
			for _, p := range requiredPlaces(op.in(), writes, map[*shape]bool{}) {
				in := reflect.New(op.In)
				fillFor(rand.New(rand.NewPCG(1, 1)), op.in(), in.Elem(), p.chain, 0)
				err := without(t, svc, op, in.Elem(), p)
				if want := refusal(protocol, p); !refuses(err, want) {
					t.Errorf("%s:%s without %s: %v\nwant %v", s.Name, name, p.path, err, want)
				}
				tested++
			}
			tested += outsidePlaces(t, svc, op)
		}
	}
	if tested < 1200 {
		t.Errorf("only %d members were found", tested)
	}
	t.Logf("%d required members", tested)
}

// refusal is what a request without the member of a place must be answered.
func refusal(protocol string, p place) *api.Error {
	switch {
	case protocol == "ec2":
		return api.Errorf(api.Missing, "The request must contain the parameter %s", p.path)
	case protocol == "rest-xml" && len(p.chain) == 1:
		return &api.Error{Code: "MissingRequestBodyError"}
	case protocol == "rest-xml":
		return api.Errorf(api.Unserializable, "The XML you provided was not well-formed")
	}
	return api.Errorf(api.Invalid, "Value null at '%s' failed to satisfy constraint: Member must not be null", p.path)
}

// refuses compares an error with the one expected, by the part of the message that is given.
func refuses(err error, want *api.Error) bool {
	e, ok := errors.AsType[*api.Error](err)
	return ok && e.Reason == want.Reason && e.Code == want.Code && strings.Contains(e.Message, want.Message)
}

// without decodes a request that lacks one member.
func without(t *testing.T, svc *service, op *operation, in reflect.Value, p place) error {
	t.Helper()
	r, body, err := (&Client{Service: svc.Name, Endpoint: "http://localhost"}).request(t.Context(), svc.model, op.model, in)
	if err != nil {
		t.Fatal(err)
	}
	switch svc.model.Metadata.Protocol {
	case "json", "rest-json":
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatal(err)
		}
		removeJSON(v, p.names)
		if body, err = json.Marshal(v); err != nil {
			t.Fatal(err)
		}
	case "query", "ec2":
		values, err := url.ParseQuery(string(body))
		if err != nil {
			t.Fatal(err)
		}
		body = []byte(removeForm(svc, values, p).Encode())
	case "rest-xml":
		if body = nil; len(p.chain) > 1 {
			_, body, _ = (&Client{Service: svc.Name, Endpoint: "http://localhost"}).request(t.Context(), svc.model, op.model, in)
			root, err := parseXML(body, mostElements)
			if err != nil {
				t.Fatalf("%v in %s", err, body)
			}
			root.remove(p.chain[1:])
			body = root.append(nil)
		}
	}
	got := reflect.New(op.In)
	rq := &request{Request: httptest.NewRequest(r.Method, r.URL.String(), bytes.NewReader(body)), svc: svc, op: op, body: body}
	rq.Header = r.Header
	if svc.isQuery() {
		rq.form, _ = url.ParseQuery(string(body))
	}
	if found, err := svc.protocol.find(rq); found != op {
		t.Fatalf("found %v, %v", found, err)
	}
	return svc.protocol.decode(rq, op.in(), got.Elem())
}

// removeJSON takes a member out of a JSON value.
func removeJSON(v any, names []string) {
	for ; len(names) > 1; names = names[1:] {
		if items, ok := v.([]any); ok {
			v = items[0]
		} else {
			v = v.(map[string]any)[names[0]]
		}
	}
	delete(v.(map[string]any), names[0])
}

// removeForm takes a member out of a query, and marks the structure that it was in, which might
// have been nothing else.
func removeForm(svc *service, values url.Values, p place) url.Values {
	prefix := ""
	s := (*shape)(nil)
	for i, at := 0, 0; i < len(p.names); i++ {
		if p.names[i] == "1" {
			if svc.model.Metadata.Protocol != "ec2" && !s.Flattened {
				prefix = dotted(prefix, orElse(s.Shape.Member.LocationName, "member"))
			}
			prefix = dotted(prefix, "1")
			s = s.elem
			continue
		}
		if i == len(p.names)-1 {
			if prefix != "" {
				values.Set(dotted(prefix, "Unknown"), "x")
			}
		}
		prefix = dotted(prefix, p.names[i])
		s = p.chain[at].shape
		at++
	}
	for name := range values {
		if name == prefix || strings.HasPrefix(name, prefix+".") {
			values.Del(name)
		}
	}
	return values
}

// remove takes a member out of an element. It is found by the names of the members that lead to it,
// where lists have one item.
func (e *element) remove(chain []*member) {
	m := chain[0]
	name := m.wireName()
	if m.flat() {
		name = m.flatName()
	}
	if len(chain) == 1 {
		if m.ref.XMLAttribute {
			delete(e.attrs, name)
			return
		}
		e.kids = slices.DeleteFunc(e.kids, func(k *element) bool { return k.name == name })
		return
	}
	inner := e.kid(name)
	if m.kind == list && !m.flat() {
		inner = inner.kids[0]
	}
	inner.remove(chain[1:])
}

// append writes an element.
func (e *element) append(b []byte) []byte {
	b = append(append(b, '<'), e.name...)
	for name, value := range e.attrs {
		if strings.HasPrefix(name, "xsi:") {
			b = append(b, ` xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`...)
		}
		b = appendAttribute(append(append(b, ' '), name...), value)
	}
	b = append(b, '>')
	if len(e.kids) == 0 {
		b = appendEscaped(b, e.text.String())
	}
	for _, k := range e.kids {
		b = k.append(b)
	}
	return append(append(append(b, "</"...), e.name...), '>')
}

// outsidePlaces takes the required query parameters and headers out of a request: it must then not
// be taken for this operation, or the refusal must name them.
func outsidePlaces(t *testing.T, svc *service, op *operation) (tested int) {
	for _, m := range op.in().members {
		if !m.required || m.ref.Location != "querystring" && m.ref.Location != "header" {
			continue
		}
		in := reflect.New(op.In)
		fillFor(rand.New(rand.NewPCG(1, 1)), op.in(), in.Elem(), nil, 0)
		r, _, err := (&Client{Service: svc.Name, Endpoint: "http://localhost"}).request(t.Context(), svc.model, op.model, in.Elem())
		if err != nil {
			t.Fatal(err)
		}
		query := r.URL.Query()
		query.Del(m.wireName())
		r.URL.RawQuery = query.Encode()
		r.Header.Del(m.wireName())
		if found, err := svc.protocol.find(&request{Request: r, svc: svc}); found == op {
			t.Errorf("%s:%s is found without its %s, %v", svc.Name, op.Name, m.wireName(), err)
		}
		tested++
	}
	return tested
}
