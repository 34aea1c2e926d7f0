package wire

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/wire/sigv4"
)

// benchSSM answers GetDocument from memory.
type benchSSM struct{ ssm.Unimplemented }

// GetDocument gives a document of a usual size.
func (benchSSM) GetDocument(ctx context.Context, in *ssm.GetDocumentInput) (*ssm.GetDocumentOutput, error) {
	api.CallFrom(ctx).Decide(api.Decision{Action: "ssm:GetDocument", Resource: "*", Allowed: true})
	return &ssm.GetDocumentOutput{Name: &in.Name, DocumentVersion: new("1"), Status: new("Active"), Content: new(benchContent), DocumentType: new("Command"), DocumentFormat: new("JSON")}, nil
}

// benchContent is a document.
const benchContent = `{"schemaVersion":"2.2","description":"Run a shell script","parameters":{"commands":{"type":"StringList"}},"mainSteps":[{"action":"aws:runShellScript","name":"run","inputs":{"runCommand":"{{ commands }}"}}]}`

// benchSTS answers GetCallerIdentity.
type benchSTS struct{ sts.Unimplemented }

// GetCallerIdentity says who calls.
func (benchSTS) GetCallerIdentity(ctx context.Context, _ *sts.GetCallerIdentityInput) (*sts.GetCallerIdentityOutput, error) {
	c := api.CallFrom(ctx)
	c.Decide(api.Decision{Action: "sts:GetCallerIdentity", Resource: "*", Allowed: true})
	return &sts.GetCallerIdentityOutput{Account: new(c.Account), Arn: new(c.Principal.ARN()), UserId: new(c.Principal.UserID())}, nil
}

type benchPrincipal struct{}

func (benchPrincipal) ARN() string       { return "arn:aws:iam::123456789012:user/bench" }
func (benchPrincipal) AccountID() string { return "123456789012" }
func (benchPrincipal) UserID() string    { return "AIDABENCH" }
func (benchPrincipal) KeyID() string     { return "AKIDBENCH" }
func (benchPrincipal) Type() string      { return "IAMUser" }

type benchCreds struct{}

func (benchCreds) Lookup(context.Context, string, string) (sigv4.Key, api.Principal, error) {
	return sigv4.Key{Secret: "secret"}, benchPrincipal{}, nil
}

type sink struct {
	h http.Header
	b bytes.Buffer
	s int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) WriteHeader(n int)           { s.s = n }
func (s *sink) Write(b []byte) (int, error) { return s.b.Write(b) }

func benchMux() *Mux {
	return New(context.Background(), Config{
		Services:    []api.Service{ssm.Service(benchSSM{}), sts.Service(benchSTS{})},
		Credentials: benchCreds{}, TokenKey: make([]byte, 32), Region: "us-east-1", Log: slog.New(slog.DiscardHandler),
		Record: func(context.Context, *api.Call, *api.Outcome) {},
	})
}

func benchDispatch(b *testing.B, service, operation string, in any) {
	m := benchMux()
	c := &Client{Service: service, Endpoint: "http://" + service + ".us-east-1.amazonaws.com"}
	svc := m.services[service]
	r, body, err := c.request(b.Context(), svc.model, svc.model.Operations[operation], reflect.ValueOf(in).Elem())
	if err != nil {
		b.Fatal(err)
	}
	if err := sigv4.Sign(r, sigv4.HashPayload(body), sigv4.Credentials{AccessKeyID: "AKIDBENCH", SecretAccessKey: "secret"}, "us-east-1", service, time.Now()); err != nil {
		b.Fatal(err)
	}
	r.RequestURI = r.URL.RequestURI()
	r.Host = r.URL.Host
	r.RemoteAddr = "127.0.0.1:4000"
	w := &sink{h: http.Header{}}
	reader := bytes.NewReader(body)
	r.Body = io.NopCloser(reader)
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		w.b.Reset()
		clear(w.h)
		m.ServeHTTP(w, r)
	}
	if w.s != 200 {
		b.Fatalf("%d %s", w.s, w.b.String())
	}
}

func BenchmarkDispatch(b *testing.B) {
	b.Run("json", func(b *testing.B) {
		benchDispatch(b, "ssm", "GetDocument", &ssm.GetDocumentInput{Name: "AWS-RunShellScript"})
	})
	b.Run("query", func(b *testing.B) { benchDispatch(b, "sts", "GetCallerIdentity", &sts.GetCallerIdentityInput{}) })
}

func BenchmarkDecodeJSON(b *testing.B) {
	svc := newService(everyService[8])
	for _, name := range []string{"PutParameter", "SendCommand", "PutInventory"} {
		op := svc.operations[name]
		in := reflect.New(op.In)
		fill(rand.New(rand.NewPCG(1, 1)), op.in(), in.Elem(), 0)
		body := appendJSON(nil, op.in(), in.Elem())
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				v := reflect.New(op.In)
				_ = decodeJSON(body, op.in(), v.Elem(), nil)
			}
		})
	}
}

func BenchmarkEncodeJSON(b *testing.B) {
	svc := newService(everyService[8])
	for _, name := range []string{"GetParameter", "ListCommands"} {
		op := svc.operations[name]
		out := reflect.New(op.Out)
		fill(rand.New(rand.NewPCG(1, 1)), op.out(), out.Elem(), 0)
		var body []byte
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				body = appendJSON(body[:0], op.out(), out.Elem())
			}
			b.SetBytes(int64(len(body)))
		})
	}
}
