package sigv4

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// spaces are what a header value keeps one of.
var spaces = regexp.MustCompile("  +")

// plainCanonical writes the canonical request anew, from AWS's description and without a thought for speed, as an oracle.
func plainCanonical(r *http.Request, s *Signature, payload string) (string, error) {
	escape := func(text string) string {
		var b strings.Builder
		for _, c := range []byte(text) {
			if strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-", c) >= 0 {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		return b.String()
	}
	rawPath, rawQuery, _ := strings.Cut(r.RequestURI, "?")
	if !isS3(s.Service) {
		slash := strings.HasSuffix(rawPath, "/")
		if rawPath = path.Clean("/" + rawPath); slash && rawPath != "/" {
			rawPath += "/"
		}
	}
	segments := strings.Split(rawPath, "/")
	for i, segment := range segments {
		if isS3(s.Service) {
			plain, err := url.PathUnescape(segment)
			if err != nil {
				return "", err
			}
			segment = plain
		}
		segments[i] = escape(segment)
	}
	lines := []string{r.Method, strings.Join(segments, "/")}
	if lines[1] == "" {
		lines[1] = "/"
	}

	var pairs [][2]string
	for pair := range strings.SplitSeq(rawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if pair == "" || s.Presigned && name == "X-Amz-Signature" {
			continue
		}
		plainName, bad := url.QueryUnescape(name)
		plainValue, worse := url.QueryUnescape(value)
		if err := errors.Join(bad, worse); err != nil {
			return "", err
		}
		pairs = append(pairs, [2]string{escape(plainName), escape(plainValue)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	var query []string
	for _, pair := range pairs {
		query = append(query, pair[0]+"="+pair[1])
	}
	lines = append(lines, strings.Join(query, "&"))

	for _, name := range s.SignedHeaders {
		values := slices.Clone(r.Header.Values(name))
		switch name {
		case "host", ":authority":
			values = []string{r.Host}
		case "transfer-encoding":
			values = slices.Clone(r.TransferEncoding)
		}
		for i, value := range values {
			values[i] = spaces.ReplaceAllString(strings.Trim(value, " \t"), " ")
		}
		lines = append(lines, name+":"+strings.Join(values, ","))
	}
	return strings.Join(append(lines, "", strings.Join(s.SignedHeaders, ";"), payload), "\n"), nil
}

// heard is all that a signature vouches for.
type heard struct{ canonical, key, scope, stamp, token, body string }

// hear verifies a request as it travels and returns what was signed.
func hear(wire []byte, secret, token string, now time.Time, o Options) (*heard, error) {
	r, body, err := receive(wire)
	if err != nil {
		return nil, err
	}
	s, err := Parse(r)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, NotSigned()
	}
	hash := sha256.Sum256(body)
	if err := s.Verify(r, &hash, Key{Secret: secret, SessionToken: token}, now, o); err != nil {
		return nil, err
	}
	payload := s.ContentSHA256
	switch {
	case payload != "":
	case s.s3:
		payload = UnsignedPayload
	default:
		payload = HashPayload(body)
	}
	plain, err := plainCanonical(r, s, payload)
	if err != nil {
		return nil, fmt.Errorf("the oracle fails: %w", err)
	}
	if fast := must(s.CanonicalRequest(r, payload)); fast != plain {
		return nil, fmt.Errorf("the oracle differs:\n%q\n%q", fast, plain)
	}
	if payload == UnsignedPayload || s.streams() {
		body = nil
	}
	return &heard{plain, s.KeyID, s.scope, s.stamp, s.SessionToken, string(body)}, nil
}

// TestGoldensFlipped flips every bit of every golden request and expects it to be refused, unless the flip changes only what
// is not signed, or only the spelling of what is.
func TestGoldensFlipped(t *testing.T) {
	for _, file := range []string{"userguide.txt", "botocore.txt"} {
		cases, _ := goldens(t, file)
		for _, g := range cases {
			if strings.Contains(g.request, "STREAMING-") {
				continue // TestBodyFlipped
			}
			original, err := hear(g.wire(), g.secret, g.token, g.now, g.options())
			if err != nil {
				t.Fatalf("%s: %v", g.name, err)
			}
			refused := 0
			for i := range g.wire() {
				for bit := range 8 {
					wire := g.wire()
					wire[i] ^= 1 << bit
					flipped, err := hear(wire, g.secret, g.token, g.now, g.options())
					if err != nil {
						refused++
						if strings.HasPrefix(err.Error(), "the oracle") {
							t.Errorf("%s: %v", g.name, err)
						}
						continue
					}
					if flipped.key != original.key {
						continue // the caller would have looked up another secret
					}
					if *flipped != *original {
						t.Errorf("%s: flip of bit %d at %d (%q) is accepted:\n%+v", g.name, bit, i, wire[max(0, i-10):min(len(wire), i+10)], flipped)
					}
				}
			}
			if refused < 8*64 {
				t.Errorf("%s: only %d flips are refused", g.name, refused)
			}
		}
	}
}

// FuzzCanonicalRequest signs requests and verifies them as they arrive; compares the canonical request with the oracle's; and
// flips one bit on the way, after which the request must be refused or mean the same.
func FuzzCanonicalRequest(f *testing.F) {
	f.Add("GET", "/", "", "", []byte(nil), uint16(0), uint8(0))
	f.Add("POST", "/a//b/../c%2Fd/", "a=1&b&a=&=x&c=%20+", " two  spaces ", []byte("{}"), uint16(20), uint8(1))
	f.Add("PUT", "//bucket//k%C3%BC", "partNumber=2&uploadId=%2f", "ü\t", []byte("body"), uint16(60), uint8(2))
	f.Add("DELETE", "/b", "X-Amz-Target=1&versionId", "", []byte(nil), uint16(300), uint8(7))
	f.Fuzz(func(t *testing.T, method, target, query, value string, body []byte, flip uint16, kind uint8) {
		if len(value)+len(target)+len(query)+len(body) > 1<<12 {
			t.Skip("long")
		}
		for _, c := range []byte(value) {
			if c < ' ' && c != '\t' || c == 0x7f {
				t.Skip("not a header value")
			}
		}
		for _, c := range []byte(method) {
			if c < 'A' || c > 'Z' {
				t.Skip("not a method")
			}
		}
		if method == "" || method == "CONNECT" || method == "PRI" {
			t.Skip("not a method for us")
		}
		for _, c := range []byte(target + query) {
			if c <= ' ' || c == 0x7f || c == '#' {
				t.Skip("not a request target")
			}
		}
		service, presigned, streamed := "ssm", kind&1 != 0, kind&4 != 0
		if kind&2 != 0 {
			service = "s3"
		}
		if query != "" {
			query = "?" + query
		}
		u, err := url.ParseRequestURI("http://node.test:8443/" + target + query)
		if err != nil {
			t.Skip("not a URL")
		}
		r := &http.Request{Method: method, URL: u, Header: http.Header{"X-Amz-Meta-Value": {value, "second"}, "Other": {value}}}
		if len(body) > 0 {
			r.Body, r.ContentLength = noClose{bytes.NewReader(body)}, int64(len(body))
			if streamed {
				r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
			}
		}
		c := testKey
		if flip%3 == 0 {
			c.SessionToken = "token/" + strconv.Itoa(int(flip))
		}
		payload := HashPayload(body)
		if presigned {
			err = Presign(r, payload, c, "us-east-1", service, testNow, time.Hour)
		} else {
			err = Sign(r, payload, c, "us-east-1", service, testNow)
		}
		if err != nil {
			t.Skip("not to be signed: ", err)
		}
		var b bytes.Buffer
		if err := r.Write(&b); err != nil {
			t.Skip("not to be sent: ", err)
		}
		wire := b.Bytes()
		o := Options{Region: "us-east-1", Service: service}
		original, err := hear(wire, c.SecretAccessKey, c.SessionToken, testNow, o)
		var refused *Error
		if errors.As(err, &refused) && refused.Reason != Mismatch && strings.Contains(query, "X-Amz-") {
			t.Skip("the query interferes with the signature: ", err)
		}
		if err != nil {
			t.Fatalf("refused: %v\n%s", err, wire)
		}

		i := int(flip) % len(wire)
		wire[i] ^= 1 << (kind >> 4 & 7)
		flipped, err := hear(wire, c.SecretAccessKey, c.SessionToken, testNow, o)
		switch {
		case err != nil && strings.HasPrefix(err.Error(), "the oracle"):
			t.Fatal(err)
		case err == nil && flipped.key == original.key && *flipped != *original:
			t.Fatalf("a flip is accepted:\n%s\n%+v\n%+v", wire, original, flipped)
		}
	})
}

// noClose is a body that need not be closed.
type noClose struct{ *bytes.Reader }

// Close does nothing.
func (noClose) Close() error { return nil }

// TestCanonicalPath compares spellings of a path in both styles.
func TestCanonicalPath(t *testing.T) {
	for _, tt := range []struct{ path, others, s3 string }{
		{"", "/", "/"},
		{"/", "/", "/"},
		{"//", "/", "//"},
		{"/.", "/", "/."},
		{"/..", "/", "/.."},
		{"/../a", "/a", "/../a"},
		{"/a/./b/../c//d/", "/a/c/d/", "/a/./b/../c//d/"},
		{"/a/b/..", "/a", "/a/b/.."}, // botocore and the JavaScript SDK write no slash at the end
		{"/a%2fb", "/a%252fb", "/a%2Fb"},
		{"/%41%7e", "/%2541%257e", "/A~"},
		{"/a+b=c@d:e", "/a%2Bb%3Dc%40d%3Ae", "/a%2Bb%3Dc%40d%3Ae"},
		{"/ü b", "/%C3%BC%20b", "/%C3%BC%20b"},
	} {
		compare(t, "path of "+tt.path, string(appendPath(nil, tt.path)), tt.others)
		s3, ok := appendRawPath(nil, tt.path)
		if !ok {
			t.Errorf("%s: refused", tt.path)
		}
		compare(t, "S3 path of "+tt.path, string(s3), tt.s3)
	}
	for _, bad := range []string{"/%", "/%2", "/%zz"} {
		if text, ok := appendRawPath(nil, bad); ok {
			t.Errorf("%s is accepted as %s", bad, text)
		}
	}
}

// TestCanonicalQuery compares spellings of a query.
func TestCanonicalQuery(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
		{"", ""},
		{"&&", ""},
		{"acl", "acl="},
		{"=v&=", "=&=v"},
		{"b=2&a=1&b=10&a", "a=&a=1&b=10&b=2"},
		{"a-b=1&a=2&a.=3", "a=2&a-b=1&a.=3"},
		{"k=a+b%2Bc%2f%7e", "k=a%20b%2Bc%2F~"},
		{"k=a=b&ü=✓", "%C3%BC=%E2%9C%93&k=a%3Db"},
		{"x=1&X-Amz-Signature=abc", "x=1"},
		{strings.Repeat("p&", 40) + "a", "a=" + strings.Repeat("&p=", 40)},
	} {
		got, ok := (&Signature{Presigned: true}).appendQuery([]byte("before"), tt.query)
		if !ok {
			t.Errorf("%s: refused", tt.query)
		}
		compare(t, "query of "+tt.query, string(got), "before"+tt.want)
	}
	for _, bad := range []string{"%", "a=%2", "a&%zz=1"} {
		if text, ok := new(Signature).appendQuery(nil, bad); ok {
			t.Errorf("%s is accepted as %s", bad, text)
		}
	}
}
