//go:build unix

package plugin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vennel/vennel/api/ssm"
)

// store answers the calls of steps from a few documents and parameters.
type store struct {
	documents  map[string]string // by name or name:version
	parameters map[string]ssm.Parameter
}

// Call answers GetDocument and GetParameters.
func (s store) Call(_ context.Context, operation string, in, out any) error {
	switch in := in.(type) {
	case *ssm.GetDocumentInput:
		name := in.Name
		if in.DocumentVersion != nil {
			name += ":" + *in.DocumentVersion
		}
		content, ok := s.documents[name]
		if !ok {
			return ssm.ErrInvalidDocument("no document %s", name)
		}
		status := "Active"
		if content == "" {
			status = "Creating"
		}
		*out.(*ssm.GetDocumentOutput) = ssm.GetDocumentOutput{Name: &in.Name, Content: &content, Status: &status}
		return nil
	case *ssm.GetParametersInput:
		got := out.(*ssm.GetParametersOutput)
		for _, name := range in.Names {
			if p, ok := s.parameters[name]; ok && (*p.Type != ssm.ParameterTypeSecureString || *in.WithDecryption) {
				got.Parameters = append(got.Parameters, p)
			}
		}
		return nil
	}
	return errors.New(operation)
}

// parameter makes a stored parameter.
func parameter(kind, value string) ssm.Parameter { return ssm.Parameter{Type: &kind, Value: &value} }

// TestDownloadContent downloads from every source, and from those that are not there.
func TestDownloadContent(t *testing.T) {
	serve := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/closed":
			if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, "closed content")
		case "/gone":
			http.NotFound(w, r)
		case "/down":
			http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/torn":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "half")
		default:
			fmt.Fprint(w, "content of "+r.URL.Path)
		}
	}
	plain := httptest.NewServer(http.HandlerFunc(serve))
	defer plain.Close()
	safe := httptest.NewTLSServer(http.HandlerFunc(serve))
	defer safe.Close()
	from := store{
		documents:  map[string]string{"Doc": "one", "Doc:2": "two", "arn:aws:ssm:r:1:document/Other": "other", "Making": ""},
		parameters: map[string]ssm.Parameter{"user": parameter("String", "me"), "/pass/word": parameter("SecureString", "secret")},
	}
	there := t.TempDir()
	for _, tt := range []struct {
		name   string
		inputs map[string]any
		file   string // relative to the downloads
		want   string // the file's content, or what standard error says
		failed bool
	}{
		{"HTTPS", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": safe.URL + "/x.sh"}, "destinationPath": "y.sh"}, "y.sh", "content of /x.sh", false},
		{"sourceInfo as text", map[string]any{"sourceType": "HTTP", "sourceInfo": `{"url":"` + safe.URL + `/x.sh","authMethod":"None"}`, "destinationPath": "y.sh"}, "y.sh", "content of /x.sh", false},
		{"no destination", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": safe.URL + "/a/x.sh"}}, "x.sh", "content of /a/x.sh", false},
		{"a folder as destination", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": safe.URL}, "destinationPath": "sub/"}, "sub/download", "content of /", false},
		{"an absolute destination", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": safe.URL + "/z"}, "destinationPath": there}, filepath.Join(there, "z"), "content of /z", false},
		{"HTTP allowed", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": plain.URL + "/x", "allowInsecureDownload": true}}, "x", "content of /x", false},
		{"HTTP allowed by text", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": plain.URL + "/x", "allowInsecureDownload": "true"}}, "x", "content of /x", false},
		{"Basic", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": safe.URL + "/closed", "authMethod": "Basic", "username": "me", "password": "secret"}}, "closed", "closed content", false},
		{"Basic by reference", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": safe.URL + "/closed", "authMethod": " Basic ", "username": "{{ssm:user}}", "password": "{{ ssm-secure:/pass/word }}"}}, "closed", "closed content", false},
		{"a document", map[string]any{"sourceType": "SSMDocument", "sourceInfo": map[string]any{"name": "Doc"}}, "Doc.json", "one", false},
		{"a version of a document", map[string]any{"sourceType": "SSMDocument", "sourceInfo": `{"name":"Doc:2"}`, "destinationPath": "d.json"}, "d.json", "two", false},
		{"a document by its ARN", map[string]any{"sourceType": "SSMDocument", "sourceInfo": map[string]any{"name": "arn:aws:ssm:r:1:document/Other"}}, "Other.json", "other", false},

		{"HTTP", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": plain.URL + "/x"}}, "", "not secure", true},
		{"a redirection to HTTP", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": safe.URL + "/down?to=" + plain.URL}}, "", "not secure", true},
		{"a redirection for ever", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": safe.URL + "/loop"}}, "", "failed to download", true},
		{"another scheme", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": "file:///etc/passwd"}}, "", "must begin with http", true},
		{"not found", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": safe.URL + "/gone"}}, "", "404", true},
		{"torn", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": safe.URL + "/torn"}}, "", "failed to save", true},
		{"wrong password", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": safe.URL + "/closed", "authMethod": "Basic", "username": "me"}}, "", "401", true},
		{"Digest", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": safe.URL, "authMethod": "Digest"}}, "", `"Digest" is not supported`, true},
		{"an open reference to a secret", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": safe.URL, "authMethod": "Basic", "password": "{{ssm:/pass/word}}"}}, "", "does not exist", true},
		{"a secret reference to an open one", map[string]any{"sourceType": "HTTP", "sourceInfo": map[string]any{"url": safe.URL, "authMethod": "Basic", "password": "{{ssm-secure:user}}"}}, "", "is of type String", true},
		{"no sourceInfo", map[string]any{"sourceType": "HTTP"}, "", "sourceInfo must be given", true},
		{"torn sourceInfo", map[string]any{"sourceType": "HTTP", "sourceInfo": "{"}, "", "sourceInfo is malformed", true},
		{"no source", map[string]any{}, "", "sourceType must be given", true},
		{"S3", map[string]any{"sourceType": "S3", "sourceInfo": `{"path":"x"}`}, "", "S3 is not supported by this agent; it downloads from HTTP and SSMDocument", true},
		{"GitHub", map[string]any{"sourceType": "GitHub"}, "", "GitHub is not supported", true},
		{"something else", map[string]any{"sourceType": "FTP"}, "", "not known", true},
		{"no such document", map[string]any{"sourceType": "SSMDocument", "sourceInfo": `{"name":"None"}`}, "", "no document None", true},
		{"a document that is being made", map[string]any{"sourceType": "SSMDocument", "sourceInfo": `{"name":"Making"}`}, "", "is Creating", true},
		{"a document without name", map[string]any{"sourceType": "SSMDocument", "sourceInfo": `{}`}, "", "must be given", true},
		{"a document with only a version", map[string]any{"sourceType": "SSMDocument", "sourceInfo": `{"name":":2"}`}, "", "is not the name", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStep(t, tt.inputs)
			s.SSM, s.HTTP = from, safe.Client()
			got := downloadContent(t.Context(), s)
			stdout, stderr := streams(t, s)
			if tt.failed {
				if got != (Result{Failed, 1}) || !strings.Contains(stderr, tt.want) {
					t.Errorf("got %v, %q", got, stderr)
				}
				if strings.Contains(stderr, "secret") && !strings.Contains(tt.want, "secret") {
					t.Errorf("a secret is told: %q", stderr)
				}
				if left, _ := os.ReadDir(s.Downloads); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
				return
			}
			name := tt.file
			if !filepath.IsAbs(name) {
				name = filepath.Join(s.Downloads, name)
			}
			content, err := os.ReadFile(name)
			if got.Status != Success || err != nil || string(content) != tt.want {
				t.Errorf("got %v, %q, %v (%s)", got, content, err, stderr)
			}
			if !strings.HasPrefix(stdout, "Content downloaded to /") {
				t.Errorf("stdout %q", stdout)
			}
			if info, err := os.Stat(name); err != nil || info.Mode() != 0o700 {
				t.Errorf("mode %v", info.Mode())
			}
		})
	}
}
