package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTerraform applies a configuration with the stock provider, sees that a second plan is empty,
// changes it, and destroys it. The provider comes from a mirror of the registry that TF_PLUGIN_MIRROR
// names, because tests do not reach any network.
func TestTerraform(t *testing.T) {
	t.Parallel()
	mirror := os.Getenv("TF_PLUGIN_MIRROR")
	if _, err := exec.LookPath("terraform"); err != nil || mirror == "" { // neither is a Debian package
		t.Skip("SKIPPED: terraform is not installed, or TF_PLUGIN_MIRROR does not name a folder with its AWS provider")
	}
	folder := t.TempDir()
	s, err := startServer(filepath.Join(folder, "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	work := filepath.Join(folder, "work")
	if err := os.CopyFS(work, os.DirFS("testdata/terraform")); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(folder, "terraformrc")
	text := fmt.Sprintf("provider_installation {\n  filesystem_mirror { path = %q }\n}\n", mirror)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	content := "schemaVersion: '2.2'\ndescription: Hello\nmainSteps:\n- action: aws:runShellScript\n  name: hello\n  inputs:\n    runCommand: ['echo %s']\n"
	terraform := func(word, tag string, args ...string) (string, int) {
		c := exec.CommandContext(t.Context(), "terraform", args...)
		c.Dir = work
		c.Env = append(os.Environ(), s.env()...)
		c.Env = append(c.Env, "TF_CLI_CONFIG_FILE="+config, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1", "TF_VAR_endpoint="+s.HTTP,
			"TF_VAR_content="+fmt.Sprintf(content, word), "TF_VAR_tag="+tag)
		out, err := c.CombinedOutput()
		if err != nil && c.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), c.ProcessState.ExitCode()
	}
	must := func(word, tag string, want int, args ...string) string {
		t.Helper()
		out, code := terraform(word, tag, args...)
		if code != want {
			t.Fatalf("terraform %s exits with %d, want %d\n%s\n%s", strings.Join(args, " "), code, want, out, s.logged())
		}
		return out
	}
	must("one", "lab", 0, "init", "-input=false", "-no-color")
	out := must("one", "lab", 0, "apply", "-auto-approve", "-input=false", "-no-color")
	if !strings.Contains(out, `account = "000000000000"`) {
		t.Errorf("the outputs are not as expected:\n%s", out)
	}
	must("one", "lab", 0, "plan", "-detailed-exitcode", "-input=false", "-no-color")
	if out := must("two", "field", 0, "apply", "-auto-approve", "-input=false", "-no-color"); !regexp.MustCompile(`Resources: \d+ added, [1-9]\d* changed`).MatchString(out) {
		t.Errorf("nothing was changed:\n%s", out)
	}
	must("two", "field", 0, "plan", "-detailed-exitcode", "-input=false", "-no-color")
	must("two", "field", 0, "destroy", "-auto-approve", "-input=false", "-no-color")
	left := exec.CommandContext(t.Context(), "aws", "ssm", "list-documents", "--filters", "Key=Owner,Values=Self", "--query", "length(DocumentIdentifiers)", "--output", "text")
	left.Env = append(os.Environ(), s.env()...)
	if out, err := left.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "0" {
		t.Errorf("after destroy there are %s documents, %v", out, err)
	}
}
