package wire

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/vennel/vennel/api"
)

// route is where a REST operation is found: a method, a path with labels, and the query parameters
// and headers that tell it from others on the same path.
type route struct {
	op       *operation
	method   string
	segments []string          // a label is {Name}, or {Name+} for the rest of the path
	query    map[string]string // given in the template
	params   []string          // query parameters that the input requires
	headers  []string          // headers that the input requires
}

// newRoute reads an operation's template.
func newRoute(op *operation) route {
	uri, query, _ := strings.Cut(op.model.HTTP.RequestURI, "?")
	r := route{op: op, method: op.model.HTTP.Method, segments: strings.Split(strings.Trim(uri, "/"), "/"), query: map[string]string{}}
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(pair, "="); name != "" {
			r.query[name] = value
		}
	}
	for _, m := range op.in().members {
		switch {
		case !m.required:
		case m.ref.Location == "querystring":
			r.params = append(r.params, m.wireName())
		case m.ref.Location == "header":
			r.headers = append(r.headers, m.wireName())
		}
	}
	return r
}

// match gives the labels of a request, and how closely the route describes it. The path is the
// escaped one, so that a slash in a label is not taken for a separator.
func (r *route) match(method, path string, query url.Values, header http.Header) (labels map[string]string, score int, ok bool) {
	if method != r.method {
		return nil, 0, false
	}
	for name, value := range r.query {
		if !query.Has(name) || value != "" && query.Get(name) != value {
			return nil, 0, false
		}
	}
	for _, name := range r.params {
		if !query.Has(name) {
			return nil, 0, false
		}
	}
	for _, name := range r.headers {
		if header.Get(name) == "" {
			return nil, 0, false
		}
	}
	labels = map[string]string{}
	rest := strings.TrimPrefix(path, "/")
	for i, segment := range r.segments {
		if strings.HasSuffix(segment, "+}") {
			if rest == "" {
				return nil, 0, false
			}
			if labels[segment[1:len(segment)-2]], ok = unescape(rest); !ok {
				return nil, 0, false
			}
			rest = ""
			break
		}
		part, after, more := strings.Cut(rest, "/")
		if more && i == len(r.segments)-1 && after != "" {
			return nil, 0, false
		}
		rest = after
		switch {
		case strings.HasPrefix(segment, "{"):
			if part == "" {
				return nil, 0, false
			}
			if labels[strings.Trim(segment, "{}")], ok = unescape(part); !ok {
				return nil, 0, false
			}
		case part != segment:
			return nil, 0, false
		}
	}
	return labels, len(r.query) + len(r.params) + len(r.headers), rest == ""
}

// unescape undoes the escapes of a part of a path.
func unescape(part string) (string, bool) {
	text, err := url.PathUnescape(part)
	return text, err == nil
}

// findRoute picks the closest route of a request.
func findRoute(routes []route, method, path string, query url.Values, header http.Header) (op *operation, labels map[string]string) {
	best := -1
	for i := range routes {
		if l, score, ok := routes[i].match(method, path, query, header); ok && score > best {
			best, op, labels = score, routes[i].op, l
		}
	}
	return op, labels
}

// decodeREST reads the parts of an input that travel outside the body, and then the body by
// means of decode.
func decodeREST(rq *request, s *shape, v reflect.Value, c *checker, decode func([]byte, *shape, reflect.Value) error) error {
	query := rq.URL.Query()
	for _, m := range s.members {
		if m.inBody() {
			continue
		}
		given, err := decodeOutside(rq, m, query, v)
		if err != nil {
			return err
		}
		if m.required && !given && c != nil {
			c.add(&path{nil, m.path}, " null", "Member must not be null")
		}
	}
	switch p := s.payload; {
	case p == nil:
		return decode(rq.body, s, v)
	case p.kind == streamed:
		v.Field(p.index).Set(reflect.ValueOf(io.Reader(bytes.NewReader(rq.body))))
	case p.kind == blob || p.kind == text:
		if len(rq.body) == 0 {
			return nil
		}
		if p.kind == text {
			p.field(v).SetString(string(rq.body))
		} else {
			p.field(v).SetBytes(bytes.Clone(rq.body))
		}
	case len(rq.body) > 0:
		return decode(rq.body, p.shape, p.field(v))
	}
	return nil
}

// decodeOutside reads one member from the URI, the query or the headers.
func decodeOutside(rq *request, m *member, query url.Values, v reflect.Value) (given bool, err error) {
	at := &path{nil, m.path}
	switch m.ref.Location {
	case "uri":
		in, ok := rq.labels[m.wireName()]
		if !ok {
			return false, nil
		}
		return true, setText(m.shape, "iso8601", in, m.field(v), at)
	case "querystring":
		if m.kind == mapping {
			return true, nil // the rest of the query; no served operation has one
		}
		values := query[m.wireName()]
		if len(values) == 0 {
			return false, nil
		}
		if m.kind == list {
			f := m.field(v)
			f.Set(reflect.MakeSlice(f.Type(), len(values), len(values)))
			for i, in := range values {
				if err := setText(m.elem, "iso8601", in, f.Index(i), at); err != nil {
					return true, err
				}
			}
			return true, nil
		}
		return true, setText(m.shape, "iso8601", values[0], m.field(v), at)
	case "headers": // all headers of a prefix, as S3's user metadata
		f := m.field(v)
		for name, values := range rq.Header {
			if rest, ok := cutFold(name, m.wireName()); ok {
				if f.IsNil() {
					f.Set(reflect.MakeMap(f.Type()))
				}
				f.SetMapIndex(reflect.ValueOf(strings.ToLower(rest)), reflect.ValueOf(values[0]))
			}
		}
		return true, nil
	case "header":
		in := rq.Header.Get(m.wireName())
		if in == "" {
			return false, nil
		}
		if m.kind == list {
			f := m.field(v)
			for part := range strings.SplitSeq(in, ",") {
				n := f.Len()
				f.Grow(1)
				f.SetLen(n + 1)
				if err := setText(m.elem, "rfc822", strings.TrimSpace(part), f.Index(n), at); err != nil {
					return true, err
				}
			}
			return true, nil
		}
		return true, setText(m.shape, "rfc822", in, m.field(v), at)
	}
	return false, api.Errorf(api.Internal, "wire: %s.%s is in %s", m.shape.name, m.name, m.ref.Location)
}

// cutFold cuts a prefix whatever its case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) <= len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// encodeOutside writes the members of an output that travel as headers, and gives the status.
func encodeOutside(h http.Header, s *shape, v reflect.Value) (status int) {
	for _, m := range s.members {
		f, ok := m.value(v)
		if !ok {
			continue
		}
		switch m.ref.Location {
		case "header":
			h.Set(m.wireName(), getText(m.shape, "rfc822", f))
		case "headers":
			for _, key := range sortedKeys(f) {
				h.Set(m.wireName()+key, f.MapIndex(reflect.ValueOf(key)).String())
			}
		case "statusCode":
			status = int(f.Int())
		}
	}
	return status
}
