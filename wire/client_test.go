package wire

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/s3"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmmessages"
)

// through is an HTTP client that asks a handler directly, and counts.
type through struct {
	http.Handler
	asked int
}

// RoundTrip asks the handler.
func (h *through) RoundTrip(r *http.Request) (*http.Response, error) {
	h.asked++
	rec := httptest.NewRecorder()
	r = r.Clone(r.Context())
	r.RequestURI = r.URL.RequestURI()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	h.ServeHTTP(rec, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

// TestClientErrors reads the errors of our own server, in every protocol.
func TestClientErrors(t *testing.T) {
	w := answering(t, func(context.Context) error {
		return (&api.Error{Code: "TestError", Status: 418, Message: `m<&>" é`}).With("Limit", 3)
	})
	for service, call := range map[string]func(c *Client) error{
		"ssm": func(c *Client) error {
			return c.Call(t.Context(), "GetParameter", &ssm.GetParameterInput{Name: "n"}, &ssm.GetParameterOutput{})
		},
		"iam": func(c *Client) error {
			return c.Call(t.Context(), "ListUsers", &iam.ListUsersInput{}, &iam.ListUsersOutput{})
		},
		"ec2": func(c *Client) error {
			return c.Call(t.Context(), "DescribeVpcs", &ec2.DescribeVpcsInput{}, &ec2.DescribeVpcsOutput{})
		},
		"s3": func(c *Client) error {
			return c.Call(t.Context(), "GetBucketTagging", &s3.GetBucketTaggingInput{Bucket: "b"}, &s3.GetBucketTaggingOutput{})
		},
		"ssmmessages": func(c *Client) error {
			return c.Call(t.Context(), "CreateControlChannel", &ssmmessages.CreateControlChannelInput{ChannelId: "mi-0123456789abcdef0", MessageSchemaVersion: "1.0", RequestId: "r"}, &ssmmessages.CreateControlChannelOutput{})
		},
	} {
		h := &through{Handler: w}
		err := call(&Client{Service: service, Endpoint: endpoint(service), HTTP: &http.Client{Transport: h}, Sign: signer(service)})
		want := &api.Error{Code: "TestError", Status: 418, Message: `m<&>" é`}
		got, ok := errors.AsType[*api.Error](err)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(api.Error{}, "Fields")); !ok || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", service, err, diff)
		}
		if service == "ssm" && got.Fields["Limit"] != 3.0 {
			t.Errorf("the fields are %v", got.Fields)
		}
		if h.asked != 1 {
			t.Errorf("%s asked %d times", service, h.asked)
		}
	}
}

// TestClientAnswers reads answers that are errors of other kinds, none, too long, or no answer of a
// service at all. Whether to ask again is the caller's to decide. source: agent, for the JSON forms
func TestClientAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		service string
		status  int
		body    string
		want    error // with the code and message that are expected; nil for none
	}{
		"namespace in the type":   {"ssm", 400, `{"__type":"com.amazonaws.ssm#ParameterNotFound"}`, &api.Error{Code: "ParameterNotFound", Status: 400}},
		"capital message":         {"ssm", 400, `{"__type":"X","Message":"m"}`, &api.Error{Code: "X", Message: "m", Status: 400}},
		"fault":                   {"ssm", 500, `{"__type":"InternalServerError","message":"m"}`, &api.Error{Code: "InternalServerError", Message: "m", Status: 500, Fault: true}},
		"throttled":               {"ssm", 400, `{"__type":"ThrottlingException"}`, &api.Error{Code: "ThrottlingException", Status: 400}},
		"no type":                 {"ssm", 400, `{"message":"m"}`, &api.Error{Code: "Bad Request", Message: `{"message":"m"}`, Status: 400}},
		"a type that is no text":  {"ssm", 400, `{"__type":1}`, &api.Error{Code: "Bad Request", Message: `{"__type":1}`, Status: 400}},
		"a page of a proxy":       {"ssm", 502, "<html>" + strings.Repeat("x", 10_000), &api.Error{Code: "Bad Gateway", Message: "<html>" + strings.Repeat("x", 506), Status: 502, Fault: true}},
		"nothing":                 {"ssm", 503, "", &api.Error{Code: "Service Unavailable", Status: 503, Fault: true}},
		"nothing, in XML":         {"iam", 503, "", &api.Error{Code: "Service Unavailable", Status: 503, Fault: true}},
		"no XML":                  {"iam", 400, "{}", &api.Error{Code: "Bad Request", Message: "{}", Status: 400}},
		"an element":              {"iam", 404, "<UnknownOperationException/>\n", &api.Error{Code: "UnknownOperationException", Status: 404}},
		"a status that is none":   {"ssm", 299, `{}`, nil},
		"redirected":              {"ssm", 304, "", &api.Error{Code: "Not Modified", Status: 304}},
		"empty":                   {"ssm", 200, "", nil},
		"unknown members":         {"ssm", 200, `{"X":{"Y":[1]},"Parameter":{"Name":"n","Z":1}}`, nil},
		"no JSON":                 {"ssm", 200, "<html>", errAny},
		"another kind":            {"ssm", 200, `{"Parameter":[]}`, errAny},
		"no XML at all":           {"iam", 200, "", errAny},
		"an entity":               {"iam", 200, `<!DOCTYPE x [<!ENTITY e "e">]><ListUsersResponse>&e;</ListUsersResponse>`, errAny},
		"a result that is absent": {"iam", 200, "<ListUsersResponse/>", nil},
		"elements without end":    {"iam", 200, "<ListUsersResponse>" + strings.Repeat("<a/>", mostAnswerElements) + "</ListUsersResponse>", errAny},
		"too long":                {"ssm", 200, `{"X":"` + strings.Repeat("x", mostAnswer) + `"}`, errAny},
		"an error that is long":   {"ssm", 400, `{"X":"` + strings.Repeat("x", mostAnswer) + `"}`, errAny},
	} {
		h := &through{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})}
		client := &Client{Service: c.service, Endpoint: "http://localhost/", HTTP: &http.Client{Transport: h}, UserAgent: "test"}
		var err error
		if c.service == "ssm" {
			err = client.Call(t.Context(), "GetParameter", &ssm.GetParameterInput{Name: "n"}, &ssm.GetParameterOutput{})
		} else {
			err = client.Call(t.Context(), "ListUsers", &iam.ListUsersInput{}, &iam.ListUsersOutput{})
		}
		switch want, ok := errors.AsType[*api.Error](c.want); {
		case ok:
			got, _ := errors.AsType[*api.Error](err)
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(api.Error{}, "Fields")); diff != "" {
				t.Errorf("%s: %.200v (-want +got)\n%s", name, err, diff)
			}
		case (err == nil) != (c.want == nil):
			t.Errorf("%s: %.200v", name, err)
		}
		if h.asked != 1 {
			t.Errorf("%s: asked %d times", name, h.asked)
		}
	}
}

// errAny stands for any error.
var errAny = errors.New("any")

// TestClientMistakes calls what there is not.
func TestClientMistakes(t *testing.T) {
	client := &Client{Service: "ssm", Endpoint: "http://localhost", HTTP: &http.Client{Transport: &through{Handler: http.NotFoundHandler()}}}
	if err := client.Call(t.Context(), "NoSuchOperation", &struct{}{}, &struct{}{}); err == nil || !strings.Contains(err.Error(), "ssm has no operation NoSuchOperation") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := client.Call(ctx, "GetParameter", &ssm.GetParameterInput{}, &ssm.GetParameterOutput{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	client.Sign = func(context.Context, *http.Request, []byte) error { return errAny }
	if err := client.Call(t.Context(), "GetParameter", &ssm.GetParameterInput{}, &ssm.GetParameterOutput{}); !errors.Is(err, errAny) {
		t.Errorf("%v", err)
	}
	client.Endpoint, client.Sign = "://", nil
	if err := client.Call(t.Context(), "GetParameter", &ssm.GetParameterInput{}, &ssm.GetParameterOutput{}); err == nil {
		t.Error("an address that is none was called")
	}
}

// TestDocuments reads and writes inputs and outputs as scripts and documents have them: as JSON,
// with the members of URI and headers, whatever the protocol.
func TestDocuments(t *testing.T) {
	in := new(s3.GetObjectInput)
	if err := ReadInput("s3", "GetObject", []byte(`{"Bucket":"b","Key":"k","RequestPayer":"requester","Other":1}`), in); err != nil || in.Bucket != "b" || in.Key != "k" || *in.RequestPayer != "requester" {
		t.Errorf("%+v, %v", in, err)
	}
	text, err := WriteOutput("ssmmessages", "CreateControlChannel", &ssmmessages.CreateControlChannelOutput{MessageSchemaVersion: "1.0", TokenValue: "t"})
	if err != nil || string(text) != `{"MessageSchemaVersion":"1.0","TokenValue":"t"}` {
		t.Errorf("%s, %v", text, err)
	}
	if text, err := WriteOutput("iam", "DeleteUser", &struct{}{}); err != nil || string(text) != "{}" {
		t.Errorf("%s, %v", text, err)
	}
	vpcs := new(ec2.DescribeVpcsInput)
	if err := ReadInput("ec2", "DescribeVpcs", []byte(`{"Filters":[{"Name":"n","Values":["v"]}]}`), vpcs); err != nil || len(vpcs.Filters) != 1 || vpcs.Filters[0].Values[0] != "v" {
		t.Errorf("%+v, %v", vpcs, err)
	}
	if text, err := WriteOutput("ec2", "DescribeVpcs", &ec2.DescribeVpcsOutput{Vpcs: []ec2.Vpc{{VpcId: new("v")}}}); err != nil || string(text) != `{"Vpcs":[{"VpcId":"v"}]}` {
		t.Errorf("%s, %v", text, err)
	}
	if err := ReadInput("ec2", "DescribeVpcs", []byte(`{"Filters":[{"Name":"n","Values":["v"]}]`), new(ec2.DescribeVpcsInput)); err == nil {
		t.Error("half a document was read")
	}
	if err := ReadInput("ec2", "NoSuchOperation", []byte(`{}`), &struct{}{}); err == nil {
		t.Error("there is no such operation")
	}
	if _, err := WriteOutput("ec2", "NoSuchOperation", &struct{}{}); err == nil {
		t.Error("there is no such operation")
	}
}

// TestClientPaths writes labels that look like paths and queries; the server must read them as they
// were.
func TestClientPaths(t *testing.T) {
	var got s3.GetObjectTaggingInput
	w := newWorld(t, map[string]api.Operation{
		"s3:GetObjectTagging": allowed("GetObjectTagging", func(_ context.Context, in *s3.GetObjectTaggingInput) (*s3.GetObjectTaggingOutput, error) {
			got = *in
			return &s3.GetObjectTaggingOutput{TagSet: []s3.Tag{}}, nil
		}),
	})
	client := &Client{Service: "s3", Endpoint: endpoint("s3"), HTTP: &http.Client{Transport: &through{Handler: w}}, Sign: signer("s3")}
	for _, key := range []string{"k", "a/b/c", "a//b", "/a", "a/", "a b", "a+b", "a%2Fb", "%", "?tagging", "#", "é日", "..", "a/../b", "{Key+}", "a&b=c", ";", "\\"} {
		if err := client.Call(t.Context(), "GetObjectTagging", &s3.GetObjectTaggingInput{Bucket: "bucket", Key: key, VersionId: &key}, &s3.GetObjectTaggingOutput{}); err != nil {
			t.Errorf("%q: %v", key, err)
			continue
		}
		if got.Bucket != "bucket" || got.Key != key || *got.VersionId != key {
			t.Errorf("%q was read as %q, %q", key, got.Key, *got.VersionId)
		}
	}
}
