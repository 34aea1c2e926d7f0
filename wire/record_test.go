package wire

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/iam"
	"github.com/vennel/vennel/api/s3"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/sts"
	"github.com/vennel/vennel/wire/sigv4"
)

// TestRecords holds what the audit trail is told of requests of all kinds. source: userguide,
// "CloudTrail record contents", for the names and the placeholder
func TestRecords(t *testing.T) {
	w := newWorld(t, map[string]api.Operation{
		"ssm:PutParameter": allowed("PutParameter", func(context.Context, *ssm.PutParameterInput) (*ssm.PutParameterOutput, error) {
			return &ssm.PutParameterOutput{Version: new(int64(1))}, nil
		}),
		"ssm:GetParameter": allowed("GetParameter", func(context.Context, *ssm.GetParameterInput) (*ssm.GetParameterOutput, error) {
			return &ssm.GetParameterOutput{Parameter: &ssm.Parameter{Value: new("hush")}}, nil
		}),
		"sts:AssumeRole": allowed("AssumeRole", func(context.Context, *sts.AssumeRoleInput) (*sts.AssumeRoleOutput, error) {
			return &sts.AssumeRoleOutput{Credentials: &sts.Credentials{AccessKeyId: "ASIA", SecretAccessKey: "hush", SessionToken: "hush"}}, nil
		}),
		"iam:CreateLoginProfile": allowed("CreateLoginProfile", func(context.Context, *iam.CreateLoginProfileInput) (*iam.CreateLoginProfileOutput, error) {
			return nil, iam.ErrNoSuchEntityException("no user")
		}),
		"s3:PutObject": allowed("PutObject", func(_ context.Context, in *s3.PutObjectInput) (*s3.PutObjectOutput, error) {
			_, err := io.Copy(io.Discard, in.Body)
			return &s3.PutObjectOutput{ETag: new("e")}, err
		}),
	})
	for name, c := range map[string]struct {
		send              func()
		service           string
		operation         string
		status            int
		code              string
		readOnly          bool
		request, response string
	}{
		"a change": {
			func() {
				w.do(signed(jsonRequest("ssm", "PutParameter", `{"Name":"n","Value":"hush","Tags":[{"Key":"k","Value":"v"}]}`), "ssm"))
			}, "ssm", "PutParameter", 200, "", false,
			`{"name":"n","value":"HIDDEN_DUE_TO_SECURITY_REASONS","tags":[{"key":"k","value":"v"}]}`, `{"version":1}`,
		},
		"a question": {
			func() { w.do(signed(jsonRequest("ssm", "GetParameter", `{"Name":"n","WithDecryption":true}`), "ssm")) }, "ssm", "GetParameter", 200, "", true,
			`{"name":"n","withDecryption":true}`, ``,
		},
		"secrets in an answer": {
			func() {
				w.do(signed(formRequest("sts", "Action=AssumeRole&RoleArn=arn:aws:iam::1:role/role&RoleSessionName=me"), "sts"))
			}, "sts", "AssumeRole", 200, "", false,
			`{"roleArn":"arn:aws:iam::1:role/role","roleSessionName":"me"}`, "",
		},
		"an error": {
			func() { w.do(signed(formRequest("iam", "Action=CreateLoginProfile&UserName=u&Password=hush"), "iam")) }, "iam", "CreateLoginProfile", 404, "NoSuchEntity", false,
			`{"userName":"u","password":"HIDDEN_DUE_TO_SECURITY_REASONS"}`, ``,
		},
		"a malformed request": {
			func() { w.do(signed(jsonRequest("ssm", "PutParameter", `{"Value":"hush","Name":1}`), "ssm")) }, "ssm", "PutParameter", 400, "SerializationException", false, ``, ``,
		},
		"no signature": {
			func() { w.do(jsonRequest("ssm", "PutParameter", `{"Value":"hush"}`)) }, "ssm", "PutParameter", 400, "MissingAuthenticationTokenException", false, ``, ``,
		},
		"what is very long": {
			func() {
				w.do(signed(jsonRequest("ssm", "PutParameter", `{"Name":"n","Value":"hush","Description":"`+strings.Repeat("x", 200_000)+`"}`), "ssm"))
			}, "ssm", "PutParameter", 400, "ValidationException", false, ``, ``,
		},
		"an upload": {
			func() {
				r := newRequest("PUT", "http://b.s3.us-east-1.amazonaws.com/k", "hush", "X-Amz-Server-Side-Encryption-Customer-Key", "hush")
				r.RequestURI = ""
				if err := sigv4.Sign(r, sigv4.UnsignedPayload, sigv4.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, testRegion, "s3", time.Now()); err != nil {
					t.Fatal(err)
				}
				r.RequestURI = r.URL.RequestURI()
				w.do(r)
			}, "s3", "PutObject", 200, "", false, `{"bucket":"b","key":"k","sSECustomerKey":"HIDDEN_DUE_TO_SECURITY_REASONS"}`, `{"eTag":"e"}`,
		},
	} {
		c.send()
		got := w.last(t)
		o := got.outcome
		if got.call.Service != c.service || got.call.Operation != c.operation || o.Status != c.status || o.Code != c.code || o.ReadOnly != c.readOnly {
			t.Errorf("%s: %s:%s, %+v", name, got.call.Service, got.call.Operation, o)
		}
		if c.request != "" && string(o.Request) != c.request || c.request == "" && o.Request != nil {
			t.Errorf("%s: the request is %s", name, o.Request)
		}
		if c.response != "" && string(o.Response) != c.response {
			t.Errorf("%s: the response is %s", name, o.Response)
		}
		if all := string(o.Request) + string(o.Response) + o.Message; strings.Contains(all, "hush") {
			t.Errorf("%s: a secret was recorded: %s", name, all)
		}
		for _, text := range [][]byte{o.Request, o.Response} {
			if text != nil && !json.Valid(text) {
				t.Errorf("%s: %s is no JSON", name, text)
			}
		}
	}
	if strings.Contains(w.log.String(), "hush") {
		t.Error("a secret was logged")
	}
}

// TestLongRecords holds that a long request that is good is counted, not kept.
func TestLongRecords(t *testing.T) {
	w := newWorld(t, map[string]api.Operation{
		"ssm:CreateDocument": allowed("CreateDocument", func(context.Context, *ssm.CreateDocumentInput) (*ssm.CreateDocumentOutput, error) {
			return &ssm.CreateDocumentOutput{}, nil
		}),
	})
	w.do(signed(jsonRequest("ssm", "CreateDocument", `{"Name":"name","Content":"`+strings.Repeat("x", 200_000)+`"}`), "ssm"))
	if got := w.last(t).outcome; got.Status != 200 || string(got.Request) != `{"omitted":true,"originalSize":200028,"reason":"too large"}` {
		t.Errorf("%d %.200s", got.Status, got.Request)
	}
}

// TestOneRecordARequest counts the records of requests of all kinds.
func TestOneRecordARequest(t *testing.T) {
	w := guarded(t)
	for _, p := range spoken {
		w.do(p.call())
		w.do(signed(p.call(), p.service))
	}
	if n := len(w.records); n != 2*len(spoken) {
		t.Errorf("%d records of %d requests", n, 2*len(spoken))
	}
	ids := map[string]bool{}
	for _, r := range w.records {
		ids[r.call.RequestID] = true
	}
	if len(ids) != len(w.records) {
		t.Error("two requests have one id")
	}
}
