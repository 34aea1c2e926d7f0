package sigv4

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// roleTokenRequest returns a request for role credentials as our agent sends it, signed with a key of its own.
func roleTokenRequest(t *testing.T) (*http.Request, []byte, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"Fingerprint":"58966fea-b0e3-4215-9ecc-e1754ba98889"}`
	r := httptest.NewRequest(http.MethodPost, "http://ssm.node.test:8443/", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AmazonSSM.RequestManagedInstanceRoleToken")
	if err := SignRSA(r, HashPayload([]byte(body)), "mi-0123456789abcdef0", key, "us-east-1", "ssm", testNow); err != nil {
		t.Fatal(err)
	}
	return r, []byte(body), key
}

// TestSignRSA signs the headers that the SSM Agent signs. Source: sdk, amazon-ssm-agent 3.3 agent/ssm/rsaauth, as captured.
func TestSignRSA(t *testing.T) {
	r, body, key := roleTokenRequest(t)
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "signed headers", s.signedText, "content-type;host;x-amz-date;x-amz-target")
	compare(t, "payload hash", r.Header.Get("X-Amz-Content-Sha256"), HashPayload(body))
	if r.ContentLength != int64(len(body)) {
		t.Errorf("the length has become %d", r.ContentLength)
	}
	hash := sha256.Sum256(body)
	if err := s.Verify(r, &hash, Key{Public: &key.PublicKey}, testNow, Options{Region: "us-east-1", Service: "ssm"}); err != nil {
		t.Error(err)
	}
}

// TestVerifyRSARefused edits RSA-signed requests.
func TestVerifyRSARefused(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(f func(signature []byte) string) func(*http.Request, *Key) {
		return func(r *http.Request, _ *Key) {
			before, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
			raw, err := base64.StdEncoding.DecodeString(signature)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", before+"Signature="+f(raw))
		}
	}
	for _, tt := range []struct {
		name string
		edit func(*http.Request, *Key)
		want Reason
	}{
		{"nothing", func(*http.Request, *Key) {}, ""},
		{"other key", func(_ *http.Request, k *Key) { k.Public = &other.PublicKey }, Mismatch},
		{"a secret besides", func(_ *http.Request, k *Key) { k.Secret = "secret" }, Mismatch},
		{"a secret instead", func(_ *http.Request, k *Key) { *k = Key{Secret: "secret"} }, HeadersNotSigned},
		{"flipped bit", edit(func(b []byte) string { b[9] ^= 1; return base64.StdEncoding.EncodeToString(b) }), Mismatch},
		{"hex", edit(func(b []byte) string { return HashPayload(b) }), Mismatch},
		{"URL alphabet", edit(func(b []byte) string { return base64.URLEncoding.EncodeToString(b) }), Mismatch},
		{"no padding", edit(func(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }), Mismatch},
		{"byte too many", edit(func(b []byte) string { return base64.StdEncoding.EncodeToString(append(b, 0)) }), Mismatch},
		{"empty", edit(func([]byte) string { return "=" }), Mismatch},
		{"other header", func(r *http.Request, _ *Key) { r.Header.Set("Content-Type", "text/plain") }, Mismatch},
		{"other hash in the header", func(r *http.Request, _ *Key) { r.Header.Set("X-Amz-Content-Sha256", EmptyPayload) }, Mismatch},
		{"unsigned payload", func(r *http.Request, _ *Key) { r.Header.Set("X-Amz-Content-Sha256", UnsignedPayload) }, Mismatch},
		{"no hash in the header", func(r *http.Request, _ *Key) { r.Header.Del("X-Amz-Content-Sha256") }, ""},
		{"another header of AWS's", func(r *http.Request, _ *Key) { r.Header.Set("X-Amz-Acl", "x") }, HeadersNotSigned},
		{"other host", func(r *http.Request, _ *Key) { r.Host = "ssm.node.test" }, Mismatch},
		{"a token", func(r *http.Request, _ *Key) { r.Header.Set("X-Amz-Security-Token", "t") }, HeadersNotSigned},
	} {
		r, body, key := roleTokenRequest(t)
		known := Key{Public: &key.PublicKey}
		tt.edit(r, &known)
		s, err := Parse(r)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		hash := sha256.Sum256(body)
		err = s.Verify(r, &hash, known, testNow, Options{Region: "us-east-1", Service: "ssm"})
		var refused *Error
		if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &refused) || refused.Reason != tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		hash[0] ^= 1
		if s.Verify(r, &hash, known, testNow, Options{}) == nil {
			t.Errorf("%s: another body is accepted", tt.name)
		}
	}
}

// TestVerifySalt refuses a PSS signature whose salt is not 32 bytes long.
func TestVerifySalt(t *testing.T) {
	r, body, key := roleTokenRequest(t)
	s, err := Parse(r)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(must(s.StringToSign(r, HashPayload(body)))))
	for length, ok := range map[int]bool{20: false, 32: true, 64: false} {
		raw, err := rsa.SignPSS(rand.Reader, key, pss.Hash, sum[:], &rsa.PSSOptions{SaltLength: length})
		if err != nil {
			t.Fatal(err)
		}
		s.Value = base64.StdEncoding.EncodeToString(raw)
		hash := sha256.Sum256(body)
		if err := s.Verify(r, &hash, Key{Public: &key.PublicKey}, testNow, Options{}); (err == nil) != ok {
			t.Errorf("salt of %d: %v", length, err)
		}
	}
}

// TestVerifyPresignedRSA refuses the RSA variant in a query, which no agent sends.
func TestVerifyPresignedRSA(t *testing.T) {
	r := arrived(t, "ssm", true, testKey)
	_, _, key := roleTokenRequest(t)
	if got := refusal(t, r, "ssm", Key{Public: &key.PublicKey}, testNow); got == nil || got.Reason != Mismatch {
		t.Error(got)
	}
}

// TestAsymmetricKey signs and checks the header with which an EC2 node's agent proves its key.
func TestAsymmetricKey(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		edit func(*http.Request)
		ok   bool
	}{
		{"nothing", func(*http.Request) {}, true},
		{"other signature", func(r *http.Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")+" ") }, false},
		{"no proof", func(r *http.Request) { r.Header.Del("SSM-AsymmetricKeyAuthorization") }, false},
		{"two proofs", func(r *http.Request) {
			r.Header.Add("SSM-AsymmetricKeyAuthorization", r.Header.Get("SSM-AsymmetricKeyAuthorization"))
		}, false},
		{"no name", func(r *http.Request) {
			r.Header.Set("SSM-AsymmetricKeyAuthorization", strings.TrimPrefix(r.Header.Get("SSM-AsymmetricKeyAuthorization"), "Signature="))
		}, false},
		{"two names", func(r *http.Request) {
			r.Header.Set("SSM-AsymmetricKeyAuthorization", "Signature="+r.Header.Get("SSM-AsymmetricKeyAuthorization"))
		}, false},
	} {
		r, body := ssmRequest(t, testKey)
		if err := SignAsymmetricKey(r, key); err != nil {
			t.Fatal(err)
		}
		if err := verifySSM(r, body, serverKey, Options{}); err != nil {
			t.Fatalf("the proof disturbs the signature: %v", err)
		}
		tt.edit(r)
		s, err := Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.VerifyAsymmetricKey(r, &key.PublicKey); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
