package wire

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ec2"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/logs"
	"github.com/vennel/vennel/api/s3"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmmessages"
)

// spoken are one operation of each protocol, and how it is called.
var spoken = []struct {
	protocol, service string
	call              func() *http.Request
}{
	{"json", "ssm", func() *http.Request { return jsonRequest("ssm", "GetParameter", `{"Name":"n"}`) }},
	{"query", "iam", func() *http.Request { return formRequest("iam", "Action=ListUsers") }},
	{"ec2", "ec2", func() *http.Request { return formRequest("ec2", "Action=DescribeVpcs") }},
	{"rest-xml", "s3", func() *http.Request { return newRequest("GET", endpoint("s3")+"/bucket?tagging", "") }},
	{"rest-json", "ssmmessages", func() *http.Request {
		return newRequest("POST", endpoint("ssmmessages")+"/v1/control-channel/mi-0123456789abcdef0", `{"MessageSchemaVersion":"1.0","RequestId":"r"}`, "Content-Type", "application/json")
	}},
}

// answering is a world in which the spoken operations answer what f gives.
func answering(t *testing.T, f func(ctx context.Context) error) *world {
	t.Helper()
	return newWorld(t, map[string]api.Operation{
		"ssm:GetParameter": api.Bind("GetParameter", func(ctx context.Context, _ *ssm.GetParameterInput) (*ssm.GetParameterOutput, error) {
			return &ssm.GetParameterOutput{}, f(ctx)
		}),
		"iam:ListUsers": api.Bind("ListUsers", func(ctx context.Context, _ *iam.ListUsersInput) (*iam.ListUsersOutput, error) {
			return &iam.ListUsersOutput{}, f(ctx)
		}),
		"ec2:DescribeVpcs": api.Bind("DescribeVpcs", func(ctx context.Context, _ *ec2.DescribeVpcsInput) (*ec2.DescribeVpcsOutput, error) {
			return &ec2.DescribeVpcsOutput{}, f(ctx)
		}),
		"s3:GetBucketTagging": api.Bind("GetBucketTagging", func(ctx context.Context, _ *s3.GetBucketTaggingInput) (*s3.GetBucketTaggingOutput, error) {
			return &s3.GetBucketTaggingOutput{TagSet: []s3.Tag{}}, f(ctx)
		}),
		"ssmmessages:CreateControlChannel": api.Bind("CreateControlChannel", func(ctx context.Context, _ *ssmmessages.CreateControlChannelInput) (*ssmmessages.CreateControlChannelOutput, error) {
			return &ssmmessages.CreateControlChannelOutput{}, f(ctx)
		}),
	})
}

// said is an error as a client sees it.
type said struct {
	Status        int
	Code, Message string
}

// TestSharedErrors answers every shared error in every protocol: status, code, message and the
// envelope to the letter. source: userguide ("Common errors" of each service, S3's "Error
// responses"); agent for the message gateway; aws for <Message> and Message
func TestSharedErrors(t *testing.T) {
	codes := map[api.Reason][5]said{ // json, query, ec2, rest-xml, rest-json
		api.AccessDenied:        {{400, "AccessDeniedException", "m<&"}, {403, "AccessDenied", "m<&"}, {403, "UnauthorizedOperation", "m<&"}, {403, "AccessDenied", "m<&"}, {400, "AccessDeniedException", "m<&"}},
		api.BadSignature:        {{400, "InvalidSignatureException", "m<&"}, {403, "SignatureDoesNotMatch", "m<&"}, {401, "AuthFailure", "m<&"}, {403, "SignatureDoesNotMatch", "m<&"}, {400, "InvalidSignatureException", "m<&"}},
		api.BadToken:            {{400, "UnrecognizedClientException", "m<&"}, {403, "InvalidClientTokenId", "m<&"}, {401, "AuthFailure", "m<&"}, {403, "InvalidAccessKeyId", "m<&"}, {400, "UnrecognizedClientException", "m<&"}},
		api.ExpiredToken:        {{400, "ExpiredTokenException", "m<&"}, {403, "ExpiredToken", "m<&"}, {400, "RequestExpired", "m<&"}, {400, "ExpiredToken", "m<&"}, {400, "ExpiredTokenException", "m<&"}},
		api.IncompleteSignature: {{400, "IncompleteSignatureException", "m<&"}, {400, "IncompleteSignature", "m<&"}, {401, "AuthFailure", "m<&"}, {400, "AuthorizationHeaderMalformed", "m<&"}, {400, "IncompleteSignatureException", "m<&"}},
		api.MissingToken:        {{400, "MissingAuthenticationTokenException", "m<&"}, {403, "MissingAuthenticationToken", "m<&"}, {401, "AuthFailure", "m<&"}, {403, "AccessDenied", "m<&"}, {400, "MissingAuthenticationTokenException", "m<&"}},
		api.RequestExpired:      {{400, "InvalidSignatureException", "m<&"}, {403, "SignatureDoesNotMatch", "m<&"}, {400, "RequestExpired", "m<&"}, {403, "RequestTimeTooSkewed", "m<&"}, {400, "InvalidSignatureException", "m<&"}},
		api.UnknownOperation: {
			{400, "UnknownOperationException", ""}, {400, "InvalidAction", "Could not find operation m<& for version 2010-05-08"},
			{400, "InvalidAction", "The action m<& is not valid for this web service."}, {405, "MethodNotAllowed", "The specified method is not allowed against this resource."}, {400, "UnknownOperationException", ""},
		},
		api.Unserializable: {{400, "SerializationException", "m<&"}, {400, "MalformedInput", "m<&"}, {400, "InvalidParameterValue", "m<&"}, {400, "MalformedXML", "m<&"}, {400, "SerializationException", "m<&"}},
		api.Invalid:        {{400, "ValidationException", "m<&"}, {400, "ValidationError", "m<&"}, {400, "InvalidParameterValue", "m<&"}, {400, "InvalidArgument", "m<&"}, {400, "ValidationException", "m<&"}},
		api.Missing:        {{400, "ValidationException", "m<&"}, {400, "MissingParameter", "m<&"}, {400, "MissingParameter", "m<&"}, {400, "InvalidArgument", "m<&"}, {400, "ValidationException", "m<&"}},
		api.TooLarge:       {{413, "RequestEntityTooLargeException", "m<&"}, {413, "RequestEntityTooLarge", "m<&"}, {413, "RequestEntityTooLarge", "m<&"}, {400, "EntityTooLarge", "m<&"}, {413, "RequestEntityTooLargeException", "m<&"}},
		api.Throttled:      {{400, "ThrottlingException", "m<&"}, {400, "Throttling", "m<&"}, {503, "RequestLimitExceeded", "m<&"}, {503, "SlowDown", "m<&"}, {400, "ThrottlingException", "m<&"}},
		api.Unavailable:    {{503, "ServiceUnavailableException", "m<&"}, {503, "ServiceUnavailable", "m<&"}, {503, "Unavailable", "m<&"}, {503, "ServiceUnavailable", "m<&"}, {503, "ServiceUnavailableException", "m<&"}},
		api.Internal: {
			{500, "InternalServerError", "An internal error occurred"}, {500, "InternalFailure", "An internal error occurred"}, {500, "InternalError", "An internal error occurred"},
			{500, "InternalError", "An internal error occurred"}, {500, "InternalFailure", "An internal error occurred"},
		},
	}
	for reason := range jsonDialect {
		if _, ok := codes[reason]; !ok {
			t.Errorf("%s is not tested", reason)
		}
	}
	for reason, want := range codes {
		w := answering(t, func(context.Context) error { return fmt.Errorf("wrapped: %w", api.Errorf(reason, "m<&")) })
		for i, p := range spoken {
			rec := w.do(signed(p.call(), p.service))
			if rec.Code != want[i].Status {
				t.Errorf("%s in %s: status %d, want %d", reason, p.protocol, rec.Code, want[i].Status)
			}
			contentType, body := envelope(p.protocol, want[i], reason, rec.Header())
			if got := rec.Header().Get("Content-Type"); got != contentType {
				t.Errorf("%s in %s: content type %q, want %q", reason, p.protocol, got, contentType)
			}
			if diff := cmp.Diff(body, rec.Body.String()); diff != "" {
				t.Errorf("%s in %s (-want +got)\n%s", reason, p.protocol, diff)
			}
			last := w.last(t)
			if last.outcome.Code != want[i].Code || last.outcome.Status != want[i].Status || last.call.RequestID != rec.Header().Get("x-amzn-RequestId") {
				t.Errorf("%s in %s was recorded as %+v", reason, p.protocol, last.outcome)
			}
		}
	}
}

// envelope is the whole answer of an error.
func envelope(protocol string, e said, reason api.Reason, h http.Header) (contentType, body string) {
	id := h.Get("x-amzn-RequestId")
	escaped := strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(e.Message)
	message := ""
	if e.Message != "" {
		message = "<Message>" + escaped + "</Message>"
	}
	side := "Sender"
	if e.Status >= 500 {
		side = "Receiver"
	}
	const declaration = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	switch protocol {
	case "json":
		name := "message"
		if reason == api.Unserializable || reason == api.AccessDenied {
			name = "Message"
		}
		text := fmt.Sprintf(`"%s":"%s"`, name, e.Message)
		switch {
		case e.Message == "":
			return "application/x-amz-json-1.1", `{"__type":"` + e.Code + `"}`
		case name == "Message": // names are in order
			return "application/x-amz-json-1.1", `{` + text + `,"__type":"` + e.Code + `"}`
		}
		return "application/x-amz-json-1.1", `{"__type":"` + e.Code + `",` + text + `}`
	case "query":
		space := "https://iam.amazonaws.com/doc/2010-05-08/"
		if reason == api.UnknownOperation {
			space = "http://webservices.amazon.com/AWSFault/2005-15-09"
		}
		return "text/xml", `<ErrorResponse xmlns="` + space + `"><Error><Type>` + side + `</Type><Code>` + e.Code + `</Code>` + message + `</Error><RequestId>` + id + `</RequestId></ErrorResponse>`
	case "ec2":
		return "text/xml;charset=UTF-8", declaration + `<Response><Errors><Error><Code>` + e.Code + `</Code>` + message + `</Error></Errors><RequestID>` + id + `</RequestID></Response>`
	case "rest-xml":
		return "application/xml", declaration + `<Error><Code>` + e.Code + `</Code>` + message + `<RequestId>` + h.Get("x-amz-request-id") + `</RequestId><HostId>` + h.Get("x-amz-id-2") + `</HostId></Error>`
	}
	return "application/xml", declaration + `<` + e.Code + `><Message>` + escaped + `</Message></` + e.Code + `>`
}

// TestModelledErrors answers errors of the model: their status, the name that they give their
// message, and their further members, lists and structures among them. source: model
func TestModelledErrors(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		want   string
	}{
		{ssm.ErrParameterNotFound(""), 400, `{"__type":"ParameterNotFound"}`},
		{ssm.ErrParameterNotFound("no such 100%%"), 400, `{"__type":"ParameterNotFound","message":"no such 100%%"}`},
		{ssm.ErrInvalidNextToken("x"), 400, `{"Message":"x","__type":"InvalidNextToken"}`},
		{ssm.ErrInternalServerError("x"), 500, `{"Message":"x","__type":"InternalServerError"}`},
		{ssm.ErrOpsItemAlreadyExistsException("x").With("OpsItemId", "oi-1"), 400, `{"Message":"x","OpsItemId":"oi-1","__type":"OpsItemAlreadyExistsException"}`},
		{
			ssm.ErrOpsItemLimitExceededException("x").With("ResourceTypes", []string{"a", "b\xff"}).With("Limit", int64(3)), 400,
			`{"Limit":3,"Message":"x","ResourceTypes":["a","b` + "\ufffd" + `"],"__type":"OpsItemLimitExceededException"}`,
		},
		{
			logs.ErrMalformedQueryException("x").With("queryCompileError", map[string]any{"location": map[string]any{"startCharOffset": 3}}), 400,
			`{"__type":"MalformedQueryException","message":"x","queryCompileError":{"location":{"startCharOffset":3}}}`,
		},
		{ssm.ErrParameterNotFound("x").With("Bad", math.Inf(1)), 400, `{"__type":"ParameterNotFound"}`},
		{ssm.ErrParameterNotFound("x").With("__type", "Other"), 400, `{"__type":"ParameterNotFound","message":"x"}`},
	} {
		w := answering(t, func(context.Context) error { return c.err })
		rec := w.do(signed(spoken[0].call(), "ssm"))
		if rec.Code != c.status || rec.Body.String() != c.want {
			t.Errorf("%v: %d %s\nwant %d %s", c.err, rec.Code, rec.Body, c.status, c.want)
		}
	}
	w := answering(t, func(context.Context) error { return iam.ErrNoSuchEntityException("no user") })
	if rec := w.do(signed(spoken[1].call(), "iam")); rec.Code != 404 || !strings.Contains(rec.Body.String(), "<Type>Sender</Type><Code>NoSuchEntity</Code><Message>no user</Message>") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	w = answering(t, func(context.Context) error { return iam.ErrServiceFailureException("oh") })
	if rec := w.do(signed(spoken[1].call(), "iam")); rec.Code != 500 || !strings.Contains(rec.Body.String(), "<Type>Receiver</Type><Code>ServiceFailure</Code>") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	w = answering(t, func(context.Context) error {
		return (&api.Error{Code: "NoSuchBucket", Status: 404, Message: "The specified bucket does not exist"}).With("BucketName", "b<").With("Zone", 3)
	})
	if rec := w.do(signed(spoken[3].call(), "s3")); rec.Code != 404 || !strings.Contains(rec.Body.String(), "<Message>The specified bucket does not exist</Message><BucketName>b&lt;</BucketName><Zone>3</Zone><RequestId>") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// TestOurFaults makes operations fail in ways that are ours: nothing of the reason leaks to the
// caller, in any protocol, and all of it is in the log.
func TestOurFaults(t *testing.T) {
	for name, f := range map[string]func(ctx context.Context) error{
		"plain error":         func(context.Context) error { return errors.New("secret: /var/lib") },
		"error with a reason": func(context.Context) error { return api.Errorf(api.Internal, "secret: /var/lib") },
		"error without one":   func(context.Context) error { return &api.Error{Message: "secret: /var/lib"} },
		"unknown reason": func(context.Context) error {
			return &api.Error{Reason: "secret: /var/lib", Message: "secret: /var/lib"}
		},
		"panic":               func(context.Context) error { panic("secret: /var/lib") },
		"panic with an error": func(context.Context) error { panic(errors.New("secret: /var/lib")) },
		"nil map":             func(context.Context) error { var m map[string]int; m["secret: /var/lib"] = 1; return nil }, //nolint:govet,staticcheck // it is meant to panic
	} {
		w := answering(t, f)
		for _, p := range spoken {
			rec := w.do(signed(p.call(), p.service))
			if rec.Code != 500 || strings.Contains(rec.Body.String(), "secret") || !strings.Contains(rec.Body.String(), "An internal error occurred") {
				t.Errorf("%s in %s: %d %s", name, p.protocol, rec.Code, rec.Body)
			}
			if last := w.last(t); last.outcome.Status != 500 || strings.Contains(last.outcome.Message, "secret") {
				t.Errorf("%s in %s was recorded as %+v", name, p.protocol, last.outcome)
			}
			if id := rec.Header().Get("x-amzn-RequestId"); !strings.Contains(w.log.String(), "level=ERROR msg=request request_id="+id) {
				t.Errorf("%s in %s is not logged as an error", name, p.protocol)
			}
		}
		if want := "secret"; name != "nil map" && !strings.Contains(w.log.String(), want) {
			t.Errorf("%s: the log lacks the reason", name)
		}
		if strings.Contains(name, "panic") && !strings.Contains(w.log.String(), "errors_test.go") {
			t.Errorf("%s: the log lacks the stack", name)
		}
	}
}

// TestUndecidedAnswers holds that an operation which asked nobody whether it may is not answered.
func TestUndecidedAnswers(t *testing.T) {
	w := answering(t, func(context.Context) error { return nil })
	for _, p := range spoken {
		if rec := w.do(signed(p.call(), p.service)); rec.Code != 500 {
			t.Errorf("%s: %d %s", p.protocol, rec.Code, rec.Body)
		}
	}
	if !strings.Contains(w.log.String(), "ssm:GetParameter answered without an authorization") {
		t.Error("the log does not say so")
	}
	w = answering(t, func(ctx context.Context) error { allow(ctx); return nil })
	for _, p := range spoken {
		if rec := w.do(signed(p.call(), p.service)); rec.Code/100 != 2 {
			t.Errorf("%s, decided: %d %s", p.protocol, rec.Code, rec.Body)
		}
	}
}

// TestAnswersThatAreNone lets an operation answer with nothing, and with a stream that breaks.
func TestAnswersThatAreNone(t *testing.T) {
	w := newWorld(t, map[string]api.Operation{
		"ssm:GetParameter": allowed("GetParameter", func(context.Context, *ssm.GetParameterInput) (*ssm.GetParameterOutput, error) { return nil, nil }),
	})
	if rec := w.do(signed(spoken[0].call(), "ssm")); rec.Code != 500 || !strings.Contains(w.log.String(), "answered with nothing") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// TestAbandonedRequests holds that a client which does not wait is no error of ours.
func TestAbandonedRequests(t *testing.T) {
	w := answering(t, func(ctx context.Context) error { <-ctx.Done(); return fmt.Errorf("reading: %w", ctx.Err()) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rec := w.do(signed(spoken[0].call(), "ssm").WithContext(ctx))
	if rec.Code != 503 || strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("%d %s\n%s", rec.Code, rec.Body, w.log)
	}
}

// TestUnknownOperations asks every service for what it does not have, signed and unsigned: the
// answer is one that no client tries again.
func TestUnknownOperations(t *testing.T) {
	w := newWorld(t, nil)
	for _, s := range w.Services {
		svc := w.services[s.Name]
		var r *http.Request
		switch svc.model.Metadata.Protocol {
		case "json":
			r = jsonRequest(s.Name, "NoSuchOperation", "{}")
		case "query", "ec2":
			r = formRequest(s.Name, "Action=NoSuchOperation")
		default:
			r = newRequest("PATCH", endpoint(s.Name)+"/no/such/path", "")
		}
		for _, r := range []*http.Request{r, signed(r.Clone(t.Context()), s.Name)} {
			if rec := w.do(r); rec.Code/100 != 4 {
				t.Errorf("%s: %d %s", s.Name, rec.Code, rec.Body)
			}
		}
		// One that is of the model, but not built.
		for _, op := range s.Operations[:1] {
			if svc.model.Metadata.Protocol == "json" {
				if rec := w.do(signed(jsonRequest(s.Name, op.Name, "{}"), s.Name)); rec.Code != 400 {
					t.Errorf("%s:%s: %d %s", s.Name, op.Name, rec.Code, rec.Body)
				}
			}
		}
	}
}
