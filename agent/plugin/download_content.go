package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
)

// downloadInput are the inputs of aws:downloadContent.
type downloadInput struct {
	SourceType      string          `json:"sourceType"`
	SourceInfo      json.RawMessage `json:"sourceInfo"` // an object, or a text that holds one
	DestinationPath Scalar          `json:"destinationPath"`
}

// httpSource is the sourceInfo of HTTP.
type httpSource struct {
	URL                   Scalar `json:"url"`
	AuthMethod            Scalar `json:"authMethod"`
	Username              Scalar `json:"username"`
	Password              Scalar `json:"password"`
	AllowInsecureDownload Scalar `json:"allowInsecureDownload"`
}

// documentSource is the sourceInfo of SSMDocument.
type documentSource struct {
	Name string `json:"name"`
}

// downloadContent is aws:downloadContent, for the sources HTTP and SSMDocument.
func downloadContent(ctx context.Context, s *Step) Result {
	var in downloadInput
	if err := s.Input(&in); err != nil {
		return s.Fail(err)
	}
	to := string(in.DestinationPath)
	if !filepath.IsAbs(to) {
		to = filepath.Join(s.Downloads, to)
		if given := string(in.DestinationPath); given == "" || os.IsPathSeparator(given[len(given)-1]) {
			to += string(os.PathSeparator)
		}
	}
	var err error
	switch in.SourceType {
	case "HTTP":
		err = s.downloadHTTP(ctx, in.SourceInfo, to)
	case "SSMDocument":
		err = s.downloadDocument(ctx, in.SourceInfo, to)
	case "":
		err = errors.New("sourceType must be given")
	case "S3", "Git", "GitHub":
		err = fmt.Errorf("the source type %s is not supported by this agent; it downloads from HTTP and SSMDocument", in.SourceType)
	default:
		err = fmt.Errorf("the source type %q is not known; this agent downloads from HTTP and SSMDocument", in.SourceType)
	}
	if err != nil {
		return s.Fail(err)
	}
	fmt.Fprintf(s.Stdout, "Content downloaded to %s", to)
	return Result{Success, 0}
}

// sourceInfo reads a sourceInfo in either form.
func sourceInfo(raw json.RawMessage, into any) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = json.RawMessage(text)
	}
	if len(raw) == 0 {
		return errors.New("sourceInfo must be given")
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("sourceInfo is malformed: %w", err)
	}
	return nil
}

// downloadHTTP fetches a URL into a file.
func (s *Step) downloadHTTP(ctx context.Context, info json.RawMessage, to string) error {
	var source httpSource
	if err := sourceInfo(info, &source); err != nil {
		return err
	}
	from, err := url.Parse(strings.TrimSpace(string(source.URL)))
	if err != nil {
		return fmt.Errorf("the URL is malformed: %w", err)
	}
	insecure := strings.EqualFold(string(source.AllowInsecureDownload), "true")
	if err := secure(from, insecure); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, from.String(), nil)
	if err != nil {
		return err
	}
	switch method := strings.TrimSpace(string(source.AuthMethod)); method {
	case "", "None":
	case "Basic":
		user, err := s.secret(ctx, string(source.Username))
		if err != nil {
			return err
		}
		password, err := s.secret(ctx, string(source.Password))
		if err != nil {
			return err
		}
		request.SetBasicAuth(user, password)
	default:
		return fmt.Errorf("the authentication method %q is not supported by this agent; it knows None and Basic", method)
	}
	client := *s.HTTP
	client.CheckRedirect = func(next *http.Request, before []*http.Request) error {
		if len(before) >= 10 {
			return errors.New("too many redirections")
		}
		return secure(next.URL, insecure)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("failed to download: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("failed to download: %s answered %s", from.Host, response.Status)
	}
	name := path.Base(from.Path)
	if name == "/" || name == "." {
		name = "download"
	}
	return save(to, name, response.Body)
}

// secure refuses a URL that is not HTTPS, unless the document allows it.
func secure(u *url.URL, insecure bool) error {
	switch {
	case strings.EqualFold(u.Scheme, "https"):
		return nil
	case !strings.EqualFold(u.Scheme, "http"):
		return fmt.Errorf("the URL must begin with http or https, not with %q", u.Scheme)
	case !insecure:
		return errors.New("the URL is not secure; set allowInsecureDownload to true to download from it all the same")
	}
	return nil
}

// secretReference is a text that is nothing but a reference to a stored parameter, which may be
// secret in the members that hold credentials.
var secretReference = regexp.MustCompile(`^\{\{\s*ssm(-secure)?:([/\w.:-]+)\s*\}\}$`)

// secret gives a text, or the stored parameter that it refers to.
func (s *Step) secret(ctx context.Context, text string) (string, error) {
	text = strings.TrimSpace(text)
	m := secretReference.FindStringSubmatch(text)
	if m == nil {
		return text, nil
	}
	var out ssm.GetParametersOutput
	in := &ssm.GetParametersInput{Names: []string{m[2]}, WithDecryption: new(bool)}
	*in.WithDecryption = m[1] != ""
	if err := s.SSM.Call(ctx, "GetParameters", in, &out); err != nil {
		return "", fmt.Errorf("the parameter %s could not be read: %w", m[2], err)
	}
	if len(out.Parameters) != 1 || out.Parameters[0].Value == nil {
		return "", fmt.Errorf("the parameter %s does not exist", m[2])
	}
	if got := api.Or(out.Parameters[0].Type, ""); (got == ssm.ParameterTypeSecureString) != (m[1] != "") {
		return "", fmt.Errorf("the parameter %s is of type %s: ssm-secure is for SecureString, ssm for all else", m[2], got)
	}
	return *out.Parameters[0].Value, nil
}

// downloadDocument fetches a document into a file.
func (s *Step) downloadDocument(ctx context.Context, info json.RawMessage, to string) error {
	var source documentSource
	if err := sourceInfo(info, &source); err != nil {
		return err
	}
	name, content, err := GetDocument(ctx, s.SSM, source.Name)
	if err != nil {
		return err
	}
	return save(to, path.Base(name)+".json", strings.NewReader(content))
}

// GetDocument fetches a document, in JSON, by its name or ARN, which a version may follow after a
// colon. It returns the name without the version.
func GetDocument(ctx context.Context, from Caller, ref string) (name, content string, err error) {
	if ref == "" {
		return "", "", errors.New("the name of the document must be given")
	}
	last, version, _ := strings.Cut(ref[strings.LastIndexByte(ref, '/')+1:], ":")
	if last == "" {
		return "", "", fmt.Errorf("%q is not the name of a document", ref)
	}
	name = strings.TrimSuffix(ref, ":"+version)
	var out ssm.GetDocumentOutput
	if err := from.Call(ctx, "GetDocument", &ssm.GetDocumentInput{Name: name, DocumentVersion: api.Given(version)}, &out); err != nil {
		return "", "", fmt.Errorf("the document %s could not be read: %w", ref, err)
	}
	if status := api.Or(out.Status, "Active"); status != "Active" {
		return "", "", fmt.Errorf("the document %s is %s", ref, status)
	}
	return name, api.Or(out.Content, ""), nil
}

// save writes a file that whoever runs the agent can run. A destination that ends with a separator
// or is a folder gets the file under its own name. Nothing is there until all of it is.
func save(to, name string, from io.Reader) (err error) {
	if info, err := os.Stat(to); os.IsPathSeparator(to[len(to)-1]) || err == nil && info.IsDir() {
		to = filepath.Join(to, name)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(to), ".download.*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err == nil {
		err = f.Chmod(0o700)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), to)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("failed to save the download: %w", err)
	}
	return nil
}
