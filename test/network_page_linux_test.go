package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestPage follows AWS's page with the stock AWS CLI, with our agent on the instance.
func TestPage(t *testing.T) {
	t.Parallel() // it waits most of the time, as the other parallel ones do
	page(t, agentImage)
}

// TestPageOfficial follows it with the unmodified SSM Agent, which is not ours to ship.
func TestPageOfficial(t *testing.T) {
	agent := os.Getenv("VENNEL_SSM_AGENT_DIR")
	if agent == "" {
		t.Skip("SKIPPED: VENNEL_SSM_AGENT_DIR does not name the folder of an official agent")
	}
	page(t, officialImage, "--ssm-agent", agent)
}

// page runs the scripts of a private network.
func page(t *testing.T, image string, args ...string) {
	privileged(t, "aws")
	e := newEstate(t, args...)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/network",
		RequireExplicitExec: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"vennel": runVennel, "waitfor": waitFor, "let": letVariable,
		},
		Setup: func(v *testscript.Env) error {
			v.Values[worldKey{}] = &world{server: e.serve}
			v.Vars = append(v.Vars, e.serve.env()...)
			v.Vars = append(v.Vars, "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "VENNEL_DATA="+e.serve.data, "HOME="+v.WorkDir,
				"PYENV_VERSION="+os.Getenv("PYENV_VERSION"), "PYENV_ROOT="+os.Getenv("PYENV_ROOT"), "IMAGE="+image)
			return nil
		},
	})
}

// letVariable makes a variable of what the last program printed: let NAME.
func letVariable(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}
