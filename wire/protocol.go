package wire

import (
	"fmt"
	"io"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/vennel/vennel/api"
)

// protocol is one way of writing requests and answers. A service's requests and answers may use
// different ones, so the two halves do not know each other.
type protocol struct {
	dialect dialect
	find    func(*request) (*operation, error)                         // which operation; the error says that there is none
	decode  func(*request, *shape, reflect.Value) error                // request -> input
	encode  func(*response, *service, *operation, reflect.Value) error // output -> answer
	fail    func(*response, *service, *api.Error)                      // error -> answer
}

// protocols by the model's name for them.
var protocols = map[string]*protocol{
	"json":      {jsonDialect, findTarget, readJSON, writeJSON, failJSON},
	"query":     {queryDialect, findAction, readQuery, writeQuery, failQuery},
	"ec2":       {ec2Dialect, findAction, readEC2, writeEC2, failEC2},
	"rest-xml":  {s3Dialect, findPath, readRESTXML, writeRESTXML, failRESTXML},
	"rest-json": {jsonDialect, findPath, readRESTJSON, writeRESTJSON, failJSON},
}

// targetHeader names the operation of a JSON request.
const targetHeader = "X-Amz-Target"

// splitTarget takes the header apart. CloudTrail's prefix has dots of its own.
func splitTarget(target string) (prefix, operation string) {
	at := strings.LastIndexByte(target, '.')
	return target[:max(at, 0)], target[at+1:]
}

// errNoTarget says that a request only asks who is there: curl https://ssm.REGION.amazonaws.com is
// how AWS's guides test a path to a service, and <UnknownOperationException/> what they expect.
var errNoTarget = fmt.Errorf("wire: no %s", targetHeader)

// findTarget reads the X-Amz-Target header. A target of another service is unknown here.
func findTarget(rq *request) (*operation, error) {
	target := rq.Header.Get(targetHeader)
	prefix, name := splitTarget(target)
	if op := rq.svc.operations[name]; op != nil && prefix == rq.svc.model.Metadata.TargetPrefix {
		return op, nil
	}
	if target == "" && !strings.HasPrefix(rq.Header.Get("Content-Type"), "application/x-amz-json") {
		return nil, errNoTarget
	}
	return nil, api.NotBuilt(name)
}

// findAction reads the Action and Version parameters. EC2 knows its actions under every version
// that it ever had.
func findAction(rq *request) (*operation, error) {
	name, version, ec2 := rq.form.Get("Action"), rq.form.Get("Version"), rq.svc.model.Metadata.Protocol == "ec2"
	switch {
	case !rq.form.Has("Action"):
		// AWS leads a browser to its own pages; a client learns more from its documented error.
		return nil, &api.Error{Code: "MissingAction", Reason: api.UnknownOperation, Message: "The request is missing an action or a required parameter."} // source: userguide
	case ec2 && version == "":
		return nil, api.Errorf(api.Missing, "The request must contain the parameter Version") // source: guess
	case !ec2 && version != rq.svc.model.Metadata.APIVersion:
		if !rq.form.Has("Version") {
			version = "NO_VERSION_SPECIFIED"
		}
		return nil, &api.Error{Code: "InvalidAction", Reason: api.UnknownOperation, Message: rq.svc.unknown(name, version)} // source: aws
	}
	if op := rq.svc.operations[name]; op != nil {
		return op, nil
	}
	return nil, api.NotBuilt(name)
}

// findPath matches the routes.
func findPath(rq *request) (*operation, error) {
	path := rq.URL.EscapedPath()
	if rq.bucket != "" {
		path = "/" + url.PathEscape(rq.bucket) + path
	}
	op, labels := findRoute(rq.svc.routes, rq.Method, path, rq.query(), rq.Header)
	if op == nil {
		return nil, api.NotBuilt(rq.Method + " " + rq.URL.Path)
	}
	rq.labels = labels
	return op, nil
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
	if err := decodeOutside(rq, s, v, c); err != nil {
		return err
	}
	return decodeJSON(rq.body, s, v, c)
}

// readRESTXML reads URI, headers and an XML body, or the payload as it is.
func readRESTXML(rq *request, s *shape, v reflect.Value) error {
	if err := decodeOutside(rq, s, v, nil); err != nil {
		return err
	}
	p := s.payload
	switch {
	case p == nil:
		return nil // no operation of S3 has members in the body and no payload
	case p.kind == streamed:
		v.Field(p.index).Set(reflect.ValueOf(rq.upload))
		return nil
	case len(rq.body) == 0 && p.required:
		return &api.Error{Code: "MissingRequestBodyError", Message: "Request Body is empty"} // source: userguide, S3's "Error responses"
	case len(rq.body) == 0:
		return nil
	case p.kind == blob:
		p.field(v).SetBytes(rq.body)
		return nil
	case p.kind == text:
		p.field(v).SetString(string(rq.body))
		return nil
	}
	root, err := parseXML(rq.body, mostElements)
	if err != nil {
		return err
	}
	if root.name != p.rootName() {
		return malformedXML(nil)
	}
	return xmlDecoder{strict: true}.value(root, p.shape, p.field(v))
}

// writeJSON writes an awsJson answer.
func writeJSON(rs *response, svc *service, op *operation, v reflect.Value) error {
	rs.header.Set("Content-Type", svc.jsonType)
	if s := op.out(); s != nil {
		rs.body = appendJSON(rs.body, s, v)
	} else {
		rs.body = append(rs.body, "{}"...)
	}
	return nil
}

// writeRESTJSON writes a restJson answer.
func writeRESTJSON(rs *response, svc *service, op *operation, v reflect.Value) error {
	rs.encodeOutside(op.out(), v)
	err := writeJSON(rs, svc, op, v)
	rs.header.Set("Content-Type", "application/json")
	return err
}

// writeQuery writes a query answer: the result in its wrapper, then the request id.
func writeQuery(rs *response, svc *service, op *operation, v reflect.Value) error {
	rs.header.Set("Content-Type", "text/xml")
	b := append(append(rs.body, '<'), op.Name...)
	b = append(b, "Response xmlns"...)
	b = append(appendAttribute(b, svc.model.Metadata.XMLNamespace), '>')
	if s := op.out(); s != nil {
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
func writeEC2(rs *response, svc *service, op *operation, v reflect.Value) error {
	rs.header.Set("Content-Type", "text/xml;charset=UTF-8")
	b := append(append(rs.body, '<'), op.Name...)
	b = append(b, "Response xmlns"...)
	b = append(appendAttribute(b, svc.model.Metadata.XMLNamespace), "><requestId>"...)
	b = append(append(b, rs.header.Get(requestIDHeader)...), "</requestId>"...)
	if s := op.out(); s != nil {
		b = appendXML(b, s, v)
	} else {
		b = append(b, "<return>true</return>"...)
	}
	rs.body = append(append(append(b, "</"...), op.Name...), "Response>"...)
	return nil
}

// writeRESTXML writes headers and an XML body, or the payload as it is.
func writeRESTXML(rs *response, svc *service, op *operation, v reflect.Value) error {
	s := op.out()
	if s == nil {
		return nil
	}
	rs.encodeOutside(s, v)
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
		root, v, name = p.shape, f, p.rootName()
	}
	if !slices.ContainsFunc(root.members, (*member).inBody) {
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

// failJSON writes {"__type": …, "message": …} and the error's further members.
func failJSON(rs *response, svc *service, e *api.Error) {
	rs.header.Set("Content-Type", svc.jsonType)
	fields := map[string]any{}
	maps.Copy(fields, e.Fields)
	fields["__type"] = e.Code
	if e.Message != "" {
		fields[svc.messageMember(e)] = e.Message
	}
	body, err := json.Marshal(fields, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil { // a member that has no JSON form; the code is what matters
		body = fmt.Appendf(nil, `{"__type":%q}`, e.Code)
	}
	rs.body = body
}

// awsFault is the namespace of errors that come before the service's own: those about the action.
// source: aws
const awsFault = "http://webservices.amazon.com/AWSFault/2005-15-09"

// failQuery writes an ErrorResponse.
func failQuery(rs *response, svc *service, e *api.Error) {
	rs.header.Set("Content-Type", "text/xml")
	space, side := svc.model.Metadata.XMLNamespace, "Sender"
	if e.Reason == api.UnknownOperation {
		space = awsFault
	}
	if e.Fault {
		side = "Receiver"
	}
	b := append(rs.body, "<ErrorResponse xmlns"...)
	b = append(appendAttribute(b, space), "><Error><Type>"+side+"</Type>"...)
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
	for _, name := range slices.Sorted(maps.Keys(e.Fields)) {
		b = append(append(append(b, '<'), name...), '>')
		b = append(append(append(appendEscaped(b, fmt.Sprint(e.Fields[name])), "</"...), name...), '>')
	}
	b = append(append(b, "<RequestId>"...), rs.header.Get(s3RequestIDHeader)...)
	b = append(append(b, "</RequestId><HostId>"...), rs.header.Get(s3HostIDHeader)...)
	rs.body = append(b, "</HostId></Error>"...)
}

// appendCode appends the code and message of an error as elements. source: aws, for the missing
// message
func appendCode(b []byte, e *api.Error) []byte {
	b = append(append(append(b, "<Code>"...), e.Code...), "</Code>"...)
	if e.Message == "" {
		return b
	}
	return append(appendEscaped(append(b, "<Message>"...), e.Message), "</Message>"...)
}
