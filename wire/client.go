package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/model"
)

// Client is the other half: it calls a service's operations over any of the protocols. The agent,
// the command line and the operation scripts use it; its requests are those of AWS's own clients.
type Client struct {
	Service  string // ssm, ec2messages, …
	Endpoint string // http://host:port or https://…
	HTTP     *http.Client
	// Sign signs a request over its body; nil sends it unsigned.
	Sign      func(ctx context.Context, r *http.Request, body []byte) error
	UserAgent string
	Region    string // of unsigned requests to an endpoint whose name says none
}

// The bounds of an answer that a client reads, in bytes and in elements of XML.
const (
	mostAnswer         = 16 << 20
	mostAnswerElements = 1 << 20
)

// Call calls an operation; in and out point to its generated structs. out is nil when the answer is of no interest. An error that the service
// answered is an *api.Error with Code, Message and Status.
func (c *Client) Call(ctx context.Context, operation string, in, out any) error {
	m := model.Load(c.Service)
	op := m.Operations[operation]
	if op == nil {
		return noOperation(c.Service, operation)
	}
	request, body, err := c.request(ctx, m, op, reflect.ValueOf(in).Elem())
	if err != nil {
		return err
	}
	if c.UserAgent != "" {
		request.Header.Set("User-Agent", c.UserAgent)
	}
	if c.Sign != nil {
		if err := c.Sign(ctx, request, body); err != nil {
			return err
		}
	} else if c.Region != "" {
		request.Header.Set(regionHeader, c.Region)
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer+1))
	if err != nil {
		return err
	}
	if len(answer) > mostAnswer {
		return fmt.Errorf("wire: %s answered with more than %d bytes", operation, mostAnswer)
	}
	protocol := orElse(m.Metadata.ResponseProtocol, m.Metadata.Protocol)
	if response.StatusCode/100 != 2 {
		return parseError(protocol, response.StatusCode, answer)
	}
	if op.Output == nil || out == nil {
		return nil
	}
	v := reflect.ValueOf(out).Elem()
	return parseAnswer(protocol, op, shapeOf(c.Service, op.Output.Shape, v.Type()), v, response, answer)
}

// shapes keeps the shapes that clients have bound, by service, shape and type.
var clientShapes sync.Map

// clientShape is a key of clientShapes.
type clientShape struct {
	service string
	bound
}

// shapeOf binds a shape for a client.
func shapeOf(service, name string, t reflect.Type) *shape {
	key := clientShape{service, bound{name, t}}
	if s, ok := clientShapes.Load(key); ok {
		return s.(*shape)
	}
	b := &binder{model: model.Load(service), done: map[bound]*shape{}}
	s, _ := clientShapes.LoadOrStore(key, b.bind(name, t))
	return s.(*shape)
}

// request writes an operation's request.
func (c *Client) request(ctx context.Context, m *model.Service, op *model.Operation, in reflect.Value) (*http.Request, []byte, error) {
	var s *shape
	if op.Input != nil {
		s = shapeOf(c.Service, op.Input.Shape, in.Type())
	}
	method, uri, header := http.MethodPost, "/", http.Header{}
	var body []byte
	var err error
	switch m.Metadata.Protocol {
	case "json":
		header.Set("Content-Type", "application/x-amz-json-"+m.Metadata.JSONVersion)
		header.Set("X-Amz-Target", m.Metadata.TargetPrefix+"."+op.Name)
		body = []byte("{}")
		if s != nil {
			body = appendJSON(nil, s, in)
		}
	case "query", "ec2":
		header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		form := url.Values{"Action": {op.Name}, "Version": {m.Metadata.APIVersion}}
		if s != nil {
			encodeQuery(form, s, in, m.Metadata.Protocol == "ec2", "")
		}
		body = []byte(form.Encode())
	default:
		method = op.HTTP.Method
		uri, body, err = encodeREST(m, op, s, in, header)
	}
	if err != nil {
		return nil, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.Endpoint, "/")+uri, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	maps.Copy(r.Header, header)
	return r, body, nil
}

// encodeREST writes URI, headers and body of a REST request.
func encodeREST(m *model.Service, op *model.Operation, s *shape, in reflect.Value, header http.Header) (uri string, body []byte, err error) {
	path, query, _ := strings.Cut(op.HTTP.RequestURI, "?")
	values, err := url.ParseQuery(query)
	if err != nil || s == nil {
		return op.HTTP.RequestURI, nil, err
	}
	inBody := false
	for _, member := range s.members {
		f, ok := member.value(in)
		if !ok {
			continue
		}
		switch member.ref.Location {
		case "uri":
			name, value := member.wireName(), getText(member.shape, "iso8601", f)
			path = strings.Replace(path, "{"+name+"}", url.PathEscape(value), 1)
			path = strings.Replace(path, "{"+name+"+}", (&url.URL{Path: value}).EscapedPath(), 1)
		case "querystring":
			if member.kind == list {
				for i := range f.Len() {
					values.Add(member.wireName(), getText(member.elem, "iso8601", f.Index(i)))
				}
				continue
			}
			values.Set(member.wireName(), getText(member.shape, "iso8601", f))
		case "header":
			header.Set(member.wireName(), getText(member.shape, "rfc822", f))
		case "headers":
			for _, key := range sortedKeys(f) {
				header.Set(member.wireName()+key, f.MapIndex(reflect.ValueOf(key)).String())
			}
		case "":
			inBody = true
		}
	}
	uri = path
	if len(values) > 0 {
		uri += "?" + strings.ReplaceAll(values.Encode(), "+", "%20")
	}
	if !inBody {
		return uri, nil, nil
	}
	body, err = encodeRESTBody(m, op, s, in, header)
	return uri, body, err
}

// encodeRESTBody writes the body of a REST request: the payload member, or all that is left.
func encodeRESTBody(m *model.Service, op *model.Operation, s *shape, in reflect.Value, header http.Header) ([]byte, error) {
	root, v, name, space := s, in, orElse(op.Input.LocationName, op.Input.Shape), op.Input.XMLNamespace
	if p := s.payload; p != nil {
		f, ok := p.value(in)
		switch {
		case !ok:
			return nil, nil
		case p.kind == streamed:
			return io.ReadAll(f.Interface().(io.Reader))
		case p.kind == blob:
			return f.Bytes(), nil
		case p.kind == text:
			return []byte(f.String()), nil
		}
		root, v, name, space = p.shape, f, p.rootName(), p.ref.XMLNamespace
	}
	if m.Metadata.Protocol == "rest-json" {
		header.Set("Content-Type", "application/json")
		return appendJSON(nil, root, v), nil
	}
	header.Set("Content-Type", "application/xml")
	return appendElement(nil, name, root, v, space), nil
}

// parseAnswer reads an output.
func parseAnswer(protocol string, op *model.Operation, s *shape, v reflect.Value, r *http.Response, body []byte) error {
	if protocol == "json" {
		return decodeJSON(body, s, v, nil)
	}
	if strings.HasPrefix(protocol, "rest-") {
		if done, err := parseOutside(s, v, r, body); done || err != nil {
			return err
		}
		if protocol == "rest-json" {
			return decodeJSON(body, s, v, nil)
		}
		if len(body) == 0 {
			return nil
		}
	}
	root, err := parseXML(body, mostAnswerElements)
	if err != nil {
		return err
	}
	if protocol == "query" {
		if root = root.kid(orElse(op.Output.ResultWrapper, op.Name+"Result")); root == nil {
			return nil
		}
	}
	if p := s.payload; p != nil {
		return xmlDecoder{}.value(root, p.shape, p.field(v))
	}
	return xmlDecoder{}.value(root, s, v)
}

// parseOutside reads what an answer carries in headers and status, and a payload that is not
// structured; done says that nothing is left.
func parseOutside(s *shape, v reflect.Value, r *http.Response, body []byte) (done bool, err error) {
	for _, m := range s.members {
		switch in := r.Header.Get(m.wireName()); m.ref.Location {
		case "header":
			if in != "" && !setText(m.shape, "rfc822", in, m.field(v)) {
				return false, fmt.Errorf("wire: the answer's header %s is %q", m.wireName(), in)
			}
		case "headers":
			setHeaders(m, r.Header, v)
		case "statusCode":
			m.field(v).SetInt(int64(r.StatusCode))
		}
	}
	switch p := s.payload; {
	case p == nil:
		return false, nil
	case p.kind == streamed:
		v.Field(p.index).Set(reflect.ValueOf(io.Reader(bytes.NewReader(body))))
	case p.kind == blob:
		p.field(v).SetBytes(body)
	case p.kind == text:
		p.field(v).SetString(string(body))
	default:
		return false, nil
	}
	return true, nil
}

// parseError reads an error envelope.
func parseError(protocol string, status int, body []byte) error {
	e := &api.Error{Status: status, Fault: status >= 500}
	if protocol == "json" || protocol == "rest-json" {
		var fields map[string]any
		if json.Unmarshal(body, &fields) == nil {
			code, _ := fields["__type"].(string)
			e.Code = code[strings.LastIndexByte(code, '#')+1:]
			for name, value := range fields {
				text, isText := value.(string)
				switch {
				case name == "__type":
				case isText && strings.EqualFold(name, "message"):
					e.Message = text
				default:
					e = e.With(name, value)
				}
			}
		}
	} else if root, err := parseXML(body, mostAnswerElements); err == nil {
		e.Code = root.name
		for at := root; at != nil; at = first(at.kid("Errors"), at.kid("Error")) {
			if code := at.kid("Code"); code != nil {
				e.Code = code.text.String()
			}
			if m := first(at.kid("Message"), at.kid("message")); m != nil {
				e.Message = m.text.String()
			}
		}
	}
	if e.Code == "" {
		e.Code = http.StatusText(status)
		e.Message = strings.TrimSpace(string(body[:min(len(body), 512)]))
	}
	return e
}

// first is a, or b when there is no a.
func first(a, b *element) *element {
	if a == nil {
		return b
	}
	return a
}

// noOperation is the error of a name that the model lacks.
func noOperation(service, operation string) error {
	return fmt.Errorf("wire: %s has no operation %s", service, operation)
}

// ReadInput reads the JSON form of an operation's input into in, as documents and scripts write it: with the names that the CLI
// and the SDKs have, whatever protocol the service speaks.
func ReadInput(service, operation string, text []byte, in any) error {
	op := model.Load(service).Operations[operation]
	switch {
	case op == nil:
		return noOperation(service, operation)
	case op.Input == nil:
		return nil
	}
	v := reflect.ValueOf(in).Elem()
	return decodeJSON(text, named(shapeOf(service, op.Input.Shape, v.Type()), map[*shape]*shape{}), v, nil)
}

// WriteOutput writes an operation's output as JSON with the same names, whatever protocol the service speaks.
func WriteOutput(service, operation string, out any) ([]byte, error) {
	op := model.Load(service).Operations[operation]
	switch {
	case op == nil:
		return nil, noOperation(service, operation)
	case op.Output == nil:
		return []byte("{}"), nil
	}
	v := reflect.ValueOf(out).Elem()
	return appendJSON(nil, named(shapeOf(service, op.Output.Shape, v.Type()), map[*shape]*shape{}), v), nil
}

// named is a shape whose members, at any depth, are in the body under the model's names, as the CLI and the SDKs have them.
// Shapes that refer to themselves do so in the copy too.
func named(s *shape, seen map[*shape]*shape) *shape {
	if s == nil || !s.nested() {
		return s
	}
	if all, ok := seen[s]; ok {
		return all
	}
	all := *s
	seen[s] = &all
	all.elem = named(s.elem, seen)
	all.members, all.byName = nil, map[string]*member{}
	for _, m := range s.members {
		inBody := *m
		inBody.ref.Location, inBody.ref.LocationName = "", ""
		inBody.shape = named(m.shape, seen)
		all.members = append(all.members, &inBody)
		all.byName[inBody.name] = &inBody
	}
	return &all
}
