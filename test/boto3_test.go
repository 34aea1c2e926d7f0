package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBoto3 runs a session with the Python SDK.
func TestBoto3(t *testing.T) {
	need(t, "python3")
	if err := exec.CommandContext(t.Context(), "python3", "-c", "import boto3").Run(); err != nil {
		if os.Getenv("REQUIRE") == "1" {
			t.Fatal("boto3 is not installed")
		}
		t.Skip("SKIPPED: boto3 is not installed")
	}
	s, err := startServer(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	c := exec.CommandContext(t.Context(), "python3", "testdata/session.py")
	c.Env = append(os.Environ(), s.env()...)
	out, err := c.CombinedOutput()
	want := `account 000000000000
arn arn:aws:sts::000000000000:assumed-role/reader/me
document Command
denied AccessDeniedException
twice DocumentAlreadyExists
bad InvalidDocumentContent
pages [5, 5, 2]
token InvalidNextToken
nobody InvalidInstanceId
parameters InvalidParameters
unknown UnknownOperationException
users 1
`
	if diff := cmp.Diff(want, string(out)); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s\n%s", err, diff, s.logged())
	}
}
