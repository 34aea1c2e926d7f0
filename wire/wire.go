// Package wire turns bytes into AWS's vocabulary and back. A request goes down a list that can be
// read aloud: identify, find, verify, decode, validate, call, encode, record. Signatures are in
// sigv4; five protocols share one walk over the model's shapes; node channels are websockets whose
// messages are frames. Client is the other half: our own agent and commands, and tests, call with it.
//
// It imports api and knows no service: whatever has a model is served.
package wire

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/wire/sigv4"
)

// The headers that carry a request's id.
const (
	requestIDHeader   = "X-Amzn-Requestid"
	s3RequestIDHeader = "X-Amz-Request-Id"
	s3HostIDHeader    = "X-Amz-Id-2"
)

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
	TokenKey    []byte                                         // seals pagination tokens; 32 bytes
	Region      string                                         // of requests that name none
	// Via says through which VPC endpoint the connection of a request has come; nil for none. It is asked for every request with
	// the context of its connection. An error breaks the connection off: there is nobody at its other end any more. Via may be nil.
	Via func(context.Context) (api.Endpoint, error)
	// Rest is called when the server stops, before its streams are ended. It may be nil.
	Rest func()
	Log  *slog.Logger
}

// Mux serves all services on one listener.
type Mux struct {
	Config
	services map[string]*service
	targets  map[string]*service // by X-Amz-Target prefix
	versions map[string]*service // query services by API version
	keys     *sigv4.KeyCache
	tokens   cipher.AEAD
	base     context.Context //nolint:containedctx // streams outlive their requests and end with this
	streams  sync.WaitGroup
	lot      lot          // where they are parked
	moves    atomic.Int64 // streams opened and ended

	mu   sync.Mutex
	open map[*stream]struct{} // accepted streams; guarded by mu
}

// mostKeys is how many derived signing keys are kept: one a caller, day, Region and service.
const mostKeys = 4096

// New makes a Mux. Streams end when ctx does. A TokenKey of another length than 32 bytes, like a
// service without a model, is a mistake of the program and panics.
func New(ctx context.Context, cfg Config) *Mux {
	m := &Mux{
		Config: cfg, base: ctx, open: map[*stream]struct{}{}, keys: sigv4.NewKeyCache(mostKeys), tokens: newTokens(cfg.TokenKey),
		services: map[string]*service{}, targets: map[string]*service{}, versions: map[string]*service{},
	}
	for _, s := range cfg.Services {
		svc := newService(s)
		m.services[s.Name] = svc
		if prefix := svc.model.Metadata.TargetPrefix; prefix != "" {
			m.targets[prefix] = svc
		}
		if svc.isQuery() {
			m.versions[svc.model.Metadata.APIVersion] = svc
		}
	}
	context.AfterFunc(ctx, m.closeStreams)
	return m
}

// Serves says whether a service is served, by its name.
func (m *Mux) Serves(service string) bool { return m.services[service] != nil }

// Streams is how many streams are open.
func (m *Mux) Streams() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.open)
}

// Moves is how many times a stream has been opened or has ended.
func (m *Mux) Moves() int64 { return m.moves.Load() }

// Wait returns when all streams have ended.
func (m *Mux) Wait() { m.streams.Wait() }

// request is an HTTP request on its way down the list.
type request struct {
	*http.Request
	call   *api.Call
	svc    *service          // once identified
	sig    *sigv4.Signature  // nil for an unsigned request
	body   []byte            // what has been read of it
	upload *sigv4.Body       // the body of an S3 upload, which is not read
	form   url.Values        // the parameters; of the REST protocols once asked for
	bucket string            // that the host name gives
	op     *operation        // once found
	labels map[string]string // in the path, of the REST protocols
	in     reflect.Value     // the input, once decoded; a struct
}

// query is the parameters in the URI of a REST request.
func (rq *request) query() url.Values {
	if rq.form == nil {
		rq.form = rq.URL.Query()
	}
	return rq.form
}

// firstBody is the room for an answer that most fit in.
const firstBody = 1024

// bodies are such rooms. An answer has been sent when its request has been served, so the next may have its room.
var bodies = sync.Pool{New: func() any { return new([firstBody]byte) }}

// response is an answer before it is sent.
type response struct {
	status int
	header http.Header
	body   []byte
	stream io.Reader     // instead of body
	out    reflect.Value // the output, once there is one; a struct
}

// requestID gives a request its id. Ids of about the same time begin alike, so that the audit trail's
// index of them is written where it was written last; of ids without an order every one would touch
// another page.
func requestID() string { return uuid.Must(uuid.NewV7()).String() }

// ServeHTTP takes one request down the list.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rq := &request{Request: r, call: &api.Call{
		RequestID: requestID(), Time: time.Now(), Region: m.Region, Host: r.Host, UserAgent: r.UserAgent(), TLS: r.TLS != nil,
		SourceIP: addrOf(r.RemoteAddr), Principal: Anonymous{},
	}}
	if m.Via != nil {
		endpoint, err := m.Via(r.Context())
		if err != nil {
			m.Log.Debug("connection broken off", "request_id", rq.call.RequestID, "error", err)
			panic(http.ErrAbortHandler)
		}
		rq.call.Endpoint = endpoint
	}
	room := bodies.Get().(*[firstBody]byte)
	defer bodies.Put(room)
	rs := &response{status: http.StatusOK, header: w.Header(), body: room[:0]}
	rs.header.Set(requestIDHeader, rq.call.RequestID)
	ctx := api.WithCall(r.Context(), rq.call)

	err := m.identify(rq)
	if rq.svc == nil {
		m.nobody(rs, rq, err)
		_ = m.send(w, rs)
		return
	}
	if rq.svc.Name == "s3" {
		rs.header.Set(s3RequestIDHeader, strings.ToUpper(strings.ReplaceAll(rq.call.RequestID, "-", "")[:16]))
		rs.header.Set(s3HostIDHeader, rq.call.RequestID)
	}
	if err == nil {
		err = m.serve(ctx, w, rq, rs)
	}
	var failure *api.Error
	switch {
	case errors.Is(err, errTaken):
		return // the stream reports for itself
	case errors.Is(err, errNoTarget):
		rs.status, rs.body = http.StatusNotFound, append(rs.body, "<UnknownOperationException/>\n"...)
		_ = m.send(w, rs)
		return
	case err != nil:
		failure = rq.svc.resolve(err, rq.op)
		rs.status, rs.body, rs.stream = failure.Status, rs.body[:0], nil
		rq.svc.answer.fail(rs, rq.svc, failure)
	}
	if rq.call.Last {
		rs.header.Set("Connection", "close") // which HTTP/2 says in a frame of its own
	}
	err = m.send(w, rs)
	m.finish(ctx, rq, rs, failure)
	if err != nil {
		m.Log.Debug("answer broken off", "request_id", rq.call.RequestID, "error", err)
		panic(http.ErrAbortHandler)
	}
}

// serve does everything between the identification and the answer. What panics on the way is an
// internal error to the caller, and a stack in the log.
func (m *Mux) serve(ctx context.Context, w http.ResponseWriter, rq *request, rs *response) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
	}()
	svc := rq.svc
	op, err := svc.protocol.find(rq)
	if err != nil {
		return err
	}
	rq.op, rq.call.Operation = op, op.Name
	if err := m.verify(ctx, rq); err != nil {
		return err
	}
	if svc.Name == "s3" {
		if err := rq.openBody(w); err != nil {
			return err
		}
	}
	in := reflect.New(op.In)
	if op.model.WebSocket {
		return m.converse(ctx, w, rq, in)
	}
	if s := op.in(); s != nil {
		if err := svc.protocol.decode(rq, s, in.Elem()); err != nil {
			return err
		}
	}
	rq.in = in.Elem()
	pages := op.pages()
	if err := pages.open(m.tokens, rq); err != nil {
		return err
	}
	out, err := op.Call(ctx, in.Interface())
	if err != nil {
		return err
	}
	if len(rq.call.Decisions()) == 0 {
		return fmt.Errorf("%s:%s answered without an authorization", svc.Name, op.Name)
	}
	rs.out = reflect.ValueOf(out).Elem()
	if !rs.out.IsValid() {
		return fmt.Errorf("%s:%s answered with nothing", svc.Name, op.Name)
	}
	if err := pages.seal(m.tokens, rq, rs.out); err != nil {
		return err
	}
	if code := op.model.HTTP.ResponseCode; code != 0 {
		rs.status = code
	}
	return svc.answer.encode(rs, svc, op, rs.out)
}

// panicked is the error of a panic, with its stack for the log.
func panicked(p any) error { return fmt.Errorf("panic: %v\n%s", p, debug.Stack()) }

// send writes the answer. An answer that cannot be sent whole breaks its connection, so that nobody
// takes a part of it for the whole.
func (m *Mux) send(w http.ResponseWriter, rs *response) (err error) {
	w.WriteHeader(rs.status)
	if rs.stream == nil {
		_, _ = w.Write(rs.body) // a client that is gone needs no answer
		return nil
	}
	if c, ok := rs.stream.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	_, err = io.Copy(w, rs.stream)
	return err
}
