// Package wire turns bytes into AWS's vocabulary and back. A request goes down a list that can be
// read aloud: identify, verify, decode, validate, call, encode, log. Signatures are in sigv4; five
// protocols share one walk over the model's shapes; frames of the message channels are in frame.
package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/model"
	"github.com/vennel/vennel/wire/sigv4"
)

// The headers that carry a request's id.
const (
	requestIDHeader   = "X-Amzn-Requestid"
	s3RequestIDHeader = "X-Amz-Request-Id"
	s3HostIDHeader    = "X-Amz-Id-2"
)

// mostBody is the largest body that is read into memory. The largest request that AWS takes on
// these services is PutLogEvents' megabyte.
const mostBody = 2 << 20

// Credentials is wire's view of identity: who holds a key.
type Credentials interface {
	// Lookup gives the key that a request must have been signed with, and whom it stands for. The
	// error is an *api.Error of reason BadToken or ExpiredToken, or an inner one.
	Lookup(ctx context.Context, keyID, sessionToken string) (sigv4.Key, api.Principal, error)
}

// Config is what a Mux needs.
type Config struct {
	Services    []api.Service
	Credentials Credentials
	Record      func(context.Context, *api.Call, *api.Outcome) // the audit trail; called once a request
	TokenKey    []byte                                         // signs pagination tokens; 32 bytes
	Region      string                                         // of requests that name none
	Log         *slog.Logger
}

// Mux serves all services on one listener.
type Mux struct {
	Config
	services map[string]*service
	targets  map[string]*service // by X-Amz-Target prefix
	keys     *sigv4.KeyCache
	base     context.Context //nolint:containedctx // streams outlive their requests and end with this
	streams  sync.WaitGroup

	mu   sync.Mutex
	open map[*stream]bool // accepted streams; guarded by mu
}

// service is one service, ready to be spoken to.
type service struct {
	api.Service
	model       *model.Service
	protocol    *protocol // of requests; its find and dialect too
	answer      *protocol // of answers
	operations  map[string]*operation
	routes      []route
	errorShapes map[string]*model.Shape
}

// operation is one operation with its shapes, which are bound when it is first called.
type operation struct {
	api.Operation
	model    *model.Operation
	in, out  func() *shape // out gives nil where there is no output
	pages    func() *pages
	readOnly bool
}

// New makes a Mux. Streams end when ctx does.
func New(ctx context.Context, cfg Config) *Mux {
	m := &Mux{
		Config: cfg, base: ctx, services: map[string]*service{}, targets: map[string]*service{}, open: map[*stream]bool{},
		keys: sigv4.NewKeyCache(mostKeys),
	}
	context.AfterFunc(ctx, m.closeStreams)
	for _, s := range cfg.Services {
		svc := newService(s)
		m.services[s.Name] = svc
		if prefix := svc.model.Metadata.TargetPrefix; prefix != "" {
			m.targets[prefix] = svc
		}
	}
	return m
}

// newService binds a service to its model.
func newService(s api.Service) *service {
	m := model.Load(s.Name)
	svc := &service{
		Service: s, model: m, operations: map[string]*operation{}, errorShapes: errorShapes(m),
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

// Serves says whether a service is served, by its name.
func (m *Mux) Serves(service string) bool { return m.services[service] != nil }

// Streams is how many streams are open.
func (m *Mux) Streams() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open)
}

// Wait returns when all streams have ended.
func (m *Mux) Wait() { m.streams.Wait() }

// ServeHTTP takes one request down the list.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	call := &api.Call{
		RequestID: uuid.NewString(), Time: start, Region: m.Region, Host: r.Host, UserAgent: r.UserAgent(), TLS: r.TLS != nil,
		SourceIP: addrOf(r.RemoteAddr),
	}
	rq := &request{Request: r, call: call}
	rs := &response{status: http.StatusOK, header: w.Header()}
	rs.header.Set(requestIDHeader, call.RequestID)
	ctx := api.WithCall(r.Context(), call)

	svc, sig, err := m.identify(rq)
	if svc == nil {
		m.nobody(w, rq, err)
		return
	}
	if svc.curious(rq, sig) {
		rs.status = http.StatusNotFound
		rs.body = append(rs.body, "<UnknownOperationException/>\n"...)
		m.send(w, rs)
		return
	}
	if svc.Name == "s3" {
		rs.header.Set(s3RequestIDHeader, strings.ToUpper(strings.ReplaceAll(call.RequestID, "-", "")[:16]))
		rs.header.Set(s3HostIDHeader, call.RequestID)
	}
	var op *operation
	var in, out any
	if err == nil {
		op, in, out, err = m.serve(ctx, w, svc, rq, rs, sig)
	}
	if errors.Is(err, errTaken) {
		return // the stream reports for itself
	}
	var failure *api.Error
	if err != nil {
		failure = svc.resolve(err, op)
		rs.status, rs.body = failure.Status, rs.body[:0]
		svc.answer.fail(rs, svc, failure)
	}
	m.send(w, rs)
	m.finish(ctx, svc, op, in, out, failure, rs.status, time.Since(start))
}

// serve does everything between the identification and the answer.
func (m *Mux) serve(ctx context.Context, w http.ResponseWriter, svc *service, rq *request, rs *response, sig *sigv4.Signature) (op *operation, in, out any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	op, name := svc.protocol.find(svc, rq)
	if op != nil {
		rq.call.Operation = op.Name
	} else {
		rq.call.Operation = name
	}
	if err := m.verify(ctx, rq, op, sig); err != nil {
		return op, nil, nil, err
	}
	if op == nil {
		return nil, nil, nil, api.Errorf(api.UnknownOperation, "%s", name)
	}
	value := reflect.New(op.In)
	in = value.Interface()
	if op.model.WebSocket {
		return op, in, nil, m.converse(ctx, w, svc, op, rq, value)
	}
	if s := op.in(); s != nil {
		if err := svc.protocol.decode(rq, s, value.Elem()); err != nil {
			return op, nil, nil, err
		}
	}
	p := op.pages()
	if err := p.open(m.TokenKey, rq.call, svc, op, value.Elem()); err != nil {
		return op, in, nil, err
	}
	out, err = op.Call(ctx, in)
	if err != nil {
		return op, in, nil, err
	}
	if len(rq.call.Decisions()) == 0 {
		return op, in, nil, fmt.Errorf("%s:%s answered without an authorization", svc.Name, op.Name)
	}
	answer := reflect.ValueOf(out).Elem()
	p.seal(m.TokenKey, rq.call, op, value.Elem(), answer)
	if code := op.model.HTTP.ResponseCode; code != 0 {
		rs.status = code
	}
	return op, in, out, svc.answer.encode(rs, svc, op, op.out(), answer)
}

// curious says whether a request only asks who is there: curl https://ssm.REGION.amazonaws.com is
// how AWS's guides test a path to a service, and UnknownOperationException what they expect.
func (s *service) curious(rq *request, sig *sigv4.Signature) bool {
	return s.model.Metadata.Protocol == "json" && sig == nil && rq.Header.Get("X-Amz-Target") == ""
}

// send writes the answer.
func (m *Mux) send(w http.ResponseWriter, rs *response) {
	w.WriteHeader(rs.status)
	if rs.stream != nil {
		if _, err := io.Copy(w, rs.stream); err != nil {
			m.Log.Debug("answer not taken", "error", err)
		}
		return
	}
	_, _ = w.Write(rs.body) // a client that is gone needs no answer
}

// finish logs the request and hands it to the audit trail.
func (m *Mux) finish(ctx context.Context, svc *service, op *operation, in, out any, failure *api.Error, status int, took time.Duration) {
	call := api.CallFrom(ctx)
	outcome := &api.Outcome{Status: status, Took: took}
	if op != nil {
		outcome.ReadOnly = op.readOnly
		if in != nil && op.in() != nil {
			outcome.Request = auditJSON(op.in(), reflect.ValueOf(in).Elem())
		}
		if out != nil && !op.readOnly && op.out() != nil {
			outcome.Response = auditJSON(op.out(), reflect.ValueOf(out).Elem())
		}
	}
	level := slog.LevelDebug
	attrs := []slog.Attr{
		slog.String("request_id", call.RequestID), slog.String("service", svc.Name), slog.String("operation", call.Operation),
		slog.String("region", call.Region), slog.Int("status", status), slog.Duration("took", took),
	}
	if failure != nil {
		outcome.Code, outcome.Message = failure.Code, failure.Message
		attrs = append(attrs, slog.String("code", failure.Code), slog.String("message", failure.Message))
		if failure.Fault {
			level = slog.LevelError
			if failure.Cause != nil {
				attrs = append(attrs, slog.String("cause", failure.Cause.Error()))
			}
		}
	}
	m.Log.LogAttrs(ctx, level, "request", attrs...)
	if m.Record != nil {
		m.Record(ctx, call, outcome)
	}
}

// identify says which service and Region a request is for, reads its body, and parses its
// signature. A nil service means that nothing in the request names one.
func (m *Mux) identify(rq *request) (*service, *sigv4.Signature, error) {
	sig, sigErr := sigv4.Parse(rq.Request)
	var svc *service
	host := parseHost(rq.Host, m.Serves)
	switch prefix, _ := splitTarget(rq.Header.Get("X-Amz-Target")); {
	case sig != nil && m.services[sig.Service] != nil:
		svc = m.services[sig.Service]
	case m.targets[prefix] != nil:
		svc = m.targets[prefix]
	case host.service != "":
		svc = m.services[host.service]
	}
	if host.region != "" {
		rq.call.Region = host.region
	}
	rq.bucket = host.bucket
	if sig != nil && goodRegion.MatchString(sig.Region) {
		rq.call.Region = sig.Region
	}
	if err := m.readBody(rq); err != nil {
		if svc == nil {
			return nil, nil, err
		}
		rq.call.Service = svc.Name
		return svc, sig, err
	}
	if svc == nil && rq.form.Get("Action") != "" {
		svc = m.byVersion(rq.form.Get("Version"))
	}
	if svc == nil {
		return nil, sig, sigErr
	}
	rq.call.Service = svc.Name
	if sigErr != nil {
		return svc, nil, signatureError(svc.Name, sigErr)
	}
	return svc, sig, nil
}

// byVersion finds a query service by its API version, which no two of ours share.
func (m *Mux) byVersion(version string) *service {
	for _, svc := range m.services {
		if p := svc.model.Metadata.Protocol; (p == "query" || p == "ec2") && svc.model.Metadata.APIVersion == version {
			return svc
		}
	}
	return nil
}

// readBody reads the body, of bounded size, and the form where it is one.
func (m *Mux) readBody(rq *request) error {
	var b bytes.Buffer
	if n := rq.ContentLength; n > 0 && n <= mostBody {
		b.Grow(int(n) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(io.LimitReader(rq.Body, mostBody+1)); err != nil {
		return api.Errorf(api.Unserializable, "The request body ended early")
	}
	if b.Len() > mostBody {
		return api.Errorf(api.TooLarge, "The request is larger than %d bytes", mostBody)
	}
	rq.body = b.Bytes()
	if rq.Header.Get("X-Amz-Target") != "" {
		return nil
	}
	var err error
	if strings.HasPrefix(rq.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		rq.form, err = url.ParseQuery(string(rq.body))
	} else {
		rq.form, err = url.ParseQuery(rq.URL.RawQuery)
	}
	if err != nil {
		return api.Errorf(api.Unserializable, "The query string is malformed")
	}
	return nil
}

// nobody answers a request that names no service.
func (m *Mux) nobody(w http.ResponseWriter, rq *request, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	switch {
	case rq.Method == http.MethodGet && rq.URL.Path == healthPath:
		fmt.Fprintln(w, "ok")
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintln(w, "This request cannot be read:", err)
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintln(w, "Vennel speaks AWS's APIs here. Run `eval \"$(vennel env)\"` and use the aws command.")
	}
}

// mostKeys is how many derived signing keys are kept: one a caller, day, Region and service.
const mostKeys = 4096

// healthPath is answered without a signature; it says only that the server is up.
const healthPath = "/_vennel/health"
