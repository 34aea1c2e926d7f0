package wire

import (
	"reflect"
	"regexp"
	"strings"
	"sync"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/model"
)

// service is one service, ready to be spoken to.
type service struct {
	api.Service
	model       *model.Service
	protocol    *protocol // of requests; its dialect too
	answer      *protocol // of answers
	operations  map[string]*operation
	routes      []route                 // of the REST protocols
	errorShapes map[string]*model.Shape // by code
	jsonType    string                  // the content type of JSON
}

// operation is one operation with its shapes, which are bound when it is first called.
type operation struct {
	api.Operation
	model    *model.Operation
	in, out  func() *shape // they give nil where there is none
	pages    func() *pages
	readOnly bool
}

// newService binds a service to its model.
func newService(s api.Service) *service {
	m := model.Load(s.Name)
	svc := &service{
		Service: s, model: m, operations: map[string]*operation{}, errorShapes: errorShapes(m),
		jsonType: "application/x-amz-json-" + orElse(m.Metadata.JSONVersion, "1.1"),
		protocol: protocols[m.Metadata.Protocol], answer: protocols[orElse(m.Metadata.ResponseProtocol, m.Metadata.Protocol)],
	}
	b := &binder{model: m, done: map[bound]*shape{}}
	var binding sync.Mutex // one binder a service
	bind := func(ref *model.Ref, t reflect.Type) func() *shape {
		return sync.OnceValue(func() *shape {
			if ref == nil || t == nil {
				return nil
			}
			binding.Lock()
			defer binding.Unlock()
			return b.bind(ref.Shape, t)
		})
	}
	for _, o := range s.Operations {
		op := &operation{Operation: o, model: m.Operations[o.Name], readOnly: readOnly.MatchString(o.Name)}
		op.in, op.out = bind(op.model.Input, o.In), bind(op.model.Output, o.Out)
		op.pages = sync.OnceValue(func() *pages { return newPages(op.in(), op.out()) })
		svc.operations[o.Name] = op
		if strings.HasPrefix(m.Metadata.Protocol, "rest-") {
			svc.routes = append(svc.routes, newRoute(op))
		}
	}
	return svc
}

// readOnly tells the calls that change nothing by their names, as CloudTrail does.
var readOnly = regexp.MustCompile(`^(Get|Describe|List|Head|Search|Simulate|Lookup)`)

// isQuery says whether the service reads forms.
func (s *service) isQuery() bool {
	return s.model.Metadata.Protocol == "query" || s.model.Metadata.Protocol == "ec2"
}

// uploads says whether the body of an operation's request is a stream that the operation reads.
func (o *operation) uploads() bool {
	s := o.in()
	return s != nil && s.payload != nil && s.payload.kind == streamed
}

// errorShapes indexes a model's errors by code.
func errorShapes(m *model.Service) map[string]*model.Shape {
	out := map[string]*model.Shape{}
	for name, shape := range m.Shapes {
		if shape.Exception {
			out[shape.ErrorCode(name)] = shape
		}
	}
	return out
}
