package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/cloudtrail"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/ec2messages"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/kms"
	"github.com/vennel/vennel/api/logs"
	"github.com/vennel/vennel/api/route53resolver"
	"github.com/vennel/vennel/api/s3"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmmessages"
	"github.com/vennel/vennel/api/sts"
)

// everyService is the whole vocabulary, with nothing built.
var everyService = []api.Service{
	ec2.Service(ec2.Unimplemented{}), ec2messages.Service(ec2messages.Unimplemented{}), iam.Service(iam.Unimplemented{}),
	kms.Service(kms.Unimplemented{}), logs.Service(logs.Unimplemented{}), route53resolver.Service(route53resolver.Unimplemented{}),
	cloudtrail.Service(cloudtrail.Unimplemented{}), s3.Service(s3.Unimplemented{}), ssm.Service(ssm.Unimplemented{}), ssmmessages.Service(ssmmessages.Unimplemented{}),
	sts.Service(sts.Unimplemented{}),
}

// TestEveryOperationBinds binds all shapes of all operations: a field that does not fit its model
// panics.
func TestEveryOperationBinds(t *testing.T) {
	n := 0
	for _, s := range everyService {
		for _, op := range newService(s).operations {
			op.in()
			op.out()
			op.pages()
			n++
		}
	}
	t.Logf("%d operations", n)
}

// TestRequestsRoundTrip fills the input of every operation with values, writes it as our client
// does and reads it as our server does: nothing may change, in any protocol.
func TestRequestsRoundTrip(t *testing.T) {
	for _, s := range everyService {
		svc := newService(s)
		for name, op := range svc.operations {
			if op.in() == nil {
				continue
			}
			t.Run(s.Name+"/"+name, func(t *testing.T) {
				for seed := range uint64(4) {
					in := reflect.New(op.In)
					fill(rand.New(rand.NewPCG(seed, 1)), op.in(), in.Elem(), 0)
					c := &Client{Service: s.Name, Endpoint: "http://localhost"}
					r, body, err := c.request(t.Context(), svc.model, op.model, in.Elem())
					if err != nil {
						t.Fatal(err)
					}
					got := reflect.New(op.In)
					if err := receive(svc, op, r, body, got.Elem()); err != nil {
						t.Fatalf("%v\n%s %s\n%s", err, r.Method, r.URL, body)
					}
					if diff := cmp.Diff(in.Interface(), got.Interface(), cmp.Comparer(sameReader)); diff != "" {
						t.Fatalf("input changed (-sent +received):\n%s\n%s %s\n%s", diff, r.Method, r.URL, body)
					}
				}
			})
		}
	}
}

// receive decodes a request as the server does, but for the constraints, which random values break.
func receive(svc *service, op *operation, r *http.Request, body []byte, v reflect.Value) error {
	rq := &request{Request: httptest.NewRequest(r.Method, r.URL.String(), bytes.NewReader(body)), svc: svc, body: body}
	rq.Header = r.Header
	if svc.isQuery() {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return err
		}
		rq.form = form
	}
	found, err := svc.protocol.find(rq)
	if found != op {
		return fmt.Errorf("found %v: %w", found, err)
	}
	rq.op = found
	if svc.Name == "s3" {
		if err := rq.openBody(httptest.NewRecorder()); err != nil {
			return err
		}
	}
	err = svc.protocol.decode(rq, op.in(), v)
	if op.uploads() { // which can be read but once
		all, err := io.ReadAll(rq.upload)
		if err != nil {
			return err
		}
		v.Field(op.in().payload.index).Set(reflect.ValueOf(bytes.NewReader(all)))
	}
	if e, ok := errors.AsType[*api.Error](err); ok && e.Reason == api.Invalid {
		return nil
	}
	return err
}

// TestAnswersRoundTrip does the same with outputs.
func TestAnswersRoundTrip(t *testing.T) {
	for _, s := range everyService {
		svc := newService(s)
		for name, op := range svc.operations {
			if op.out() == nil || op.out().Shape == nil {
				continue
			}
			t.Run(s.Name+"/"+name, func(t *testing.T) {
				for seed := range uint64(4) {
					out := reflect.New(op.Out)
					fill(rand.New(rand.NewPCG(seed, 2)), op.out(), out.Elem(), 0)
					rs := &response{status: http.StatusOK, header: http.Header{}}
					if err := svc.answer.encode(rs, svc, op, out.Elem()); err != nil {
						t.Fatal(err)
					}
					got := reflect.New(op.Out)
					protocol := orElse(svc.model.Metadata.ResponseProtocol, svc.model.Metadata.Protocol)
					body := rs.body
					if rs.stream != nil {
						body = []byte(streamText)
					}
					if err := parseAnswer(protocol, op.model, op.out(), got.Elem(), &http.Response{StatusCode: rs.status, Header: rs.header}, body); err != nil {
						t.Fatalf("%v\n%s", err, rs.body)
					}
					if diff := cmp.Diff(out.Interface(), got.Interface(), cmp.Comparer(sameReader)); diff != "" {
						t.Fatalf("output changed (-sent +received):\n%s\n%s", diff, rs.body)
					}
				}
			})
		}
	}
}

// streamText is what fill puts in a stream.
const streamText = "streamed"

// sameReader compares streams by their content; an absent one is empty.
func sameReader(a, b io.Reader) bool { return content(a) == content(b) }

// content is all that a stream holds, wherever it has been read to.
func content(r io.Reader) string {
	s, ok := r.(io.ReadSeeker)
	if !ok {
		return ""
	}
	if _, err := s.Seek(0, io.SeekStart); err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(s)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// fill puts random values into all members of a shape, some of them absent.
func fill(r *rand.Rand, s *shape, v reflect.Value, depth int) {
	switch s.kind {
	case structure:
		given := plainMember(s) // a query cannot say that a structure is there but empty
		for i, m := range s.members {
			if m.ref.Location == "statusCode" {
				continue
			}
			if !m.required && i != given && (depth > 4 || r.IntN(4) == 0) {
				continue
			}
			if m.kind == streamed {
				v.Field(m.index).Set(reflect.ValueOf(strings.NewReader(streamText)))
				continue
			}
			fill(r, m.shape, m.field(v), depth+1)
		}
	case list:
		n := 1 + r.IntN(3)
		if depth > 5 {
			n = 1
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(r, s.elem, v.Index(i), depth+1)
		}
	case mapping:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			elem := reflect.New(s.elem.goType).Elem()
			fill(r, s.elem, elem, depth+1)
			v.SetMapIndex(reflect.ValueOf(word(r)), elem)
		}
	case text:
		v.SetString(word(r))
	case integer:
		n := r.Int32()
		v.SetInt(int64(n))
	case float:
		v.SetFloat(float64(r.IntN(1000)) / 8)
	case boolean:
		v.SetBool(r.IntN(2) == 0)
	case timestamp:
		v.Set(reflect.ValueOf(time.Unix(r.Int64N(1<<32), 0).UTC()))
	case blob:
		v.SetBytes([]byte(word(r)))
	}
}

// plainMember finds a member that holds more than an empty structure could: a scalar, if there is one.
func plainMember(s *shape) int {
	for i, m := range s.members {
		if m.kind != structure && m.kind != list && m.kind != mapping {
			return i
		}
	}
	return 0
}

// word is a text with what a codec may stumble over.
func word(r *rand.Rand) string {
	words := []string{"plain", "two words", "a<b>&\"c'", "é日本", "100%+x=y&z", "a/b:c", "\\back\tslash"}
	return words[r.IntN(len(words))] + fmt.Sprint(r.IntN(100))
}
