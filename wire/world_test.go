package wire

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/model"
	"github.com/vennel/vennel/wire/sigv4"
)

// The key and account of the world's user.
const (
	testKeyID   = "AKIAIOSFODNN7EXAMPLE"
	testSecret  = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	testAccount = "123456789012"
	testRegion  = "us-east-1"
)

// user is a principal.
type user struct{ id string }

// ARN is the user's.
func (u user) ARN() string { return "arn:aws:iam::" + testAccount + ":user/" + u.id }

// AccountID is the world's account, or another for users whose names say so.
func (u user) AccountID() string {
	if strings.HasPrefix(u.id, "other") {
		return "999999999999"
	}
	return testAccount
}

// UserID is the name.
func (u user) UserID() string { return u.id }

// KeyID is the name.
func (u user) KeyID() string { return u.id }

// Type is CloudTrail's word.
func (u user) Type() string { return "IAMUser" }

// holder is what a keyring knows of a key.
type holder struct {
	key       sigv4.Key
	principal api.Principal
	err       error
}

// keyring is wire's view of identity, by key id.
type keyring map[string]holder

// Lookup finds a key.
func (k keyring) Lookup(_ context.Context, keyID, _ string) (sigv4.Key, api.Principal, error) {
	h, ok := k[keyID]
	if !ok {
		return sigv4.Key{}, nil, api.Errorf(api.BadToken, "")
	}
	return h.key, h.principal, h.err
}

// world is a Mux and what it says to its log and its audit trail.
type world struct {
	*Mux
	keys keyring
	log  *lockedBuffer

	mu      sync.Mutex
	records []record // guarded by mu
}

// record is one entry of the audit trail.
type record struct {
	call    *api.Call
	outcome api.Outcome
}

// lockedBuffer is a buffer that many goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is all that was written.
func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newWorld serves the whole vocabulary, of which the given operations are built; each is named
// service:Operation.
func newWorld(t testing.TB, built map[string]api.Operation) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{
		log:  new(lockedBuffer),
		keys: keyring{testKeyID: {key: sigv4.Key{Secret: testSecret}, principal: user{"alice"}}},
	}
	w.Mux = New(ctx, Config{
		Services: withBuilt(built), Credentials: w.keys, TokenKey: bytes.Repeat([]byte{7}, 32), Region: testRegion,
		Log: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Record: func(_ context.Context, c *api.Call, o *api.Outcome) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.records = append(w.records, record{c, *o})
		},
	})
	t.Cleanup(func() {
		cancel()
		w.Wait()
	})
	return w
}

// withBuilt is the whole vocabulary with some operations built.
func withBuilt(built map[string]api.Operation) []api.Service {
	services := slices.Clone(everyService)
	for i, s := range services {
		services[i].Operations = slices.Clone(s.Operations)
		for j, o := range services[i].Operations {
			if b, ok := built[s.Name+":"+o.Name]; ok {
				services[i].Operations[j] = b
			}
		}
	}
	return services
}

// allowed makes an operation that lets everybody in.
func allowed[In, Out any](name string, f func(ctx context.Context, in *In) (*Out, error)) api.Operation {
	return api.Bind(name, func(ctx context.Context, in *In) (*Out, error) {
		allow(ctx)
		return f(ctx, in)
	})
}

// allow records a decision.
func allow(ctx context.Context) {
	api.CallFrom(ctx).Decide(api.Decision{Action: "test:Anything", Resource: "*", Allowed: true, Reason: "a test"})
}

// do sends a request through the Mux.
func (w *world) do(r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	w.ServeHTTP(rec, r)
	return rec
}

// last is the last entry of the audit trail.
func (w *world) last(t *testing.T) record {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.records) == 0 {
		t.Fatal("nothing was recorded")
	}
	return w.records[len(w.records)-1]
}

// newRequest makes a server's request.
func newRequest(method, url, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// jsonRequest makes a request of a JSON service, unsigned.
func jsonRequest(service, operation, body string) *http.Request {
	m := modelOf(service)
	return newRequest("POST", endpoint(service)+"/", body,
		"Content-Type", "application/x-amz-json-1.1", "X-Amz-Target", m.Metadata.TargetPrefix+"."+operation)
}

// formRequest makes a request of a query service, unsigned. The parameters begin with Action.
func formRequest(service, body string) *http.Request {
	if strings.HasPrefix(body, "Action=") {
		body += "&Version=" + modelOf(service).Metadata.APIVersion
	}
	return newRequest("POST", endpoint(service)+"/", body, "Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
}

// endpoint is where AWS serves a service.
func endpoint(service string) string {
	return "http://" + service + "." + testRegion + ".amazonaws.com"
}

// signed signs a request as the world's user.
func signed(r *http.Request, service string) *http.Request {
	return signedAs(r, sigv4.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, testRegion, service, time.Now())
}

// signedAs signs a request over its body.
func signedAs(r *http.Request, c sigv4.Credentials, region, service string, now time.Time) *http.Request {
	body := bodyOf(r)
	r.RequestURI = ""
	if err := sigv4.Sign(r, sigv4.HashPayload(body), c, region, service, now); err != nil {
		panic(err)
	}
	r.RequestURI = r.URL.RequestURI()
	return r
}

// bodyOf reads the body of a request and puts it back.
func bodyOf(r *http.Request) []byte {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

// decodeAs reads a JSON body as the input of an operation, and gives the input and the error.
func decodeAs(t testing.TB, service, operation, body string) (any, error) {
	t.Helper()
	op := operationOf(t, service, operation)
	in := reflect.New(op.In)
	err := decodeJSON([]byte(body), op.in(), in.Elem(), new(checker))
	return in.Interface(), err
}

// bindings are the services, bound once for all tests.
var bindings = sync.OnceValue(func() map[string]*service {
	all := map[string]*service{}
	for _, s := range everyService {
		all[s.Name] = newService(s)
	}
	return all
})

// operationOf finds an operation of the vocabulary.
func operationOf(t testing.TB, service, name string) *operation {
	t.Helper()
	op := bindings()[service].operations[name]
	if op == nil {
		t.Fatalf("there is no %s:%s", service, name)
	}
	return op
}

// modelOf is the model of a service.
func modelOf(service string) *model.Service { return bindings()[service].model }

// signer signs a client's requests as the world's user.
func signer(service string) func(context.Context, *http.Request, []byte) error {
	return func(_ context.Context, r *http.Request, body []byte) error {
		return sigv4.Sign(r, sigv4.HashPayload(body), sigv4.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, testRegion, service, time.Now())
	}
}
