package sigv4

import (
	"bufio"
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"testing"
	"time"
)

// golden is one signed request of a file in testdata. Such a file begins with a comment that states its source. A case is
//
//	case NAME
//	now TIME                 at which the request arrives
//	scope REGION SERVICE     that it must be signed for
//	key ID SECRET [TOKEN]
//	body "JSON STRING"       of code points below 256, each a byte; framed anew if the transfer encoding is chunked
//	request                  and, where the source gives them, canonical and string-to-sign:
//	> LINE                   lines of text, of which the request's travel with CR LF
//
// and a line "public SPKI", outside of a case, gives the RSA key of the file.
type golden struct {
	name, region, service     string
	now                       time.Time
	id, secret, token         string
	body                      []byte
	request, canonical, signs string
}

// goldens reads a file of testdata.
func goldens(t testing.TB, name string) (cases []*golden, public *rsa.PublicKey) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), "# source: ") {
		t.Fatalf("%s does not state its source", name)
	}
	var g *golden
	var block *string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if content, ok := strings.CutPrefix(line, ">"); ok {
			*block += strings.TrimPrefix(content, " ") + "\n"
			continue
		}
		word, rest, _ := strings.Cut(line, " ")
		var err error
		switch word {
		case "", "#":
		case "public":
			var der []byte
			der, err = base64.StdEncoding.DecodeString(rest)
			key, failed := x509.ParsePKIXPublicKey(der)
			public, err = key.(*rsa.PublicKey), errors.Join(err, failed)
		case "case":
			g = &golden{name: rest}
			cases = append(cases, g)
		case "now":
			g.now, err = time.Parse(stampLayout, rest)
		case "scope":
			_, err = fmt.Sscan(rest, &g.region, &g.service)
		case "key":
			fields := append(strings.Fields(rest), "")
			g.id, g.secret, g.token = fields[0], fields[1], fields[2]
		case "body":
			var body string
			err = json.Unmarshal([]byte(rest), &body)
			for _, c := range body {
				g.body = append(g.body, byte(c))
			}
		case "request":
			block = &g.request
		case "canonical":
			block = &g.canonical
		case "string-to-sign":
			block = &g.signs
		default:
			err = errors.New("unknown word")
		}
		if err != nil {
			t.Fatalf("%s: %q: %v", name, line, err)
		}
	}
	for _, g := range cases {
		g.canonical = strings.TrimSuffix(g.canonical, "\n")
		g.signs = strings.TrimSuffix(g.signs, "\n")
	}
	return cases, public
}

// wire returns the request as it travels.
func (g *golden) wire() []byte {
	var b bytes.Buffer
	b.WriteString(strings.ReplaceAll(g.request, "\n", "\r\n") + "\r\n")
	if strings.Contains(g.request, "Transfer-Encoding: chunked") {
		w := httputil.NewChunkedWriter(&b)
		_, _ = w.Write(g.body) // a buffer takes everything
		_ = w.Close()
		b.WriteString("\r\n")
	} else {
		b.Write(g.body)
	}
	return b.Bytes()
}

// receive reads a request as net/http's server does, and its body, which can be read once more.
func receive(wire []byte) (*http.Request, []byte, error) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r, body, err
}

// options returns the rules that the request must pass.
func (g *golden) options() Options {
	// One case shows botocore's switch for an unsigned payload in a service that does not use it.
	return Options{Region: g.region, Service: g.service, UnsignedPayload: g.name == "unsigned payload"}
}

// verify does what a server does with a request.
func (g *golden) verify(wire []byte, key Key, now time.Time) (*Signature, error) {
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
	if s.KeyID != g.id {
		return nil, s.UnknownKey()
	}
	if s.streams() {
		if err := s.Verify(r, nil, key, now, g.options()); err != nil {
			return nil, err
		}
		b, err := NewBody(r, s)
		if err == nil {
			_, err = io.Copy(io.Discard, b)
		}
		return s, err
	}
	hash := sha256.Sum256(body)
	return s, s.Verify(r, &hash, key, now, g.options())
}

// TestGoldens verifies every request that others have signed, and compares what is signed.
func TestGoldens(t *testing.T) {
	for _, file := range []string{"userguide.txt", "botocore.txt", "rsa.txt"} {
		cases, public := goldens(t, file)
		for _, g := range cases {
			t.Run(file+"/"+g.name, func(t *testing.T) {
				key := Key{Secret: g.secret, SessionToken: g.token}
				if strings.HasPrefix(g.id, "mi-") {
					key = Key{Public: public}
				}
				s, err := g.verify(g.wire(), key, g.now)
				if err != nil {
					t.Error(err)
				}
				if s == nil {
					return
				}
				r, body, err := receive(g.wire())
				if err != nil {
					t.Fatal(err)
				}
				payload := s.ContentSHA256
				if payload == "" {
					payload = HashPayload(body)
					if s.s3 {
						payload = UnsignedPayload
					}
				}
				if g.canonical != "" {
					compare(t, "canonical request", must(s.CanonicalRequest(r, payload)), g.canonical)
				}
				if g.signs != "" {
					compare(t, "string to sign", must(s.StringToSign(r, payload)), g.signs)
				}
				if r.Header[headerAsymmetric] != nil {
					if err := s.VerifyAsymmetricKey(r, public); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}
