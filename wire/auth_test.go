package wire

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/s3"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/wire/sigv4"
)

// guarded is a world with operations of each protocol that let everybody in who comes so far, and
// with all kinds of keys.
func guarded(t *testing.T) *world {
	t.Helper()
	w := answering(t, func(ctx context.Context) error { allow(ctx); return nil })
	w.keys["ASIATEMPORARY"] = holder{key: sigv4.Key{Secret: testSecret, SessionToken: "token"}, principal: user{"session"}}
	w.keys["ASIAEXPIRED"] = holder{err: api.Errorf(api.ExpiredToken, "")}
	w.keys["ASIABROKEN"] = holder{err: errors.New("the database is gone")}
	return w
}

// TestSignatures sends what is wrong with a signature in each protocol. The operations let everybody
// in, so that only the signature refuses. source: aws for the words (see sigv4), userguide for codes
func TestSignatures(t *testing.T) {
	w := guarded(t)
	alice := sigv4.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}
	as := func(c sigv4.Credentials) func(r *http.Request, service string) *http.Request {
		return func(r *http.Request, service string) *http.Request {
			return signedAs(r, c, testRegion, service, time.Now())
		}
	}
	at := func(d time.Duration) func(r *http.Request, service string) *http.Request {
		return func(r *http.Request, service string) *http.Request {
			return signedAs(r, alice, testRegion, service, time.Now().Add(d))
		}
	}
	presigned := func(age, expires time.Duration) func(r *http.Request, service string) *http.Request {
		return func(r *http.Request, service string) *http.Request {
			payload := sigv4.HashPayload(bodyOf(r))
			if service == "s3" {
				payload = ""
			}
			r.RequestURI = ""
			if err := sigv4.Presign(r, payload, alice, testRegion, service, time.Now().Add(-age), expires); err != nil {
				t.Fatal(err)
			}
			r.RequestURI = r.URL.RequestURI()
			return r
		}
	}
	then := func(sign func(*http.Request, string) *http.Request, change func(*http.Request)) func(*http.Request, string) *http.Request {
		return func(r *http.Request, service string) *http.Request {
			r = sign(r, service)
			change(r)
			return r
		}
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	const ok = "200"
	for _, c := range []struct {
		name string
		sign func(r *http.Request, service string) *http.Request
		want [5]string // json, query, ec2, rest-xml, rest-json: status and code
	}{
		{"good", as(alice), [5]string{ok, ok, ok, ok, "201"}},
		{"not signed", func(r *http.Request, _ string) *http.Request { return r }, [5]string{
			"400 MissingAuthenticationTokenException", "403 MissingAuthenticationToken", "401 AuthFailure", ok, "400 MissingAuthenticationTokenException",
		}},
		{"signed with version 2", func(r *http.Request, _ string) *http.Request {
			r.Header.Set("Authorization", "AWS "+testKeyID+":c2lnbmF0dXJl")
			return r
		}, [5]string{"400 IncompleteSignatureException", "400 IncompleteSignature", "401 AuthFailure", "400 InvalidRequest", "400 IncompleteSignatureException"}},
		{"another scheme", func(r *http.Request, _ string) *http.Request {
			r.Header.Set("Authorization", "Bearer x")
			return r
		}, [5]string{"400 IncompleteSignatureException", "400 IncompleteSignature", "401 AuthFailure", "400 AuthorizationHeaderMalformed", "400 IncompleteSignatureException"}},
		{"unknown key", as(sigv4.Credentials{AccessKeyID: "AKIAUNKNOWN", SecretAccessKey: testSecret}), [5]string{
			"400 UnrecognizedClientException", "403 InvalidClientTokenId", "401 AuthFailure", "403 InvalidAccessKeyId", "400 UnrecognizedClientException",
		}},
		{"wrong secret", as(sigv4.Credentials{AccessKeyID: testKeyID, SecretAccessKey: "other"}), [5]string{
			"400 InvalidSignatureException", "403 SignatureDoesNotMatch", "401 AuthFailure", "403 SignatureDoesNotMatch", "400 InvalidSignatureException",
		}},
		{"a key that cannot be looked up", as(sigv4.Credentials{AccessKeyID: "ASIABROKEN", SecretAccessKey: testSecret}), [5]string{
			"500 InternalServerError", "500 InternalFailure", "500 InternalError", "500 InternalError", "500 InternalFailure",
		}},
		{"clock a little behind", at(-4 * time.Minute), [5]string{ok, ok, ok, ok, "201"}},
		{"clock a little ahead", at(4 * time.Minute), [5]string{ok, ok, ok, ok, "201"}},
		{"clock behind", at(-16 * time.Minute), [5]string{
			"400 InvalidSignatureException", "403 SignatureDoesNotMatch", "400 RequestExpired", "403 RequestTimeTooSkewed", "400 InvalidSignatureException",
		}},
		{"clock ahead", at(16 * time.Minute), [5]string{
			"400 InvalidSignatureException", "403 SignatureDoesNotMatch", "400 RequestExpired", "403 RequestTimeTooSkewed", "400 InvalidSignatureException",
		}},
		{"presigned", presigned(time.Minute, time.Hour), [5]string{ok, ok, ok, ok, "201"}},
		{"presigned, long ago but not too long", presigned(50*time.Minute, time.Hour), [5]string{ok, ok, ok, ok, "201"}},
		{"presigned, expired", presigned(2*time.Hour, time.Hour), [5]string{
			"400 InvalidSignatureException", "403 SignatureDoesNotMatch", "400 RequestExpired", "403 AccessDenied", "400 InvalidSignatureException",
		}},
		{"presigned for the future", presigned(-time.Hour, time.Minute), [5]string{
			"400 InvalidSignatureException", "403 SignatureDoesNotMatch", "400 RequestExpired", "403 AccessDenied", "400 InvalidSignatureException",
		}},
		{"presigned and lengthened", then(presigned(2*time.Hour, time.Hour), func(r *http.Request) {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "Expires=3600", "Expires=604800", 1)
			r.RequestURI = r.URL.RequestURI()
		}), [5]string{
			"400 InvalidSignatureException", "403 SignatureDoesNotMatch", "401 AuthFailure", "403 SignatureDoesNotMatch", "400 InvalidSignatureException",
		}},
		{"session", as(sigv4.Credentials{AccessKeyID: "ASIATEMPORARY", SecretAccessKey: testSecret, SessionToken: "token"}), [5]string{ok, ok, ok, ok, "201"}},
		{"session without its token", as(sigv4.Credentials{AccessKeyID: "ASIATEMPORARY", SecretAccessKey: testSecret}), [5]string{
			"400 UnrecognizedClientException", "403 InvalidClientTokenId", "401 AuthFailure", "403 InvalidAccessKeyId", "400 UnrecognizedClientException",
		}},
		{"session with another's token", as(sigv4.Credentials{AccessKeyID: "ASIATEMPORARY", SecretAccessKey: testSecret, SessionToken: "foreign"}), [5]string{
			"400 UnrecognizedClientException", "403 InvalidClientTokenId", "401 AuthFailure", "400 InvalidToken", "400 UnrecognizedClientException",
		}},
		{"a token where there should be none", as(sigv4.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret, SessionToken: "token"}), [5]string{
			"400 UnrecognizedClientException", "403 InvalidClientTokenId", "401 AuthFailure", "400 InvalidToken", "400 UnrecognizedClientException",
		}},
		{"expired session", as(sigv4.Credentials{AccessKeyID: "ASIAEXPIRED", SecretAccessKey: testSecret, SessionToken: "token"}), [5]string{
			"400 ExpiredTokenException", "403 ExpiredToken", "400 RequestExpired", "400 ExpiredToken", "400 ExpiredTokenException",
		}},
		{"changed query", then(as(alice), func(r *http.Request) {
			r.URL.RawQuery += "&x=y"
			r.RequestURI = r.URL.RequestURI()
		}), [5]string{"400 InvalidSignatureException", "403 SignatureDoesNotMatch", "401 AuthFailure", "403 SignatureDoesNotMatch", "400 InvalidSignatureException"}},
		{"changed path", then(as(alice), func(r *http.Request) {
			r.URL.Path += "x"
			r.RequestURI = r.URL.RequestURI()
		}), [5]string{"400 InvalidSignatureException", "403 SignatureDoesNotMatch", "401 AuthFailure", "403 SignatureDoesNotMatch", "400 InvalidSignatureException"}},
		{"changed date", then(as(alice), header("X-Amz-Date", time.Now().UTC().Add(time.Minute).Format("20060102T150405Z"))), [5]string{
			"400 InvalidSignatureException", "403 SignatureDoesNotMatch", "401 AuthFailure", "403 SignatureDoesNotMatch", "400 InvalidSignatureException",
		}},
		{"a header of AWS's added", then(as(alice), header("X-Amz-Security-Token", "stolen")), [5]string{
			"400 InvalidSignatureException", "403 SignatureDoesNotMatch", "401 AuthFailure", "403 AccessDenied", "400 InvalidSignatureException",
		}},
		{"a header of nobody's added", then(as(alice), header("X-Forwarded-For", "10.0.0.1")), [5]string{ok, ok, ok, ok, "201"}},
		{"two signatures", then(presigned(0, time.Hour), header("Authorization", "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=x")), [5]string{
			"400 InvalidSignatureException", "403 SignatureDoesNotMatch", "401 AuthFailure", "400 InvalidArgument", "400 InvalidSignatureException",
		}},
		{"another host", then(as(alice), func(r *http.Request) { r.Host = "localhost" }), [5]string{
			"400 InvalidSignatureException", "403 SignatureDoesNotMatch", "401 AuthFailure", "403 SignatureDoesNotMatch", "400 InvalidSignatureException",
		}},
	} {
		for i, p := range spoken {
			if c.name == "changed path" && p.protocol == "rest-json" {
				continue // the channel's name is another then, of the same length at least
			}
			rec := w.do(c.sign(p.call(), p.service))
			status, code, _ := strings.Cut(c.want[i], " ")
			if rec.Code != atoi(status) || !strings.Contains(rec.Body.String(), code) {
				t.Errorf("%s in %s: %d %s, want %s", c.name, p.protocol, rec.Code, rec.Body, c.want[i])
			}
			if body := rec.Body.String(); strings.Contains(body, testSecret) || strings.Contains(body, "the database") {
				t.Errorf("%s in %s: the answer says too much: %s", c.name, p.protocol, body)
			}
		}
	}
	if strings.Contains(w.log.String(), testSecret) {
		t.Error("the log has a secret")
	}
}

// atoi reads a status.
func atoi(s string) int {
	n := 0
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}

// TestSignaturesOfBodies changes the body of a signed request.
func TestSignaturesOfBodies(t *testing.T) {
	w := guarded(t)
	for _, p := range spoken {
		if p.service == "s3" {
			continue
		}
		r := signed(p.call(), p.service)
		more := " "
		if bindings()[p.service].isQuery() {
			more = "&x=y"
		}
		body := append(bodyOf(r), more...)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		if rec := w.do(r); rec.Code/100 != 4 {
			t.Errorf("%s: %d %s", p.protocol, rec.Code, rec.Body)
		}
		if last := w.last(t); !strings.Contains(last.outcome.Code, "Signature") && last.outcome.Code != "AuthFailure" {
			t.Errorf("%s: %s", p.protocol, last.outcome.Code)
		}
	}
}

// TestPresignedReplays sends one presigned request again and again until it expires.
func TestPresignedReplays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := guarded(t)
		r := newRequest("GET", endpoint("iam")+"/?Action=ListUsers&Version=2010-05-08", "")
		r.RequestURI = ""
		if err := sigv4.Presign(r, "", sigv4.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, testRegion, "iam", time.Now(), time.Hour); err != nil {
			t.Fatal(err)
		}
		for halfHours, want := range []int{200, 200, 403, 403} {
			again := newRequest("GET", r.URL.String(), "")
			if rec := w.do(again); rec.Code != want {
				t.Errorf("after %d half hours and a little: %d %s", halfHours, rec.Code, rec.Body)
			}
			time.Sleep(30*time.Minute + time.Second)
		}
	})
}

// TestNodeSignatures signs with a node's own key, which only the operations for it take; and comes
// without a signature, which only those for it take.
func TestNodeSignatures(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	yes := map[string]api.Operation{
		"ssm:RequestManagedInstanceRoleToken": allowed("RequestManagedInstanceRoleToken", func(context.Context, *ssm.RequestManagedInstanceRoleTokenInput) (*ssm.RequestManagedInstanceRoleTokenOutput, error) {
			return &ssm.RequestManagedInstanceRoleTokenOutput{}, nil
		}),
		"ssm:RegisterManagedInstance": allowed("RegisterManagedInstance", func(context.Context, *ssm.RegisterManagedInstanceInput) (*ssm.RegisterManagedInstanceOutput, error) {
			return &ssm.RegisterManagedInstanceOutput{}, nil
		}),
		"ssm:GetParameter": allowed("GetParameter", func(context.Context, *ssm.GetParameterInput) (*ssm.GetParameterOutput, error) {
			return &ssm.GetParameterOutput{}, nil
		}),
	}
	w := newWorld(t, yes)
	w.keys["mi-0123456789abcdef0"] = holder{key: sigv4.Key{Public: &key.PublicKey}, principal: user{"mi-0123456789abcdef0"}}
	byNode := func(r *http.Request) *http.Request {
		sum := sha256.Sum256(bodyOf(r))
		r.RequestURI = ""
		if err := sigv4.SignRSA(r, hex.EncodeToString(sum[:]), "mi-0123456789abcdef0", key, testRegion, "ssm", time.Now()); err != nil {
			t.Fatal(err)
		}
		r.RequestURI = r.URL.RequestURI()
		return r
	}
	byUser := func(r *http.Request) *http.Request { return signed(r, "ssm") }
	unsigned := func(r *http.Request) *http.Request { return r }
	const token, register = `{"Fingerprint":"f"}`, `{"Fingerprint":"f","PublicKey":"k"}`
	for _, c := range []struct {
		name, operation, body string
		sign                  func(*http.Request) *http.Request
		status                int
		who, want             string
	}{
		{"token by the node", "RequestManagedInstanceRoleToken", token, byNode, 200, "mi-0123456789abcdef0", ""},
		{"token by a user", "RequestManagedInstanceRoleToken", token, byUser, 200, "alice", ""}, // as on EC2; the operation tells
		{"token unsigned", "RequestManagedInstanceRoleToken", token, unsigned, 400, "", "MissingAuthenticationTokenException"},
		{"registration unsigned", "RegisterManagedInstance", register, unsigned, 200, "", ""},
		{"registration by a user", "RegisterManagedInstance", register, byUser, 200, "alice", ""},
		{"registration by the node", "RegisterManagedInstance", register, byNode, 400, "", "UnrecognizedClientException"},
		{"parameter by the node", "GetParameter", `{"Name":"n"}`, byNode, 400, "", "UnrecognizedClientException"},
		{"parameter unsigned", "GetParameter", `{"Name":"n"}`, unsigned, 400, "", "MissingAuthenticationTokenException"},
	} {
		rec := w.do(c.sign(jsonRequest("ssm", c.operation, c.body)))
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("%s: %d %s, want %d %s", c.name, rec.Code, rec.Body, c.status, c.want)
		}
		if who := w.last(t).call.Principal.UserID(); who != c.who {
			t.Errorf("%s: by %q, want %q", c.name, who, c.who)
		}
	}
	// Another node's key under the first one's name.
	stolen, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key = stolen
	if rec := w.do(byNode(jsonRequest("ssm", "RequestManagedInstanceRoleToken", token))); rec.Code != 400 || !strings.Contains(rec.Body.String(), "InvalidSignatureException") {
		t.Errorf("another key: %d %s", rec.Code, rec.Body)
	}
}

// TestUnsignedOperations lists, over the whole vocabulary, which operations can be reached without a
// signature, and which with a node's key: no more than are known. source: agent, userguide
func TestUnsignedOperations(t *testing.T) {
	want := map[string]string{
		"ssm:RegisterManagedInstance":         authOptional,
		"ssm:RequestManagedInstanceRoleToken": authNode,
		"ssm:UpdateManagedInstancePublicKey":  authNode,
		"ssmmessages:OpenDataChannel":         authOptional, // a user's, by the token of the session
		"sts:AssumeRoleWithSAML":              authNone,
		"sts:AssumeRoleWithWebIdentity":       authNone,
	}
	for name, svc := range bindings() {
		for operation, op := range svc.operations {
			if got := op.model.AuthType; got != want[name+":"+operation] {
				t.Errorf("%s:%s has authtype %q, want %q", name, operation, got, want[name+":"+operation])
			}
		}
	}
}

// TestS3Uploads sends the bodies of S3's clients, which are checked as the operation reads them.
// source: aws, for the forms
func TestS3Uploads(t *testing.T) {
	var got string
	w := newWorld(t, map[string]api.Operation{
		"s3:PutObject": allowed("PutObject", func(_ context.Context, in *s3.PutObjectInput) (*s3.PutObjectOutput, error) {
			b, err := io.ReadAll(in.Body)
			got = string(b)
			return &s3.PutObjectOutput{ETag: new(`"x"`)}, err
		}),
	})
	const url = "http://b.s3.us-east-1.amazonaws.com/k"
	put := func(body, payload string, header ...string) *http.Request {
		r := newRequest("PUT", url, body, header...)
		r.RequestURI = ""
		if err := sigv4.Sign(r, payload, sigv4.Credentials{AccessKeyID: testKeyID, SecretAccessKey: testSecret}, testRegion, "s3", time.Now()); err != nil {
			t.Fatal(err)
		}
		r.RequestURI = r.URL.RequestURI()
		return r
	}
	large := strings.Repeat("x", mostBody+100)
	const chunked = "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
	for name, c := range map[string]struct {
		r      *http.Request
		status int
		want   string
	}{
		"hashed":       {put("hello", sigv4.HashPayload([]byte("hello"))), 200, "hello"},
		"other hash":   {put("hello", sigv4.HashPayload([]byte("HELLO"))), 400, "XAmzContentSHA256Mismatch"},
		"unsigned":     {put("hello", sigv4.UnsignedPayload), 200, "hello"},
		"nothing":      {put("", sigv4.EmptyPayload), 200, ""},
		"large":        {put(large, sigv4.HashPayload([]byte(large))), 200, large},
		"chunked":      {put(chunked, sigv4.StreamingUnsignedTrailer, "Content-Encoding", "aws-chunked", "X-Amz-Decoded-Content-Length", "5", "X-Amz-Trailer", "x-amz-checksum-crc32"), 200, "hello"},
		"cut short":    {put("5\r\nhel", sigv4.StreamingUnsignedTrailer, "Content-Encoding", "aws-chunked", "X-Amz-Decoded-Content-Length", "5", "X-Amz-Trailer", "x-amz-checksum-crc32"), 400, "IncompleteBody"},
		"no length":    {put(chunked, sigv4.StreamingUnsignedTrailer, "Content-Encoding", "aws-chunked", "X-Amz-Trailer", "x-amz-checksum-crc32"), 411, "MissingContentLength"},
		"no such hash": {put("hello", "nonsense"), 400, "InvalidRequest"},
	} {
		got = ""
		rec := w.do(c.r)
		if rec.Code != c.status || c.status == 200 && got != c.want || c.status != 200 && !strings.Contains(rec.Body.String(), "<Code>"+c.want+"</Code>") {
			t.Errorf("%s: %d %s, body %.40q", name, rec.Code, rec.Body, got)
		}
	}
}
