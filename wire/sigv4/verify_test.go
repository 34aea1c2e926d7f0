package sigv4

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// serverKey is what a server knows about testKey.
var serverKey = Key{Secret: testKey.SecretAccessKey}

// refusal verifies a request like a server for ssm or s3 in us-east-1 and returns the refusal, or nil.
func refusal(t *testing.T, r *http.Request, service string, key Key, now time.Time) *Error {
	t.Helper()
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			t.Fatal(err)
		}
	}
	hash := sha256.Sum256(body)
	s, err := Parse(r)
	if err == nil && s == nil {
		err = NotSigned()
	}
	if err == nil {
		err = s.Verify(r, &hash, key, now, Options{Region: "us-east-1", Service: service})
	}
	if err == nil {
		return nil
	}
	var refused *Error
	if !errors.As(err, &refused) {
		t.Fatalf("not a refusal: %v", err)
	}
	return refused
}

// arrived returns a request that a client has signed, or presigned, as it arrives.
func arrived(t *testing.T, service string, presigned bool, c Credentials) *http.Request {
	t.Helper()
	const body = `{"a":1}`
	r, err := http.NewRequest(http.MethodPost, "http://node.test:8443/path?x=1&x=0", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "AmazonSSM.GetParameter")
	if presigned {
		err = Presign(r, HashPayload([]byte(body)), c, "us-east-1", service, testNow, time.Hour)
	} else {
		err = Sign(r, HashPayload([]byte(body)), c, "us-east-1", service, testNow)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI = r.URL.RequestURI()
	r.URL = nil // a server must not need it
	return r
}

// TestRefused edits signed requests and compares the reasons and the sentences. Sentences that AWS is known to use have their
// source beside the code that writes them.
func TestRefused(t *testing.T) {
	const (
		mismatch   = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
		mismatchS3 = "The request signature we calculated does not match the signature you provided. Check your key and signing method."
	)
	// replace edits the Authorization header and the query alike.
	replace := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			before := r.Header.Get("Authorization") + r.RequestURI
			if text := r.Header.Get("Authorization"); text != "" {
				r.Header.Set("Authorization", strings.Replace(text, old, new, 1))
			}
			r.RequestURI = strings.Replace(r.RequestURI, old, new, 1)
			if before == r.Header.Get("Authorization")+r.RequestURI {
				t.Fatalf("no %q in %q", old, before)
			}
		}
	}
	header := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	without := func(name string) func(*http.Request) {
		return func(r *http.Request) { delete(r.Header, name) }
	}
	// hash is how AWS shows the Authorization header that the edit leaves.
	hash := func(service string, edit func(*http.Request)) string {
		r := arrived(t, service, false, testKey)
		edit(r)
		sum := sha256.Sum256([]byte(r.Header.Get("Authorization")))
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	only := func(text string) func(*http.Request) { return header("Authorization", text) }
	query := func(text string) func(*http.Request) {
		return func(r *http.Request) { delete(r.Header, "Authorization"); r.RequestURI = "/?" + text }
	}

	for _, tt := range []struct {
		name, service string
		presigned     bool
		edit          func(*http.Request)
		reason        Reason
		message       string
	}{
		{"no signature", "ssm", false, without("Authorization"), Unsigned, "Missing Authentication Token"},
		{"bearer token", "ssm", false, only("Bearer eyJhbGciOi"), Incomplete, "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '" + hash("ssm", only("Bearer eyJhbGciOi")) + "'."},
		{"part without equal sign", "ssm", false, only("AWS4-HMAC-SHA256 Credential"), Incomplete, "Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '" + hash("ssm", only("AWS4-HMAC-SHA256 Credential")) + "'."},
		{"nothing but the algorithm", "ssm", false, only("AWS4-HMAC-SHA256"), Incomplete, "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. (Hashed with SHA-256 and encoded with Base64) Authorization=" + hash("ssm", only("AWS4-HMAC-SHA256"))},
		{"no credential", "ssm", false, replace("Credential=", "Key="), Incomplete, "Authorization header requires 'Credential' parameter. (Hashed with SHA-256 and encoded with Base64) Authorization=" + hash("ssm", replace("Credential=", "Key="))},
		{"no date", "ssm", false, without("X-Amz-Date"), Incomplete, "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. (Hashed with SHA-256 and encoded with Base64) Authorization=" + hash("ssm", without("X-Amz-Date"))},
		{"repeated part", "ssm", false, replace(", Signature=", ", Signature=0, Signature="), Incomplete, "Authorization header repeats the 'Signature' parameter."},
		{"repeated header", "ssm", false, header("Authorization", "AWS4-HMAC-SHA256 a=b", "AWS4-HMAC-SHA256 a=b"), Incomplete, "The request has more than one Authorization header."},
		{"repeated date", "ssm", false, header("X-Amz-Date", "20261121T200752Z", "20261121T200752Z"), BadDate, "The request has more than one X-Amz-Date header."},
		{"repeated token", "ssm", false, header("X-Amz-Security-Token", "a", "a"), Incomplete, "The request has more than one X-Amz-Security-Token header."},
		{"four elements", "ssm", false, replace("/aws4_request", ""), Incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '***'"},
		{"a secret as key id", "ssm", false, replace("AKIDVENNELEXAMPLE", "wJalr/UtnFEMI"), Incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '***/20261121/us-east-1/ssm/aws4_request'"},
		{"five elements in a wrong place", "s3", false, replace("AKIDVENNELEXAMPLE", "a/b"), Incomplete, `The authorization header is malformed; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".`},
		{"no key id", "ssm", false, replace("AKIDVENNELEXAMPLE", ""), Incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '***/20261121/us-east-1/ssm/aws4_request'"},
		{"bad date", "ssm", false, header("X-Amz-Date", "2026-11-21T20:07:52Z"), BadDate, "Date must be in ISO-8601 'basic format'. Got '2026-11-21T20:07:52Z'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"date that is none", "ssm", false, header("X-Amz-Date", "20261321T200752Z"), BadDate, "Date must be in ISO-8601 'basic format'. Got '20261321T200752Z'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"bad date at S3", "s3", false, header("X-Amz-Date", "yesterday"), BadDate, "AWS authentication requires a valid Date or x-amz-date header"},
		{"unsorted headers", "ssm", false, replace("host;x-amz-date", "x-amz-date;host"), Incomplete, "SignedHeaders must list lower-case header names in ascending order, separated by semicolons."},
		{"capital header", "ssm", false, replace("host;", "Host;"), Incomplete, "SignedHeaders must list lower-case header names in ascending order, separated by semicolons."},
		{"repeated signed header", "ssm", false, replace("host;", "host;host;"), Incomplete, "SignedHeaders must list lower-case header names in ascending order, separated by semicolons."},
		{"empty signed header", "ssm", false, replace("host;", "host;;"), Incomplete, "SignedHeaders must list lower-case header names in ascending order, separated by semicolons."},

		{"version 2 header", "s3", false, only("AWS AKIDVENNELEXAMPLE:c2ln"), Unsupported, unsupportedV2().Message},
		{"version 2 query", "s3", false, query("AWSAccessKeyId=AKID&Expires=1795295272&Signature=c2ln"), Unsupported, unsupportedV2().Message},
		{"version 2 of query services", "ssm", false, query("AWSAccessKeyId=AKID&SignatureVersion=2&SignatureMethod=HmacSHA256&Signature=c2ln"), Unsupported, unsupportedV2().Message},
		{"version 3", "ssm", false, only("AWS3-HTTPS AWSAccessKeyId=AKID"), Unsupported, unsupportedV2().Message},
		{"version 4A", "ssm", false, only("AWS4-ECDSA-P256-SHA256 Credential=AKID/20261121/ssm/aws4_request"), Unsupported, "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'. This request is signed with AWS Signature Version 4A, which is not supported; use AWS4-HMAC-SHA256."},
		{"version 4A query", "s3", false, query("X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Credential=AKID"), Unsupported, unsupportedV4A(true).Message},
		{"other hash", "ssm", false, replace("SHA256", "SHA512"), Unsupported, "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512'."},
		{"other hash in the query", "ssm", true, replace("SHA256", "SHA512"), Unsupported, "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512'."},
		{"other hash in S3's query", "s3", true, replace("SHA256", "SHA512"), Incomplete, `X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"`},

		{"header and query", "ssm", true, only("AWS4-HMAC-SHA256 Credential=a"), Ambiguous, "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."},
		{"header and query at S3", "s3", true, only("Bearer x"), Ambiguous, "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified"},
		{"query without signature", "ssm", true, replace("X-Amz-Signature=", "signature="), Incomplete, "AWS query-string parameters must include 'X-Amz-Signature'. Re-examine the query-string parameters."},
		{"query with nothing but the algorithm", "ssm", false, query("X-Amz-Algorithm=AWS4-HMAC-SHA256"), Incomplete, "AWS query-string parameters must include 'X-Amz-Credential'. AWS query-string parameters must include 'X-Amz-Signature'. AWS query-string parameters must include 'X-Amz-SignedHeaders'. AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters."},
		{"S3 query without expiry", "s3", true, replace("X-Amz-Expires=", "expires="), Incomplete, "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."},
		{"repeated parameter", "ssm", true, replace("&X-Amz-Date=", "&X-Amz-Date=20261121T200752Z&X-Amz-Date="), Incomplete, "The query string repeats the parameter 'X-Amz-Date'."},
		{"broken escape in a parameter", "ssm", true, replace("%2Fus-east-1", "%2us-east-1"), Incomplete, "The query string contains a syntax error."},
		{"broken escape elsewhere", "ssm", true, replace("x=1", "x=%"), Incomplete, "The query string contains a syntax error."},
		{"expiry that is no number", "s3", true, replace("Expires=3600", "Expires=1h"), Incomplete, "X-Amz-Expires should be a number"},
		{"expiry with a sign", "s3", true, replace("Expires=3600", "Expires=%2B3600"), Incomplete, "X-Amz-Expires should be a number"},
		{"expiry before signing", "s3", true, replace("Expires=3600", "Expires=-1"), Incomplete, "X-Amz-Expires must be non-negative"},
		{"expiry at once", "s3", true, replace("Expires=3600", "Expires=0"), Incomplete, "X-Amz-Expires must be greater than 0"},
		{"expiry after eight days", "ssm", true, replace("Expires=3600", "Expires=691200"), Incomplete, "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"},
		{"bad date in S3's query", "s3", true, replace("Date=20261121T200752Z", "Date=20261121"), BadDate, `X-Amz-Date must be in the ISO8601 Long Format "yyyyMMdd'T'HHmmss'Z'"`},
		{"HTTP date in the query", "ssm", true, replace("Date=20261121T200752Z", "Date=Sat,%2021%20Nov%202026%2020:07:52%20GMT"), BadDate, "Date must be in ISO-8601 'basic format'. Got 'Sat, 21 Nov 2026 20:07:52 GMT'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"bad credential in S3's query", "s3", true, replace("AKIDVENNELEXAMPLE", "a%2Fb"), Incomplete, `Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".`},

		{"other Region", "ssm", false, replace("us-east-1", "eu-west-1"), BadScope, "Credential should be scoped to a valid region, not 'eu-west-1'."},
		{"other service", "ssm", false, replace("/ssm/", "/ec2/"), BadScope, "Credential should be scoped to correct service: 'ssm'."},
		{"S3's scope elsewhere", "ssm", false, func(r *http.Request) {
			replace("/ssm/", "/s3/")(r)
			r.Header.Set("X-Amz-Content-Sha256", EmptyPayload)
			replace("host;", "host;x-amz-content-sha256;")(r)
		}, BadScope, "Credential should be scoped to correct service: 'ssm'."},
		{"other terminator", "ssm", false, replace("aws4_request", "aws5_request"), BadScope, "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'."},
		{"other date", "ssm", false, replace("/20261121/", "/20261122/"), BadScope, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20261122' != '20261121', from '20261121T200752Z'."},
		{"other everything", "ssm", false, replace("20261121/us-east-1/ssm/aws4_request", "a/b/c/d"), BadScope, "Credential should be scoped to a valid region, not 'b'. Credential should be scoped to correct service: 'ssm'. Credential should be scoped with a valid terminator: 'aws4_request', not 'd'. Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: 'a' != '20261121', from '20261121T200752Z'."},
		{"long Region", "ssm", false, replace("us-east-1", strings.Repeat("x", 200)), BadScope, "Credential should be scoped to a valid region, not '" + strings.Repeat("x", 100) + "...'."},
		{"other Region at S3", "s3", false, replace("us-east-1", "eu-west-1"), BadScope, "The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'us-east-1'"},
		{"other Region in S3's query", "s3", true, replace("us-east-1", "eu-west-1"), BadScope, "Error parsing the X-Amz-Credential parameter; the region 'eu-west-1' is wrong; expecting 'us-east-1'"},
		{"other service at S3", "s3", false, replace("/s3/", "/ec2/"), BadScope, `The authorization header is malformed; incorrect service "ec2". This endpoint belongs to "s3".`},
		{"other terminator at S3", "s3", false, replace("aws4_request", "aws5_request"), BadScope, `The authorization header is malformed; incorrect terminal "aws5_request". This endpoint uses "aws4_request".`},
		{"other date at S3", "s3", false, replace("/20261121/", "/20261122/"), BadScope, `Invalid credential date "20261122". This date is not the same as X-Amz-Date: "20261121".`},

		{"host unsigned", "ssm", false, replace("host;", ""), HeadersNotSigned, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{"target unsigned", "ssm", false, replace(";x-amz-target", ""), HeadersNotSigned, "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization."},
		{"header added", "ssm", true, header("X-Amz-Acl", "public"), HeadersNotSigned, "'x-amz-acl' must be a 'SignedHeader' in the AWS Authorization."},
		{"headers added at S3", "s3", true, func(r *http.Request) {
			header("X-Amz-Meta-B", "b")(r)
			header("X-Amz-Acl", "public")(r)
		}, HeadersNotSigned, "There were headers present in the request which were not signed"},
		{"trace id added", "ssm", false, header("X-Amzn-Trace-Id", "Root=1"), "", ""},
		{"agent's proof added", "ssm", false, header(headerAsymmetric, "Signature=x"), "", ""},
		{"token added", "ssm", false, header("X-Amz-Security-Token", "t"), HeadersNotSigned, "'x-amz-security-token' must be a 'SignedHeader' in the AWS Authorization."},

		{"other method", "ssm", false, func(r *http.Request) { r.Method = "PUT" }, Mismatch, mismatch},
		{"other path", "ssm", false, replace("/path", "/Path"), Mismatch, mismatch},
		{"other query", "ssm", false, replace("x=1", "x=2"), Mismatch, mismatch},
		{"other order in the query", "ssm", false, replace("x=1&x=0", "x=0&x=1"), "", ""},
		{"other host", "ssm", false, func(r *http.Request) { r.Host = "node.test:8444" }, Mismatch, mismatch},
		{"other header", "ssm", false, header("X-Amz-Target", "AmazonSSM.DeleteParameter"), Mismatch, mismatch},
		{"header sent twice", "ssm", false, header("X-Amz-Target", "AmazonSSM.GetParameter", "AmazonSSM.DeleteParameter"), Mismatch, mismatch},
		{"header gone", "ssm", false, without("X-Amz-Target"), Mismatch, mismatch},
		{"empty header gone", "ssm", false, func(r *http.Request) {
			replace("host;", "host;nothing;")(r)
		}, Mismatch, mismatch},
		{"other length", "ssm", false, func(r *http.Request) { r.ContentLength = 8 }, Mismatch, mismatch},
		{"other body", "ssm", false, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"a":2}`)) }, Mismatch, mismatch},
		{"other second", "ssm", false, header("X-Amz-Date", "20261121T200753Z"), Mismatch, mismatch},
		{"capital signature", "ssm", false, func(r *http.Request) {
			text := r.Header.Get("Authorization")
			i := strings.Index(text, "Signature=") + len("Signature=")
			r.Header.Set("Authorization", text[:i]+strings.ToUpper(text[i:]))
		}, Mismatch, mismatch},
		{"short signature", "ssm", false, func(r *http.Request) {
			text := r.Header.Get("Authorization")
			r.Header.Set("Authorization", text[:len(text)-1])
		}, Mismatch, mismatch},
		{"other key at S3", "s3", false, replace("x=1", "x=2"), Mismatch, mismatchS3},
		{"unsigned payload elsewhere", "ssm", false, func(r *http.Request) {
			header("X-Amz-Content-Sha256", UnsignedPayload)(r)
			replace("host;", "host;x-amz-content-sha256;")(r)
		}, Mismatch, mismatch},
		{"payload hash that is none", "ssm", false, func(r *http.Request) {
			header("X-Amz-Content-Sha256", "none")(r)
			replace("host;", "host;x-amz-content-sha256;")(r)
		}, Mismatch, mismatch},
		{"streaming elsewhere", "ssm", false, func(r *http.Request) {
			header("X-Amz-Content-Sha256", StreamingPayload)(r)
			replace("host;", "host;x-amz-content-sha256;")(r)
		}, PayloadMismatch, payloadMismatch},
		{"other body at S3", "s3", false, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"a":2}`)) }, PayloadMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed."},
		{"other body in S3's query", "s3", true, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"a":2}`)) }, PayloadMismatch, "The provided 'x-amz-content-sha256' header does not match what was computed."},
		{"payload hash that is none at S3", "s3", false, header("X-Amz-Content-Sha256", "none"), BadPayload, "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value."},
		{"no payload hash at S3", "s3", false, without("X-Amz-Content-Sha256"), BadPayload, "Missing required header for this request: x-amz-content-sha256"},
		{"streaming in S3's query", "s3", true, header("X-Amz-Content-Sha256", StreamingPayload), PayloadMismatch, payloadMismatch},
	} {
		r := arrived(t, tt.service, tt.presigned, testKey)
		tt.edit(r)
		got := refusal(t, r, tt.service, serverKey, testNow)
		switch {
		case got == nil:
			got = new(Error)
		case tt.presigned && got.Reason != Ambiguous && got.Reason != Unsupported && !got.Presigned && !strings.Contains(got.Message, "syntax"):
			t.Errorf("%s: not marked as presigned", tt.name)
		}
		if got.Reason != tt.reason || got.Message != tt.message {
			t.Errorf("%s:\n got %s: %s\nwant %s: %s", tt.name, got.Reason, got.Message, tt.reason, tt.message)
		}
		if strings.Contains(got.Error(), "Signature=") {
			t.Errorf("%s: the message shows a signature: %v", tt.name, got)
		}
	}
}

// TestRefusedFields looks at the further elements that S3 puts into its error documents. Source: aws.
func TestRefusedFields(t *testing.T) {
	later := testNow.Add(2 * time.Hour)
	for _, tt := range []struct {
		name      string
		presigned bool
		edit      func(*http.Request)
		now       time.Time
		want      string
	}{
		{"skew", false, nil, later, "[{RequestTime 20261121T200752Z} {ServerTime 2026-11-21T22:07:52Z} {MaxAllowedSkewMilliseconds 900000}]"},
		{"expiry", true, nil, later, "[{X-Amz-Expires 3600} {Expires 2026-11-21T21:07:52Z} {ServerTime 2026-11-21T22:07:52Z}]"},
		{"headers", false, func(r *http.Request) {
			r.Header.Set("X-Amz-Meta-B", "b")
			r.Header.Set("X-Amz-Acl", "a")
		}, testNow, "[{HeadersNotSigned x-amz-acl, x-amz-meta-b}]"},
		{"Region", false, func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "us-east-1", "eu-west-1", 1))
		}, testNow, "[{Region us-east-1}]"},
		{"payload", false, func(r *http.Request) { r.Body = http.NoBody }, testNow, "[{ClientComputedContentSHA256 " + HashPayload([]byte(`{"a":1}`)) + "} {S3ComputedContentSHA256 " + EmptyPayload + "}]"},
	} {
		r := arrived(t, "s3", tt.presigned, testKey)
		if tt.edit != nil {
			tt.edit(r)
		}
		got := refusal(t, r, "s3", serverKey, tt.now)
		if got == nil {
			t.Errorf("%s: accepted", tt.name)
			continue
		}
		compare(t, tt.name, fmt.Sprint(got.Fields), tt.want)
	}
}

// TestVerifyTime moves the server's clock.
func TestVerifyTime(t *testing.T) {
	for _, tt := range []struct {
		service   string
		presigned bool
		after     time.Duration
		reason    Reason
		message   string
	}{
		{"ssm", false, 0, "", ""},
		{"ssm", false, 5 * time.Minute, "", ""},
		{"ssm", false, -5 * time.Minute, "", ""},
		{"ssm", false, 5*time.Minute + time.Second, Skewed, "Signature expired: 20261121T200752Z is now earlier than 20261121T200753Z (20261121T201253Z - 5 min.)"},
		{"ssm", false, -5*time.Minute - time.Second, Skewed, "Signature not yet current: 20261121T200752Z is still later than 20261121T200751Z (20261121T200251Z + 5 min.)"},
		{"s3", false, 15 * time.Minute, "", ""},
		{"s3", false, -15 * time.Minute, "", ""},
		{"s3", false, 15*time.Minute + time.Second, Skewed, "The difference between the request time and the current time is too large."},
		{"s3", false, -15*time.Minute - time.Second, Skewed, "The difference between the request time and the current time is too large."},
		{"s3", true, time.Hour, "", ""},
		{"s3", true, time.Hour + time.Second, Expired, "Request has expired"},
		{"s3", true, -15*time.Minute - time.Second, Skewed, "Request is not valid yet"},
		{"ssm", true, time.Hour, "", ""},
		{"ssm", true, time.Hour + time.Second, Expired, "Signature expired: 20261121T200752Z is now earlier than 20261121T200753Z (20261121T210753Z - 60 min.)"},
		{"ssm", true, -5*time.Minute - time.Second, Skewed, "Signature not yet current: 20261121T200752Z is still later than 20261121T200751Z (20261121T200251Z + 5 min.)"},
	} {
		got := refusal(t, arrived(t, tt.service, tt.presigned, testKey), tt.service, serverKey, testNow.Add(tt.after))
		if got == nil {
			got = new(Error)
		}
		if got.Reason != tt.reason || got.Message != tt.message {
			t.Errorf("%s, presigned %v, after %v:\n got %s: %s\nwant %s: %s", tt.service, tt.presigned, tt.after, got.Reason, got.Message, tt.reason, tt.message)
		}
	}

	r := arrived(t, "ssm", false, testKey)
	hash := sha256.Sum256([]byte(`{"a":1}`))
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(r, &hash, serverKey, testNow.Add(time.Hour), Options{Skew: time.Hour}); err != nil {
		t.Errorf("with a skew of an hour: %v", err)
	}
	if err := s.Verify(r, &hash, serverKey, testNow.Add(90*time.Second+time.Second), Options{Skew: 90 * time.Second}); err == nil || !strings.HasSuffix(err.Error(), "- 90 sec.)") {
		t.Errorf("with a skew of 90 seconds: %v", err)
	}
}

// TestVerifyKeyAndToken tries keys and session tokens.
func TestVerifyKeyAndToken(t *testing.T) {
	temporary := testKey
	temporary.SessionToken = "a/session+token=="
	own := Key{Secret: testKey.SecretAccessKey, SessionToken: temporary.SessionToken}
	for _, tt := range []struct {
		name      string
		service   string
		presigned bool
		c         Credentials
		key       Key
		reason    Reason
		message   string
	}{
		{"right token", "ssm", false, temporary, own, "", ""},
		{"right token", "ssm", true, temporary, own, "", ""},
		{"right token", "s3", true, temporary, own, "", ""},
		{"other token", "ssm", false, temporary, Key{Secret: own.Secret, SessionToken: "another/token===="}, InvalidToken, "The security token included in the request is invalid"},
		{"other token", "s3", true, temporary, Key{Secret: own.Secret, SessionToken: "another/token===="}, InvalidToken, "The provided token is malformed or otherwise invalid."},
		{"token of a permanent key", "ssm", false, temporary, serverKey, InvalidToken, "The security token included in the request is invalid"},
		{"no token", "ssm", false, testKey, own, UnknownKey, "The security token included in the request is invalid."},
		{"no token", "s3", false, testKey, own, UnknownKey, "The AWS Access Key Id you provided does not exist in our records."},
		{"other secret", "ssm", false, testKey, Key{Secret: "other"}, Mismatch, new(Signature).mismatch().Message},
		{"other secret and token", "ssm", false, temporary, Key{Secret: "other"}, Mismatch, new(Signature).mismatch().Message},
		{"no key", "ssm", false, testKey, Key{}, UnknownKey, "The security token included in the request is invalid."},
		{"no key", "s3", true, testKey, Key{}, UnknownKey, "The AWS Access Key Id you provided does not exist in our records."},
	} {
		got := refusal(t, arrived(t, tt.service, tt.presigned, tt.c), tt.service, tt.key, testNow)
		if got == nil {
			got = new(Error)
		}
		if got.Reason != tt.reason || got.Message != tt.message {
			t.Errorf("%s at %s, presigned %v:\n got %s: %s\nwant %s: %s", tt.name, tt.service, tt.presigned, got.Reason, got.Message, tt.reason, tt.message)
		}
	}

	empty := testKey
	empty.SecretAccessKey = ""
	if got := refusal(t, arrived(t, "ssm", false, empty), "ssm", Key{}, testNow); got == nil || got.Reason != UnknownKey {
		t.Errorf("a signature with the empty secret: %v", got)
	}
}

// TestVerifyTokenAfter accepts a token that was added after signing, where the service wants it so.
func TestVerifyTokenAfter(t *testing.T) {
	key := Key{Secret: testKey.SecretAccessKey, SessionToken: "token"}
	for _, presigned := range []bool{false, true} {
		for _, token := range []string{"token", "other"} {
			r := arrived(t, "ssm", presigned, testKey)
			if presigned {
				r.RequestURI += "&X-Amz-Security-Token=" + token
			} else {
				r.Header.Set("X-Amz-Security-Token", token)
			}
			hash := sha256.Sum256([]byte(`{"a":1}`))
			s, err := Parse(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(r, &hash, key, testNow, Options{TokenAfter: true}); (err == nil) != (token == "token") {
				t.Errorf("presigned %v, token %s: %v", presigned, token, err)
			}
			if err := s.Verify(r, &hash, key, testNow, Options{}); err == nil {
				t.Errorf("presigned %v: accepted where the token must be signed", presigned)
			}
		}
	}
}

// TestVerifyTransferEncoding verifies a signature over a header that net/http keeps elsewhere, and one over a header with a
// long name.
func TestVerifyTransferEncoding(t *testing.T) {
	long := "x-" + strings.Repeat("long-", 20) + "name"
	r := httptest.NewRequest(http.MethodPost, "http://node.test/", nil)
	r.TransferEncoding = []string{"chunked"}
	r.Header.Set(long, "value")
	s := newSignature(r, testKey, "us-east-1", "ssm", testNow)
	s.signedText = "host;transfer-encoding;x-amz-date;" + long
	if err := s.setSignedHeaders(); err != nil {
		t.Fatal(err)
	}
	if err := s.sign(r, EmptyPayload, testKey.SecretAccessKey); err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", s.authorization())
	if !strings.Contains(must(s.CanonicalRequest(r, EmptyPayload)), "\ntransfer-encoding:chunked\n") {
		t.Error("the transfer encoding is not in the canonical request")
	}
	if got := refusal(t, r, "ssm", serverKey, testNow); got != nil {
		t.Error(got)
	}
	r.TransferEncoding = nil
	if got := refusal(t, r, "ssm", serverKey, testNow); got == nil || got.Reason != Mismatch {
		t.Errorf("without it: %v", got)
	}
}

// TestExpiredToken compares the sentences about a temporary key that has expired.
func TestExpiredToken(t *testing.T) {
	for service, want := range map[string]string{
		"ssm": "sigv4: expired token: The security token included in the request is expired",
		"s3":  "sigv4: expired token: The provided token has expired.",
	} {
		s, err := Parse(arrived(t, service, false, testKey))
		if err != nil {
			t.Fatal(err)
		}
		compare(t, service, s.ExpiredToken().Error(), want)
	}
}

// TestVerifyNoExpiry lets a presigned request that does not say how long it lives live as long as any other. Only S3 asks for
// the parameter. Source: sdk, websocket clients of AWS's presign without it.
func TestVerifyNoExpiry(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "http://node.test/?role=subscribe&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDVENNELEXAMPLE%2F20261121%2Fus-east-1%2Fssmmessages%2Faws4_request&X-Amz-Date=20261121T200752Z&X-Amz-SignedHeaders=host&X-Amz-Signature=0", nil)
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.sign(r, EmptyPayload, testKey.SecretAccessKey); err != nil {
		t.Fatal(err)
	}
	r.RequestURI = strings.TrimSuffix(r.RequestURI, "0") + s.Value
	for after, reason := range map[time.Duration]Reason{5 * time.Minute: "", 5*time.Minute + time.Second: Skewed} {
		got := refusal(t, r, "ssmmessages", serverKey, testNow.Add(after))
		if got == nil {
			got = new(Error)
		}
		if got.Reason != reason {
			t.Errorf("after %v: %v, want %q", after, got, reason)
		}
	}
}

// TestVerifyWithoutHash asks for a verification that needs the body.
func TestVerifyWithoutHash(t *testing.T) {
	r := arrived(t, "ssm", false, testKey)
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(r, nil, serverKey, testNow, Options{}); !errors.Is(err, errNoHash) {
		t.Errorf("%v, want %v", err, errNoHash)
	}
}

// TestVerifyAuthority accepts HTTP/2's name for the host.
func TestVerifyAuthority(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "https://node.test/", nil)
	s := newSignature(r, testKey, "us-east-1", "ssm", testNow)
	s.signedText = ":authority;x-amz-date"
	if err := s.setSignedHeaders(); err != nil {
		t.Fatal(err)
	}
	if err := s.sign(r, EmptyPayload, testKey.SecretAccessKey); err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", s.authorization())
	if got := refusal(t, r, "ssm", serverKey, testNow); got != nil {
		t.Error(got)
	}
	r.Host = "other.test"
	if got := refusal(t, r, "ssm", serverKey, testNow); got == nil || got.Reason != Mismatch {
		t.Errorf("another host: %v", got)
	}
}

// TestParseSignature reads all parts of a signature.
func TestParseSignature(t *testing.T) {
	temporary := testKey
	temporary.SessionToken = "a/b+c="
	for _, presigned := range []bool{false, true} {
		s, err := Parse(arrived(t, "s3", presigned, temporary))
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(s.KeyID, " ", s.Date, " ", s.Region, " ", s.Service, " ", s.Time, " ", s.Presigned, " ", s.Expires, " ", s.SessionToken, " ", s.ContentSHA256, " ", len(s.Value))
		want := "AKIDVENNELEXAMPLE 20261121 us-east-1 s3 2026-11-21 20:07:52 +0000 UTC false 0s a/b+c= " + HashPayload([]byte(`{"a":1}`)) + " 64"
		headers := "[content-length host x-amz-content-sha256 x-amz-date x-amz-security-token x-amz-target]"
		if presigned {
			want = strings.Replace(want, "false 0s", "true 1h0m0s", 1)
			headers = "[content-length host x-amz-content-sha256 x-amz-target]"
		}
		compare(t, "signature", got, want)
		compare(t, "signed headers", fmt.Sprint(s.SignedHeaders), headers)
	}
	if s, err := Parse(httptest.NewRequest(http.MethodGet, "/?X-Amz-Date=1&x-amz-signature=2", nil)); s != nil || err != nil {
		t.Errorf("an unsigned request gives %v, %v", s, err)
	}
}

// TestParseDate reads the Date header, which stands in where X-Amz-Date is missing.
func TestParseDate(t *testing.T) {
	for text, ok := range map[string]bool{
		"20261121T200752Z":                true,
		"Sat, 21 Nov 2026 20:07:52 GMT":   true,
		"Sat, 21 Nov 2026 20:07:52 -0000": true,
		"Sat, 21 Nov 2026 21:07:52 +0100": true,
		"2026-11-21T20:07:52Z":            false,
		"20261121T200752.5Z":              false,
		"":                                false,
	} {
		r := arrived(t, "ssm", false, testKey)
		r.Header.Del("X-Amz-Date")
		r.Header.Set("Date", text)
		s, err := Parse(r)
		if (err == nil) != ok || ok && (!s.Time.Equal(testNow) || s.stamp != "20261121T200752Z") {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
}

// FuzzParse reads whatever comes, verifies it, and expects it to be refused: nobody guesses a signature.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"userguide.txt", "botocore.txt"} {
		cases, _ := goldens(f, file)
		for _, g := range cases {
			r, _, err := receive(g.wire())
			if err != nil {
				f.Fatal(err)
			}
			f.Add(r.RequestURI, r.Header.Get("Authorization"), r.Header.Get("X-Amz-Date"), r.Header.Get("X-Amz-Content-Sha256"), r.Header.Get("X-Amz-Security-Token"))
		}
	}
	f.Add("/?AWSAccessKeyId=a&Signature=b", "AWS a:b", "", "", "")
	f.Add("*", "AWS4-HMAC-SHA256 Credential=a/b/c/d/e,SignedHeaders=:authority;host,Signature==", "20261121T200752Z", "", "")
	f.Fuzz(func(t *testing.T, uri, authorization, date, payload, token string) {
		r := &http.Request{Method: http.MethodPut, Host: "node.test", RequestURI: uri, URL: new(url.URL), Header: http.Header{}, Body: http.NoBody}
		for name, value := range map[string]string{"Authorization": authorization, "X-Amz-Date": date, "X-Amz-Content-Sha256": payload, "X-Amz-Security-Token": token, "X-Amz-Decoded-Content-Length": "0"} {
			if value != "" {
				r.Header[name] = []string{value}
			}
		}
		s, err := Parse(r)
		var refused *Error
		switch {
		case err != nil:
			if !errors.As(err, &refused) || refused.Reason == "" || refused.Message == "" || s != nil {
				t.Fatalf("%v, %#v", s, err)
			}
		case s != nil:
			err := s.Verify(r, new(Hash), Key{Secret: "not the one of the goldens"}, s.Time, Options{})
			if !errors.As(err, &refused) || refused.Reason == "" || refused.Message == "" {
				t.Fatalf("%#v", err)
			}
			if len(refused.Message) > 2000 {
				t.Fatalf("a message of %d bytes", len(refused.Message))
			}
		}
		_, _ = NewBody(r, nil) // it must not panic
	})
}
