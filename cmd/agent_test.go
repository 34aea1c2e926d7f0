package cmd_test

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/vennel/vennel/agent/agenttest"
	"github.com/vennel/vennel/cmd"
)

// vennel runs a command line.
func vennel(in io.Reader, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = cmd.Main(args, cmd.Streams{In: in, Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

// TestRegisterCommand registers on the command line.
func TestRegisterCommand(t *testing.T) {
	p := agenttest.New(t)
	id, code := p.Activation()
	args := func(state string, more ...string) []string {
		return append([]string{"agent", "register", "--state", state, "--endpoint", p.URL(), "--ca", p.CAFile, "--id", id, "--region", agenttest.Region}, more...)
	}
	one, two, three := t.TempDir(), t.TempDir(), t.TempDir()
	if c, out, errs := vennel(nil, args(one, "--code", code)...); c != 0 || !strings.HasPrefix(out, "Successfully registered the instance with ") || !strings.Contains(out, "managed instance-id: mi-") {
		t.Errorf("%d %s %s", c, out, errs)
	}
	if c, out, errs := vennel(strings.NewReader(code+"\n"), args(two, "--code", "-", "--output", "json")...); c != 0 || !strings.HasPrefix(out, `{"InstanceId":"mi-`) {
		t.Errorf("%d %s %s", c, out, errs)
	}
	t.Setenv("VENNEL_ACTIVATION_CODE", code)
	if c, _, errs := vennel(nil, args(three)...); c != 0 {
		t.Errorf("%d %s", c, errs)
	}
	if c, _, errs := vennel(nil, args(three)...); c != 1 || !strings.Contains(errs, "already registered") {
		t.Errorf("%d %s", c, errs)
	}
	if c, _, errs := vennel(nil, args(three, "--force")...); c != 0 {
		t.Errorf("%d %s", c, errs)
	}
	if p.Nodes() != 4 {
		t.Errorf("%d nodes", p.Nodes())
	}
	if err := os.Unsetenv("VENNEL_ACTIVATION_CODE"); err != nil {
		t.Fatal(err)
	}
	if c, _, errs := vennel(nil, args(t.TempDir())...); c != 2 || !strings.Contains(errs, "--code") {
		t.Errorf("%d %s", c, errs)
	}
	if c, _, errs := vennel(strings.NewReader(""), args(t.TempDir(), "--code", "-")...); c != 1 {
		t.Errorf("%d %s", c, errs)
	}
	if c, _, errs := vennel(nil, args(t.TempDir(), "--code", "WRONG-CODE-WRONG-CODE")...); c != 1 || strings.Contains(errs, "WRONG-CODE") {
		t.Errorf("%d %s", c, errs)
	}
	if c, _, errs := vennel(nil, "agent", "run", "--state", t.TempDir()); c != 1 || !strings.Contains(errs, "holds no registration") {
		t.Errorf("%d %s", c, errs)
	}
	if c, _, errs := vennel(nil, "agent", "run", "--state", one, "--rotate-key-days", "366"); c != 2 || !strings.Contains(errs, "365") {
		t.Errorf("%d %s", c, errs)
	}
}
