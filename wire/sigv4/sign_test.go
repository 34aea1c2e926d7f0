package sigv4

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestSignDocumented signs the requests of AWS's documentation to the documented signatures.
func TestSignDocumented(t *testing.T) {
	cases, _ := goldens(t, "userguide.txt")
	for _, g := range cases {
		r, _, err := receive(g.wire())
		if err != nil {
			t.Fatal(err)
		}
		want, err := Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(want.signedText, "date;host;") {
			continue // this client signs Date as well, for which our clients have no use
		}
		u, err := url.ParseRequestURI("https://" + r.Host + r.RequestURI)
		if err != nil {
			t.Fatal(err)
		}
		r.URL, r.RequestURI = u, ""
		c := Credentials{AccessKeyID: g.id, SecretAccessKey: g.secret}
		if want.Presigned {
			err = Presign(r, "", c, g.region, g.service, want.Time, want.Expires)
		} else {
			err = Sign(r, EmptyPayload, c, g.region, g.service, want.Time)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, g.name, got.Value, want.Value)
	}
}

// TestSignTwice signs a request again, as a client does that retries, and expects the second signature alone to be there.
func TestSignTwice(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "http://node.test/?x=1", strings.NewReader("{}"))
	r.RequestURI = ""
	temporary := testKey
	temporary.SessionToken = "token"
	payload := HashPayload([]byte("{}"))
	for _, c := range []Credentials{temporary, testKey} {
		if err := Sign(r, payload, c, "us-east-1", "ssm", testNow); err != nil {
			t.Fatal(err)
		}
	}
	if got := refusal(t, r, "ssm", serverKey, testNow); got != nil {
		t.Error(got)
	}
	r.Header.Del("Authorization")
	for _, c := range []Credentials{temporary, testKey} {
		if err := Presign(r, payload, c, "us-east-1", "ssm", testNow, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	r.Body = io.NopCloser(strings.NewReader("{}"))
	if got := refusal(t, r, "ssm", serverKey, testNow); got != nil {
		t.Error(got)
	}
	if n := strings.Count(r.URL.RawQuery, "X-Amz-"); n != 6 {
		t.Errorf("%d parameters in %s", n, r.URL.RawQuery)
	}
}

// TestSignSpelling signs headers under names that net/http would not use.
func TestSignSpelling(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "http://node.test/", nil)
	r.Header["x-amz-target"] = []string{"a"}
	r.Header["X-Amz-Target"] = []string{"b"}
	if err := Sign(r, EmptyPayload, testKey, "us-east-1", "ssm", testNow); err != nil {
		t.Fatal(err)
	}
	if got := refusal(t, r, "ssm", serverKey, testNow); got != nil {
		t.Error(got)
	}
	if n := len(r.Header["X-Amz-Target"]); n != 2 {
		t.Errorf("%d values", n)
	}
}

// TestPresignExpires refuses lifetimes that no server accepts.
func TestPresignExpires(t *testing.T) {
	for expires, ok := range map[time.Duration]bool{0: false, time.Second: true, 7 * 24 * time.Hour: true, 7*24*time.Hour + time.Second: false, -time.Hour: false} {
		r := httptest.NewRequest(http.MethodGet, "http://node.test/", nil)
		if err := Presign(r, "", testKey, "us-east-1", "s3", testNow, expires); (err == nil) != ok {
			t.Errorf("%v: %v", expires, err)
		}
	}
}

// TestOverHTTP sends signed requests through net/http, in both versions of the protocol.
func TestOverHTTP(t *testing.T) {
	cache := NewKeyCache(0)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := func() error {
			s, err := Parse(r)
			if err != nil {
				return err
			}
			o := Options{Region: "us-east-1", Keys: cache}
			if s.s3 {
				if err := s.Verify(r, nil, serverKey, testNow, o); err != nil {
					return err
				}
				b, err := NewBody(r, s)
				if err != nil {
					return err
				}
				_, err = io.Copy(io.Discard, b)
				return err
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			hash := sha256.Sum256(body)
			return s.Verify(r, &hash, serverKey, testNow, o)
		}()
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, "HTTP/%d", r.ProtoMajor)
	})
	for _, version := range []int{1, 2} {
		server := httptest.NewUnstartedServer(handler)
		server.EnableHTTP2 = version == 2
		server.StartTLS()
		defer server.Close()
		for _, service := range []string{"ssm", "s3"} {
			for _, body := range []string{"", "hello"} {
				for _, form := range []string{"header", "chunked", "presigned"} {
					r, err := http.NewRequest(http.MethodPut, server.URL+"/a//b/../%C3%BC%20c?b=2&a=%2B&b=1&c", strings.NewReader(body))
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("X-Amz-Meta-Owner", " ops  team ")
					payload := HashPayload([]byte(body))
					switch form {
					case "presigned":
						err = Presign(r, payload, testKey, "us-east-1", service, testNow, time.Minute)
					case "chunked":
						r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), -1
						fallthrough
					default:
						err = Sign(r, payload, testKey, "us-east-1", service, testNow)
					}
					if err != nil {
						t.Fatal(err)
					}
					response, err := server.Client().Do(r)
					if err != nil {
						t.Fatal(err)
					}
					answer, err := io.ReadAll(response.Body)
					if err != nil {
						t.Fatal(err)
					}
					response.Body.Close()
					compare(t, fmt.Sprintf("%s to %s with %q", form, service, body), string(answer), fmt.Sprintf("HTTP/%d", version))
				}
			}
		}
	}
}

// TestTarget reads the target of a request in every form that HTTP has.
func TestTarget(t *testing.T) {
	for uri, want := range map[string]string{
		"/":                        "/ ",
		"/a?b=c?d":                 "/a b=c?d",
		"//a//b":                   "//a//b ",
		"http://node.test/a?b":     "/a b",
		"http://node.test":         " ",
		"http://node.test?a=://b/": " a=://b/",
		"*":                        "* ",
	} {
		path, query := target(&http.Request{RequestURI: uri})
		compare(t, uri, path+" "+query, want)
	}
}
