package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vennel/vennel/api"
)

// snapshotModules are the official SDK's modules that have snapshots, by our names of the services.
var snapshotModules = map[string]string{
	"ec2": "ec2", "iam": "iam", "kms": "kms", "logs": "cloudwatchlogs", "s3": "s3", "ssm": "ssm", "sts": "sts",
}

// TestRequestSnapshots reads the fully populated request of every operation that the official SDK
// keeps as a snapshot, and writes it again: what our model knows of it must come back unchanged.
// source: sdk
func TestRequestSnapshots(t *testing.T) {
	folders := moduleFolders(t)
	for _, s := range everyService {
		module, ok := snapshotModules[s.Name]
		if !ok {
			continue
		}
		svc := newService(s)
		t.Run(s.Name, func(t *testing.T) {
			compared := 0
			for _, name := range slices.Sorted(maps.Keys(svc.operations)) {
				text, err := os.ReadFile(filepath.Join(folders[module], "request_snapshot", name+".request.snap"))
				if errors.Is(err, os.ErrNotExist) {
					continue // the SDK's model is another month's
				} else if err != nil {
					t.Fatal(err)
				}
				if s.Name == "s3" && name == "ListParts" {
					continue // its snapshot fills the part number with words
				}
				compared++
				compareSnapshot(t, svc, svc.operations[name], text)
			}
			if compared == 0 {
				t.Error("no snapshot was found")
			}
			t.Logf("%d of %d operations compared", compared, len(svc.operations))
		})
	}
}

// moduleFolders finds the SDK's modules, downloading them into the module cache where they are not
// there yet.
func moduleFolders(t *testing.T) map[string]string {
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json")
	cmd.Dir = "../test/sdk"
	out, err := cmd.Output()
	if err != nil {
		if os.Getenv("REQUIRE") == "1" {
			t.Fatalf("the SDK's modules cannot be had: %v", err)
		}
		t.Skipf("SKIPPED: the SDK's modules cannot be had: %v", err)
	}
	folders := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var module struct{ Path, Dir string }
		if err := d.Decode(&module); errors.Is(err, io.EOF) {
			return folders
		} else if err != nil {
			t.Fatal(err)
		}
		folders[filepath.Base(module.Path)] = module.Dir
	}
}

// compareSnapshot reads one snapshot and compares what comes out again.
func compareSnapshot(t *testing.T, svc *service, op *operation, text []byte) {
	t.Helper()
	r, body := parseSnapshot(t, text)
	in := reflect.New(op.In)
	if op.in() == nil {
		return
	}
	rq := &request{Request: r, svc: svc, body: body}
	if svc.isQuery() {
		rq.form, _ = url.ParseQuery(string(body))
	}
	if svc.Name == "s3" && strings.HasPrefix(op.model.HTTP.RequestURI, "/{Bucket}") {
		r.URL.Path = "/__Bucket__" + r.URL.Path // for the comparison; the snapshot's bucket is in the host
	}
	found, err := svc.protocol.find(rq)
	if found != op {
		t.Errorf("%s: %v", op.Name, err)
		return
	}
	rq.op = found
	if svc.Name == "s3" {
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
		if err := rq.openBody(httptest.NewRecorder()); err != nil {
			t.Errorf("%s: %v", op.Name, err)
			return
		}
	}
	if err := svc.protocol.decode(rq, op.in(), in.Elem()); err != nil {
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Reason != api.Invalid && e.Reason != api.Missing {
			t.Errorf("%s: %v", op.Name, err)
			return
		}
	}
	again, againBody, err := (&Client{Service: svc.Name, Endpoint: "http://localhost"}).request(t.Context(), svc.model, op.model, in.Elem())
	if err != nil {
		t.Errorf("%s: %v", op.Name, err)
		return
	}
	want, got := leaves(t, svc, r, body), leaves(t, svc, again, againBody)
	known := knownNames(op.in(), map[*shape]bool{})
	for _, leaf := range slices.Sorted(maps.Keys(want)) {
		if got[leaf] != want[leaf] && allKnown(leaf, known) {
			t.Errorf("%s: %s is %q in the snapshot and %q after us", op.Name, leaf, want[leaf], got[leaf])
		}
	}
	for _, leaf := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[leaf]; !ok && got[leaf] != "" && got[leaf] != "0" && got[leaf] != "false" && !strings.HasPrefix(got[leaf], "-62") && !strings.HasPrefix(got[leaf], "0001-") {
			t.Errorf("%s: we add %s = %q", op.Name, leaf, got[leaf])
		}
	}
}

// parseSnapshot reads the method, headers and body of a snapshot.
func parseSnapshot(t *testing.T, text []byte) (*http.Request, []byte) {
	head, body, _ := bytes.Cut(text, []byte("\n\n"))
	line, _, _ := bytes.Cut(head, []byte("\n"))
	method, uri, _ := strings.Cut(string(line), " ")
	headers, rest, ok := bytes.Cut(body, []byte("\n\n"))
	if !ok {
		headers, rest = body, nil
	}
	r := httptest.NewRequestWithContext(t.Context(), method, uri, nil)
	for h := range strings.Lines(string(headers)) {
		name, value, _ := strings.Cut(strings.TrimSpace(h), ": ")
		if name != "" {
			r.Header.Add(name, value)
		}
	}
	return r, bytes.TrimSpace(rest)
}

// leaves are all scalars of a request by their place.
func leaves(t *testing.T, svc *service, r *http.Request, body []byte) map[string]string {
	out := map[string]string{}
	switch svc.model.Metadata.Protocol {
	case "json":
		var v any
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&v); err != nil && len(body) > 0 {
			t.Errorf("%v in %s", err, body)
		}
		jsonLeaves(v, "", out)
	case "query", "ec2":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			t.Error(err)
		}
		for name := range form {
			out[name] = form.Get(name)
		}
	case "rest-xml":
		out["path"] = r.URL.EscapedPath()
		for name, values := range r.URL.Query() {
			if name != "x-id" { // the SDK's own
				out["?"+name] = strings.Join(values, ",")
			}
		}
		for name, values := range r.Header {
			if n := strings.ToLower(name); n != "content-type" && n != "content-length" && n != "content-md5" {
				out["header "+n] = strings.ReplaceAll(values[0], ", ", ",")
			}
		}
		if root, err := parseXML(body, mostElements); err == nil {
			xmlLeaves(root, root.name, out)
		} else {
			out["body"] = string(body)
		}
	}
	return out
}

// jsonLeaves collects the scalars of a JSON value.
func jsonLeaves(v any, at string, out map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			jsonLeaves(value, at+"."+name, out)
		}
	case []any:
		for i, value := range v {
			jsonLeaves(value, fmt.Sprintf("%s.%d", at, i+1), out)
		}
	default:
		out[strings.TrimPrefix(at, ".")] = fmt.Sprint(v)
	}
}

// xmlLeaves collects the texts and attributes of an XML element.
func xmlLeaves(e *element, at string, out map[string]string) {
	for name, value := range e.attrs {
		if !strings.HasPrefix(name, "xmlns") && !strings.HasPrefix(value, "http") {
			out[at+"@"+name] = value
		}
	}
	if len(e.kids) == 0 {
		out[at] = e.text.String()
	}
	number := map[string]int{}
	for _, k := range e.kids {
		number[k.name]++
		xmlLeaves(k, fmt.Sprintf("%s.%s.%d", at, k.name, number[k.name]), out)
	}
}

// knownNames are all wire names that a shape leads to.
func knownNames(s *shape, done map[*shape]bool) map[string]bool {
	names := map[string]bool{}
	if s == nil || done[s] {
		return names
	}
	done[s] = true
	for _, m := range s.members {
		names[m.wireName()], names[m.ec2Name()], names[m.name] = true, true, true
		maps.Copy(names, knownNames(m.shape, done))
	}
	maps.Copy(names, knownNames(s.elem, done))
	return names
}

// allKnown says whether every name in a leaf's place is one that our model has; a leaf with another
// is newer than the model.
func allKnown(leaf string, known map[string]bool) bool {
	for part := range strings.SplitSeq(strings.NewReplacer("?", "", "header ", "", "@", ".").Replace(leaf), ".") {
		plain := strings.Trim(part, "0123456789") == "" || part == "member" || part == "entry" || part == "key" || part == "value" ||
			part == "Action" || part == "Version" || strings.HasPrefix(part, "key")
		if !plain && !known[part] {
			return false
		}
	}
	return true
}
