package wire

import (
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

// score says how closely the route describes a request, or that it does not: what the template and
// the input require besides the path is counted.
func (r *route) score(method string, query url.Values, header http.Header) (score int, ok bool) {
	if method != r.method {
		return 0, false
	}
	for name, value := range r.query {
		if !query.Has(name) || value != "" && query.Get(name) != value {
			return 0, false
		}
	}
	for _, name := range r.params {
		if !query.Has(name) {
			return 0, false
		}
	}
	for _, name := range r.headers {
		if header.Get(name) == "" {
			return 0, false
		}
	}
	return len(r.query) + len(r.params) + len(r.headers), true
}

// match gives the labels of a path. The path is the escaped one, so that a slash in a label is not
// taken for a separator.
func (r *route) match(path string) (labels map[string]string, ok bool) {
	labels = map[string]string{}
	rest := strings.TrimPrefix(path, "/")
	for i, segment := range r.segments {
		part, after, more := strings.Cut(rest, "/")
		name, isLabel := strings.CutPrefix(segment, "{")
		if strings.HasSuffix(segment, "+}") { // all the rest
			part, after = rest, ""
		} else if more && i == len(r.segments)-1 && after != "" {
			return nil, false
		}
		if !isLabel {
			if part != segment {
				return nil, false
			}
		} else {
			text, err := url.PathUnescape(part)
			if err != nil || text == "" {
				return nil, false
			}
			labels[strings.TrimRight(name, "+}")] = text
		}
		rest = after
	}
	return labels, rest == ""
}

// findRoute picks the closest route of a request.
func findRoute(routes []route, method, path string, query url.Values, header http.Header) (op *operation, labels map[string]string) {
	best := -1
	for i := range routes {
		if score, ok := routes[i].score(method, query, header); ok && score > best {
			if l, ok := routes[i].match(path); ok {
				best, op, labels = score, routes[i].op, l
			}
		}
	}
	return op, labels
}

// decodeOutside reads the members of an input that travel outside the body, and checks them.
func decodeOutside(rq *request, s *shape, v reflect.Value, c *checker) error {
	query := rq.query()
	for _, m := range s.members {
		if m.inBody() {
			continue
		}
		given, ok := decodeMember(rq, m, query, v)
		if !ok && c == nil {
			return api.Errorf(api.Invalid, "Provided %s is not valid", m.wireName()).With("ArgumentName", m.wireName()) // source: guess
		} else if !ok {
			return api.Errorf(api.Unserializable, "")
		}
		if c == nil {
			continue
		}
		if !given && m.required {
			c.absent(m)
		} else if given {
			c.enter(m.path)
			c.value(m.shape, m.field(v))
			c.leave(1)
		}
	}
	return nil
}

// decodeMember reads one member from the URI, the query or the headers; ok is false when it is not
// what the shape says.
func decodeMember(rq *request, m *member, query url.Values, v reflect.Value) (given, ok bool) {
	switch m.ref.Location {
	case "uri":
		in, given := rq.labels[m.wireName()]
		return given, !given || setText(m.shape, "iso8601", in, m.field(v))
	case "querystring":
		values := query[m.wireName()]
		switch {
		case len(values) == 0:
			return false, true
		case m.kind != list:
			return true, setText(m.shape, "iso8601", values[0], m.field(v))
		}
		return true, setList(m, "iso8601", values, v)
	case "header":
		in := rq.Header.Get(m.wireName())
		switch {
		case in == "":
			return false, true
		case m.kind != list:
			return true, setText(m.shape, "rfc822", in, m.field(v))
		}
		values := strings.Split(in, ",")
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
		return true, setList(m, "rfc822", values, v)
	case "headers":
		setHeaders(m, rq.Header, v)
		return !m.field(v).IsNil(), true
	}
	return false, false
}

// setList reads the items of a list that is not in a body.
func setList(m *member, form string, values []string, v reflect.Value) (ok bool) {
	f := m.field(v)
	f.Set(reflect.MakeSlice(f.Type(), len(values), len(values)))
	for i, in := range values {
		if !setText(m.elem, form, in, f.Index(i)) {
			return false
		}
	}
	return true
}

// setHeaders reads all headers of a prefix, as S3's user metadata.
func setHeaders(m *member, header http.Header, v reflect.Value) {
	f := m.field(v)
	for name, values := range header {
		if rest, ok := cutFold(name, m.wireName()); ok {
			if f.IsNil() {
				f.Set(reflect.MakeMap(f.Type()))
			}
			f.SetMapIndex(reflect.ValueOf(strings.ToLower(rest)), reflect.ValueOf(values[0]))
		}
	}
}

// cutFold cuts a prefix whatever its case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) <= len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return "", false
	}
	return s[len(prefix):], true
}

// encodeOutside writes the members of an output that travel as headers or status.
func (rs *response) encodeOutside(s *shape, v reflect.Value) {
	if s == nil {
		return
	}
	for _, m := range s.members {
		f, ok := m.value(v)
		if !ok {
			continue
		}
		switch m.ref.Location {
		case "header":
			rs.header.Set(m.wireName(), getText(m.shape, "rfc822", f))
		case "headers":
			for _, key := range sortedKeys(f) {
				rs.header.Set(m.wireName()+key, f.MapIndex(reflect.ValueOf(key)).String())
			}
		case "statusCode":
			rs.status = int(f.Int())
		}
	}
}
