package cmd

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vennel/vennel/datachannel"
)

// TestResume asks for a new token: who may not get one has no session any more, and who may later goes on asking. source: model (the errors)
func TestResume(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_SESSION_TOKEN", "")
	t.Setenv("AWS_CONFIG_FILE", "none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
	for code, c := range map[string]struct{ over, said bool }{
		"AccessDeniedException": {over: true}, "UnrecognizedClientException": {over: true}, "InvalidClientTokenId": {over: true},
		"ExpiredTokenException": {said: true}, "ExpiredToken": {said: true}, "ValidationException": {},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"`+code+`","message":"the reason"}`)
		}))
		defer server.Close()
		a, err := AccountFlags{Endpoint: server.URL, Region: "us-east-1"}.open()
		if err != nil {
			t.Fatal(err)
		}
		var said strings.Builder
		n := &notes{out: &said, terminal: true}
		n.connectionLost(io.EOF)
		said.Reset()
		for range 2 {
			if _, err = resume(t.Context(), a, n, "ana-0123"); err == nil || !strings.Contains(err.Error(), code) {
				t.Errorf("%s: %v", code, err)
			}
		}
		if errors.Is(err, datachannel.ErrEnded) != c.over || strings.Count(said.String(), "the reason") != map[bool]int{true: 1}[c.said] {
			t.Errorf("%s: %v %q", code, err, &said)
		}
	}
}

// TestConnectionLost says why, when the server has said so.
func TestConnectionLost(t *testing.T) {
	const plain = "vennel: the connection is lost; it is being made again\n"
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, plain},
		{io.ErrUnexpectedEOF, plain},
		{&datachannel.Refusal{}, plain},
		{&datachannel.Refusal{Reason: "no room\x1b[m"}, "vennel: the connection is lost: no room�[m; it is being made again\n"},
	} {
		var said strings.Builder
		(&notes{out: &said, terminal: true}).connectionLost(c.err)
		if said.String() != c.want {
			t.Errorf("%v: %q", c.err, &said)
		}
	}
}
