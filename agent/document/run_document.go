package document

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/vennel/vennel/agent/disk"
	"github.com/vennel/vennel/agent/plugin"
	"github.com/vennel/vennel/api/ssmdoc"
)

// The limits of documents within documents.
const (
	mostDepth = 3       // source: agent
	mostLocal = 1 << 20 // bytes of a document in a file
)

// documentInput are the inputs of aws:runDocument.
type documentInput struct {
	DocumentType       string          `json:"documentType"`
	DocumentPath       string          `json:"documentPath"`
	DocumentParameters json.RawMessage `json:"documentParameters"` // an object, or a text that holds one
}

// runDocument is aws:runDocument: a document within a document, with a journal of its own, so that
// after a reboot it goes on at its own step.
func (r *Runner) runDocument(ctx context.Context, s *plugin.Step) plugin.Result {
	var in documentInput
	if err := s.Input(&in); err != nil {
		return s.Fail(err)
	}
	if r.depth >= mostDepth {
		return s.Fail(fmt.Errorf("documents may run documents to a depth of %d only", mostDepth))
	}
	if in.DocumentPath == "AWS-Noop" {
		return plugin.Result{Status: plugin.Success}
	}
	source, err := r.source(ctx, s, &in)
	if err != nil {
		return s.Fail(err)
	}
	inner := *r
	inner.Dir, inner.Work, inner.Wake, inner.depth = filepath.Join(s.Dir, nestedFolder), filepath.Join(s.Dir, nestedFolder), nil, r.depth+1
	if err := disk.Folder(inner.Dir); err != nil {
		return s.Fail(err)
	}
	j, err := inner.Run(ctx, source)
	if err != nil {
		return s.Fail(err)
	}
	if err := errors.Join(s.Stdout.Reset(), s.Stderr.Reset()); err != nil { // a run before a reboot has written there
		return s.Fail(err)
	}
	if j.Failure != "" {
		return s.Fail(errors.New(j.Failure))
	}
	var status plugin.Status
	for i, step := range j.Steps {
		if step.Status == "" {
			break // not before the reboot
		}
		out, err := ReadOutput(inner.Dir, i)
		if err != nil {
			return s.Fail(err)
		}
		line(s.Stdout, out.Stdout)
		line(s.Stderr, out.Stderr)
		status = Worse(status, step.Status)
	}
	code := 0
	if status == plugin.Failed {
		code = 1
	}
	return plugin.Result{Status: status, Code: code}
}

// line writes a text so that what follows begins on a line of its own.
func line(to io.Writer, text string) {
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, _ = io.WriteString(to, text) // a stream takes everything
}

// source reads the inner document and its parameters.
func (r *Runner) source(ctx context.Context, s *plugin.Step, in *documentInput) (source Source, err error) {
	if in.DocumentPath == "" {
		return source, errors.New("documentPath must be given")
	}
	switch in.DocumentType {
	case "SSMDocument":
		_, content, err := plugin.GetDocument(ctx, s.SSM, in.DocumentPath)
		if err != nil {
			return source, err
		}
		source.Content = []byte(content)
	case "LocalPath":
		name := in.DocumentPath
		if !filepath.IsAbs(name) {
			name = filepath.Join(s.Downloads, name)
		}
		f, err := os.Open(name)
		if err != nil {
			return source, fmt.Errorf("the document could not be read: %w", err)
		}
		defer func() { _ = f.Close() }() // it is only read
		if source.Content, err = io.ReadAll(io.LimitReader(f, mostLocal+1)); err != nil {
			return source, fmt.Errorf("the document could not be read: %w", err)
		}
	default:
		return source, fmt.Errorf("the documentType must be SSMDocument or LocalPath, not %q", in.DocumentType)
	}
	source.Format = format(source.Content)
	source.Given, err = given(in.DocumentParameters)
	return source, err
}

// format tells the formats apart: a document in JSON begins with a brace.
func format(content []byte) string {
	if strings.HasPrefix(strings.TrimSpace(string(content)), "{") {
		return ssmdoc.JSON
	}
	return ssmdoc.YAML
}

// given reads documentParameters: an object, or a text that holds one in JSON or YAML.
func given(raw json.RawMessage) (map[string]any, error) {
	content := []byte(raw)
	var text string
	if json.Unmarshal(raw, &text) == nil {
		content = []byte(text)
	}
	if len(content) == 0 {
		return nil, nil
	}
	values, err := ssmdoc.Tree(content, format(content))
	if err != nil {
		return nil, fmt.Errorf("the documentParameters are malformed: %w", err)
	}
	return values, nil
}
