package agent

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// testKey makes a key.
func testKey(t *testing.T) *nodeKey {
	t.Helper()
	k, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// parsePublic reads a public key.
func parsePublic(text string) *rsa.PublicKey {
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		panic(err)
	}
	return key.(*rsa.PublicKey)
}

// obstruct puts a folder that is not empty in place of the registration, so that it cannot be
// replaced, and gives what puts it back.
func obstruct(t *testing.T, c *credentials) (restore func()) {
	t.Helper()
	name := filepath.Join(c.node.state, registrationFile)
	if err := os.Rename(name, name+".kept"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(name, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".kept", name); err != nil {
			t.Fatal(err)
		}
	}
}

// recorder is an answer in memory.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

// newRecorder makes a recorder.
func newRecorder() *recorder { return &recorder{status: http.StatusOK, header: http.Header{}} }

// Header is the answer's.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader notes the status.
func (r *recorder) WriteHeader(status int) { r.status = status }

// Write writes the body.
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// response is the answer.
func (r *recorder) response(to *http.Request) *http.Response {
	return &http.Response{StatusCode: r.status, Header: r.header, Body: io.NopCloser(&r.body), Request: to}
}
