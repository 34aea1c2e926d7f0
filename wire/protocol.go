package wire

import (
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/vennel/vennel/api"
)

// protocol is one way of writing requests and answers. A service's requests and answers may use
// different ones, so the two halves do not know each other.
type protocol struct {
	dialect dialect
	decode  func(*request, *shape, reflect.Value) error                        // request -> input
	encode  func(*response, *service, *operation, *shape, reflect.Value) error // output -> answer
	fail    func(*response, *service, *api.Error)                              // error -> answer
	find    func(*service, *request) (op *operation, name string)              // which operation; name is for the error
}

// protocols by the model's name for them.
var protocols = map[string]*protocol{
	"json":      {jsonDialect, readJSON, writeJSON, failJSON, findTarget},
	"query":     {queryDialect, readQuery, writeQuery, failQuery, findAction},
	"ec2":       {ec2Dialect, readEC2, writeEC2, failEC2, findAction},
	"rest-xml":  {s3Dialect, readRESTXML, writeRESTXML, failRESTXML, findPath},
	"rest-json": {jsonDialect, readRESTJSON, writeRESTJSON, failJSON, findPath},
}

// request is an HTTP request with its body read.
type request struct {
	*http.Request
	body   []byte
	form   url.Values        // of the query protocols
	labels map[string]string // of the REST protocols
	bucket string            // that the host name gives
	call   *api.Call
}

// response is an answer before it is sent.
type response struct {
	status int
	header http.Header
	body   []byte
	stream io.Reader // instead of body
}

// findTarget reads the X-Amz-Target header.
func findTarget(s *service, rq *request) (*operation, string) {
	_, name := splitTarget(rq.Header.Get("X-Amz-Target"))
	return s.operations[name], name
}

// splitTarget takes the header apart. CloudTrail's prefix has dots of its own.
func splitTarget(target string) (prefix, operation string) {
	at := strings.LastIndexByte(target, '.')
	return target[:max(at, 0)], target[at+1:]
}

// findAction reads the Action parameter.
func findAction(s *service, rq *request) (*operation, string) {
	name := rq.form.Get("Action")
	return s.operations[name], name
}

// findPath matches the routes.
func findPath(s *service, rq *request) (*operation, string) {
	path := rq.URL.EscapedPath()
	if rq.bucket != "" {
		path = "/" + rq.bucket + path
	}
	op, labels := findRoute(s.routes, rq.Method, path, rq.URL.Query(), rq.Header)
	rq.labels = labels
	return op, rq.Method + " " + rq.URL.Path
}

// readJSON reads an awsJson body.
func readJSON(rq *request, s *shape, v reflect.Value) error {
	return decodeJSON(rq.body, s, v, new(checker))
}

// readQuery reads a query body.
func readQuery(rq *request, s *shape, v reflect.Value) error {
	return decodeQuery(rq.form, s, v, false, new(checker))
}

// readEC2 reads an EC2 query body.
func readEC2(rq *request, s *shape, v reflect.Value) error {
	return decodeQuery(rq.form, s, v, true, &checker{requiredOnly: true})
}

// readRESTJSON reads URI, headers and a JSON body.
func readRESTJSON(rq *request, s *shape, v reflect.Value) error {
	c := new(checker)
	return decodeREST(rq, s, v, c, func(body []byte, s *shape, v reflect.Value) error { return decodeJSON(body, s, v, c) })
}

// readRESTXML reads URI, headers and an XML body.
func readRESTXML(rq *request, s *shape, v reflect.Value) error {
	return decodeREST(rq, s, v, nil, func(body []byte, s *shape, v reflect.Value) error {
		if len(body) == 0 {
			return nil
		}
		root, err := parseXML(body)
		if err != nil {
			return err
		}
		return decodeXML(root, s, v)
	})
}

// writeJSON writes an awsJson answer.
func writeJSON(rs *response, svc *service, _ *operation, s *shape, v reflect.Value) (err error) {
	rs.header.Set("Content-Type", "application/x-amz-json-"+orElse(svc.model.Metadata.JSONVersion, "1.1"))
	if s == nil {
		rs.body = append(rs.body, "{}"...)
		return nil
	}
	rs.body, err = appendJSON(rs.body, s, v)
	return err
}

// writeRESTJSON writes a restJson answer.
func writeRESTJSON(rs *response, svc *service, op *operation, s *shape, v reflect.Value) error {
	if s != nil {
		if status := encodeOutside(rs.header, s, v); status != 0 {
			rs.status = status
		}
	}
	err := writeJSON(rs, svc, op, s, v)
	rs.header.Set("Content-Type", "application/json")
	return err
}

// writeQuery writes a query answer: the result in its wrapper, then the request id.
func writeQuery(rs *response, svc *service, op *operation, s *shape, v reflect.Value) error {
	rs.header.Set("Content-Type", "text/xml")
	b := append(append(rs.body, '<'), op.Name...)
	b = append(b, "Response xmlns"...)
	b = append(appendAttribute(b, svc.model.Metadata.XMLNamespace), '>')
	if s != nil {
		wrapper := orElse(op.model.Output.ResultWrapper, op.Name+"Result")
		b = append(append(append(b, '<'), wrapper...), '>')
		b = appendXML(b, s, v)
		b = append(append(append(b, "</"...), wrapper...), '>')
	}
	b = append(b, "<ResponseMetadata><RequestId>"...)
	b = append(b, rs.header.Get(requestIDHeader)...)
	b = append(b, "</RequestId></ResponseMetadata></"...)
	rs.body = append(append(b, op.Name...), "Response>"...)
	return nil
}

// writeEC2 writes an EC2 answer: the request id, then the members. An operation without an output
// says that it has been done.
func writeEC2(rs *response, svc *service, op *operation, s *shape, v reflect.Value) error {
	rs.header.Set("Content-Type", "text/xml;charset=UTF-8")
	b := append(append(rs.body, '<'), op.Name...)
	b = append(b, "Response xmlns"...)
	b = append(appendAttribute(b, svc.model.Metadata.XMLNamespace), "><requestId>"...)
	b = append(append(b, rs.header.Get(requestIDHeader)...), "</requestId>"...)
	if s != nil {
		b = appendXML(b, s, v)
	} else {
		b = append(b, "<return>true</return>"...)
	}
	rs.body = append(append(append(b, "</"...), op.Name...), "Response>"...)
	return nil
}

// writeRESTXML writes headers and an XML body, or the payload as it is.
func writeRESTXML(rs *response, svc *service, op *operation, s *shape, v reflect.Value) error {
	if s == nil {
		return nil
	}
	if status := encodeOutside(rs.header, s, v); status != 0 {
		rs.status = status
	}
	root, name := s, orElse(s.LocationName, op.model.Output.Shape)
	if p := s.payload; p != nil {
		f, ok := p.value(v)
		switch {
		case !ok:
			return nil
		case p.kind == streamed:
			rs.stream = f.Interface().(io.Reader)
			return nil
		case p.kind == blob:
			rs.body = append(rs.body, f.Bytes()...)
			return nil
		case p.kind == text:
			rs.body = append(rs.body, f.String()...)
			return nil
		}
		root, v, name = p.shape, f, orElse(p.ref.LocationName, orElse(p.Shape.LocationName, p.ref.Shape))
	}
	inBody := false
	for _, m := range root.members {
		inBody = inBody || m.inBody()
	}
	if !inBody {
		return nil
	}
	rs.header.Set("Content-Type", "application/xml")
	b := append(rs.body, `<?xml version="1.0" encoding="UTF-8"?>`+"\n<"...)
	b = append(b, name...)
	if ns := svc.model.Metadata.XMLNamespace; ns != "" {
		b = appendAttribute(append(b, " xmlns"...), ns)
	}
	b = append(appendXML(append(b, '>'), root, v), "</"...)
	rs.body = append(append(b, name...), '>')
	return nil
}

// failJSON writes {"__type": …, "message": …}.
func failJSON(rs *response, svc *service, e *api.Error) {
	rs.header.Set("Content-Type", "application/x-amz-json-"+orElse(svc.model.Metadata.JSONVersion, "1.1"))
	fields := map[string]any{"__type": e.Code}
	if e.Message != "" {
		fields[svc.messageMember(e.Code)] = e.Message
	}
	for name, value := range e.Fields {
		fields[name] = value
	}
	body, err := appendObject(rs.body, fields)
	if err != nil {
		body = append(rs.body, `{"__type":"InternalFailure"}`...)
	}
	rs.body = body
}

// failQuery writes an ErrorResponse.
func failQuery(rs *response, svc *service, e *api.Error) {
	rs.header.Set("Content-Type", "text/xml")
	side := "Sender"
	if e.Fault {
		side = "Receiver"
	}
	b := append(rs.body, "<ErrorResponse xmlns"...)
	b = append(appendAttribute(b, svc.model.Metadata.XMLNamespace), "><Error><Type>"+side+"</Type>"...)
	b = appendCode(b, e)
	b = append(b, "</Error><RequestId>"...)
	rs.body = append(append(b, rs.header.Get(requestIDHeader)...), "</RequestId></ErrorResponse>"...)
}

// failEC2 writes EC2's envelope.
func failEC2(rs *response, _ *service, e *api.Error) {
	rs.header.Set("Content-Type", "text/xml;charset=UTF-8")
	b := append(rs.body, `<?xml version="1.0" encoding="UTF-8"?>`+"\n<Response><Errors><Error>"...)
	b = append(appendCode(b, e), "</Error></Errors><RequestID>"...)
	rs.body = append(append(b, rs.header.Get(requestIDHeader)...), "</RequestID></Response>"...)
}

// failRESTXML writes S3's envelope, or, for the message gateway, an element named after the code:
// the text <AccessDeniedException> in it is what sends an agent to its other line.
func failRESTXML(rs *response, svc *service, e *api.Error) {
	rs.header.Set("Content-Type", "application/xml")
	b := append(rs.body, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"...)
	if svc.Name != "s3" {
		b = append(append(append(b, '<'), e.Code...), "><Message>"...)
		b = append(appendEscaped(b, e.Message), "</Message></"...)
		rs.body = append(append(b, e.Code...), '>')
		return
	}
	b = appendCode(append(b, "<Error>"...), e)
	for _, name := range []string{"Resource", "Key", "BucketName", "Region", "Endpoint"} {
		if value, ok := e.Fields[name].(string); ok {
			b = append(append(append(b, '<'), name...), '>')
			b = append(append(append(appendEscaped(b, value), "</"...), name...), '>')
		}
	}
	b = append(append(b, "<RequestId>"...), rs.header.Get(s3RequestIDHeader)...)
	b = append(append(b, "</RequestId><HostId>"...), rs.header.Get(s3HostIDHeader)...)
	rs.body = append(b, "</HostId></Error>"...)
}

// appendCode appends the code and message of an error as elements.
func appendCode(b []byte, e *api.Error) []byte {
	b = append(append(append(b, "<Code>"...), e.Code...), "</Code><Message>"...)
	return append(appendEscaped(b, e.Message), "</Message>"...)
}
