package sigv4

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"
	"time"
)

// testNow is when the requests of these tests are signed.
var testNow = time.Date(2026, 11, 21, 20, 7, 52, 0, time.UTC)

// testKey is the key that the requests of these tests are signed with.
var testKey = Credentials{AccessKeyID: "AKIDVENNELEXAMPLE", SecretAccessKey: "vennel/example+secret/key/of/forty/charsX"}

// ssmRequest returns a GetParameter as an SDK sends it and as a server receives it, and its body.
func ssmRequest(tb testing.TB, c Credentials) (*http.Request, []byte) {
	tb.Helper()
	body := []byte(`{"Name":"/prod/database/password","WithDecryption":true}`)
	r, err := http.NewRequest(http.MethodPost, "http://ssm.us-east-1.amazonaws.com:4566/", strings.NewReader(string(body)))
	if err != nil {
		tb.Fatal(err)
	}
	r.Header = http.Header{
		"Accept-Encoding": {"identity"},
		"Content-Type":    {"application/x-amz-json-1.1"},
		"User-Agent":      {"Boto3/1.43.11 md/Botocore#1.43.11 ua/2.1 os/linux#6.1 md/arch#x86_64 lang/python#3.11.7"},
		"X-Amz-Target":    {"AmazonSSM.GetParameter"},
	}
	if err := Sign(r, HashPayload(body), c, "us-east-1", "ssm", testNow); err != nil {
		tb.Fatal(err)
	}
	r.RequestURI = "/"
	r.Header.Set("Content-Length", "56")
	return r, body
}

// verifySSM does what a server does with a request of ssmRequest, hashing of the body included.
func verifySSM(r *http.Request, body []byte, key Key, o Options) error {
	s, err := Parse(r)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(body)
	return s.Verify(r, &hash, key, testNow, o)
}

// BenchmarkVerify measures Parse, the hash of the body, and Verify together.
func BenchmarkVerify(b *testing.B) {
	temporary := testKey
	temporary.SessionToken = strings.Repeat("IQoJb3JpZ2luX2VjE", 50)
	for _, bb := range []struct {
		name  string
		c     Credentials
		cache *KeyCache
	}{
		{"cached", testKey, NewKeyCache(0)},
		{"cached, token of 850 bytes", temporary, NewKeyCache(0)},
		{"derived", testKey, nil},
	} {
		b.Run(bb.name, func(b *testing.B) {
			r, body := ssmRequest(b, bb.c)
			key := Key{Secret: bb.c.SecretAccessKey, SessionToken: bb.c.SessionToken}
			o := Options{Region: "us-east-1", Service: "ssm", Keys: bb.cache}
			b.ReportAllocs()
			for b.Loop() {
				if err := verifySSM(r, body, key, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestVerifyAllocations holds Parse and Verify to their promise.
func TestVerifyAllocations(t *testing.T) {
	r, body := ssmRequest(t, testKey)
	key, o := Key{Secret: testKey.SecretAccessKey}, Options{Region: "us-east-1", Service: "ssm", Keys: NewKeyCache(0)}
	n := testing.AllocsPerRun(100, func() {
		if err := verifySSM(r, body, key, o); err != nil {
			t.Fatal(err)
		}
	})
	if n > 8 {
		t.Errorf("%v allocations, want at most 8", n)
	}
}
