package sigv4

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// vector is the context.json of one case of aws-c-auth's signing test suite.
type vector struct {
	Credentials struct {
		AccessKeyID     string `json:"access_key_id"`
		SecretAccessKey string `json:"secret_access_key"`
		Token           string `json:"token"`
	} `json:"credentials"`
	Expiration int64     `json:"expiration_in_seconds"`
	Normalize  bool      `json:"normalize"`
	Region     string    `json:"region"`
	Service    string    `json:"service"`
	SignBody   bool      `json:"sign_body"`
	Timestamp  time.Time `json:"timestamp"`
	OmitToken  bool      `json:"omit_session_token"`
}

// TestVectors runs aws-c-auth's signing test suite, which is not a part of this repository, from the folder that
// VENNEL_SIGV4_VECTORS names. It verifies each signed request, and signs each request to the same signature.
func TestVectors(t *testing.T) {
	folder := os.Getenv("VENNEL_SIGV4_VECTORS")
	if folder == "" {
		t.Skip("VENNEL_SIGV4_VECTORS is not set")
	}
	contexts, err := filepath.Glob(filepath.Join(folder, "*", "context.json"))
	if err != nil || len(contexts) == 0 {
		t.Fatalf("no vectors in %s: %v", folder, err)
	}
	passed := 0
	for _, context := range contexts {
		folder := filepath.Dir(context)
		for _, form := range []string{"header", "query"} {
			if t.Run(filepath.Base(folder)+"/"+form, func(t *testing.T) { testVector(t, folder, form) }) {
				passed++
			}
		}
	}
	t.Logf("%d of %d vectors pass", passed, 2*len(contexts))
}

// testVector runs one case in one form.
func testVector(t *testing.T, folder, form string) {
	file := func(name string) string {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var v vector
	if err := json.Unmarshal([]byte(file("context.json")), &v); err != nil {
		t.Fatal(err)
	}

	r, body := readRequest(t, file(form+"-signed-request.txt"))
	hash := sha256.Sum256(body)
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	s.rawPath = !v.Normalize
	key := Key{Secret: v.Credentials.SecretAccessKey, SessionToken: v.Credentials.Token}
	options := Options{Region: v.Region, Service: v.Service, TokenAfter: v.OmitToken}
	if err := s.Verify(r, &hash, key, v.Timestamp, options); err != nil {
		t.Error(err)
	}
	compare(t, "canonical request", must(s.CanonicalRequest(r, HashPayload(body))), file(form+"-canonical-request.txt"))
	compare(t, "string to sign", must(s.StringToSign(r, HashPayload(body))), file(form+"-string-to-sign.txt"))
	compare(t, "signature", s.Value, file(form+"-signature.txt"))

	if v.OmitToken || !v.Normalize {
		return // our clients sign neither way
	}
	r, body = readRequest(t, file("request.txt"))
	r.URL, r.RequestURI = &url.URL{Scheme: "http", Opaque: "//" + r.Host + r.RequestURI}, "" // net/url would encode the path again
	r.Header.Del("Content-Length")
	c := Credentials{v.Credentials.AccessKeyID, v.Credentials.SecretAccessKey, v.Credentials.Token}
	if form == "query" {
		r.URL.Opaque, r.URL.RawQuery, _ = strings.Cut(r.URL.Opaque, "?")
		err = Presign(r, HashPayload(body), c, v.Region, v.Service, v.Timestamp, time.Duration(v.Expiration)*time.Second)
	} else {
		if v.SignBody {
			r.Header.Set(headerPayload, HashPayload(body))
		}
		err = Sign(r, HashPayload(body), c, v.Region, v.Service, v.Timestamp)
	}
	if err != nil {
		t.Fatal(err)
	}
	if s, err = Parse(r); err != nil {
		t.Fatal(err)
	}
	compare(t, "own signature", s.Value, file(form+"-signature.txt"))
}

// readRequest reads a request as it travels, but for bare line feeds, without the strictness of net/http: some vectors have
// a space in the path.
func readRequest(t *testing.T, text string) (*http.Request, []byte) {
	t.Helper()
	head := bufio.NewReader(strings.NewReader(text))
	line, err := head.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	line = strings.TrimSuffix(strings.TrimRight(line, "\r\n"), " HTTP/1.1")
	r := new(http.Request)
	var ok bool
	if r.Method, r.RequestURI, ok = strings.Cut(line, " "); !ok {
		t.Fatalf("not a request line: %q", line)
	}
	header, err := textproto.NewReader(head).ReadMIMEHeader()
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	r.Header = http.Header(header)
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host")
	r.ContentLength, _ = strconv.ParseInt(r.Header.Get("Content-Length"), 10, 64)
	body, err := io.ReadAll(head)
	if err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r, body
}

// compare reports a text that is not the wanted one.
func compare(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s\n got %q\nwant %q", what, got, want)
	}
}

// must returns a text that cannot fail to be there.
func must(text string, err error) string {
	if err != nil {
		panic(err)
	}
	return text
}
