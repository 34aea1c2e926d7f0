// Package test runs the real clients against a real server: the AWS CLI, boto3, Terraform, and on the
// other side the official SSM Agent and our own. Nothing here knows more than a user would.
package test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vennel/vennel/cmd"
)

// program is the vennel program under test.
var program string

// TestMain builds the program once.
func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run builds, tests and tidies up.
func run(m *testing.M) int {
	if program = os.Getenv("VENNEL_TEST_PROGRAM"); program != "" { // it is a test that has started itself again, in namespaces
		return m.Run()
	}
	if os.Geteuid() == 0 { // the tests make no users on the machine
		if err := os.Setenv("VENNEL_AGENT_SESSION_USER", "root"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	folder, err := os.MkdirTemp("", "vennel-test-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(folder) }() // it is in the folder for temporary files
	program = filepath.Join(folder, "vennel")
	build := exec.Command("go", "build", "-o", program, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return 1
	}
	if err := os.Setenv("VENNEL_TEST_PROGRAM", program); err != nil { // for tests of the package beside
		return 1
	}
	return m.Run()
}

// need skips a test when a program is missing; where REQUIRE=1 that is a failure.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("REQUIRE") == "1" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("SKIPPED: %s is not installed", name)
	}
}

// server is a running vennel serve.
type server struct {
	cmd.Ready
	data  string
	args  []string
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
	err   error         // how it ended
	log   *os.File
}

// startServer starts a server in a folder and waits until it serves.
func startServer(data string, args ...string) (*server, error) {
	s := &server{data: data, args: args}
	return s, s.start("127.0.0.1:0", "127.0.0.1:0")
}

// start starts the server on addresses.
func (s *server) start(plain, secure string) (err error) {
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return err
	}
	if s.log, err = os.OpenFile(s.data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	s.cmd = exec.Command(program, append([]string{"serve", "--data", s.data, "--http", plain, "--https", secure}, s.args...)...)
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	s.ended = make(chan struct{})
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err == nil {
		err = json.Unmarshal([]byte(line), &s.Ready)
	}
	go func() {
		defer close(s.ended)
		_, _ = io.Copy(io.Discard, lines)
		s.err = s.cmd.Wait()
	}()
	if err != nil {
		return fmt.Errorf("the server is not ready: %w\n%s", err, s.logged())
	}
	return nil
}

// restart starts the server again where it was.
func (s *server) restart() error {
	return s.start(strings.TrimPrefix(s.HTTP, "http://"), strings.TrimPrefix(s.HTTPS, "https://"))
}

// stop ends the server in good order; it must take no more than five seconds.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.ended:
		return errors.Join(s.err, s.log.Close())
	case <-time.After(5 * time.Second):
		_ = s.cmd.Process.Kill()
		return fmt.Errorf("the server did not stop within 5 s\n%s", s.logged())
	}
}

// kill ends the server without warning.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
	_ = s.log.Close()
}

// logged is what the server has logged.
func (s *server) logged() string {
	text, err := os.ReadFile(s.data + ".log")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// env is what `vennel env` gives, as a list.
func (s *server) env() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + s.HTTP, "AWS_SHARED_CREDENTIALS_FILE=" + s.Credentials, "AWS_PROFILE=default", "AWS_REGION=" + s.Region,
		"AWS_DEFAULT_REGION=" + s.Region, "AWS_CA_BUNDLE=" + s.CA, "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null",
	}
}

// world is what a script has: a server and nodes.
type world struct {
	*server
	folder string
	agent  string // vennel or official
	nodes  map[string]node
}

// node is a running agent.
type node interface {
	start() error // registers first, the first time
	stop() error  // in good order
	kill() error  // without warning, and nothing of it is left but its files
	clear()       // stops it and forgets its files
}

// worldKey is where a script's world is found.
type worldKey struct{}

// worldOf gives a script's world.
func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// scripts runs the scripts of a folder on a server each.
func scripts(t *testing.T, folder, agent string, commands map[string]func(ts *testscript.TestScript, neg bool, args []string)) {
	all := map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"vennel": runVennel, "server": runServer, "waitfor": waitFor, "node": runNode, "env-from": envFrom,
	}
	maps.Copy(all, commands)
	testscript.Run(t, testscript.Params{
		Dir:                 folder,
		Cmds:                all,
		RequireExplicitExec: true,
		Condition:           func(name string) (bool, error) { return name == agent, nil },
		Setup: func(e *testscript.Env) error {
			w := &world{folder: e.WorkDir, agent: agent, nodes: map[string]node{}}
			if err := os.CopyFS(e.WorkDir, os.DirFS("testdata/tools")); err != nil {
				return err
			}
			var err error
			if w.server, err = startServer(filepath.Join(e.WorkDir, ".data")); err != nil {
				return err
			}
			e.Defer(func() {
				for _, n := range w.nodes {
					n.clear()
				}
				if err := w.server.stop(); err != nil {
					t.Error(err)
				}
			})
			e.Values[worldKey{}] = w
			e.Vars = append(e.Vars, w.env()...)
			e.Vars = append(e.Vars, "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "DATA="+w.data, "VENNEL_DATA="+w.data, "HOME="+e.WorkDir,
				"PYENV_VERSION="+os.Getenv("PYENV_VERSION"), "PYENV_ROOT="+os.Getenv("PYENV_ROOT"), "AGENT="+agent, "ADDRESS="+strings.TrimPrefix(w.HTTP, "http://"), "SECURE="+w.HTTPS)
			return nil
		},
	})
}

// runVennel runs the program under test: vennel ARGS.
func runVennel(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(program, args...)
	if (err != nil) != neg {
		ts.Fatalf("vennel %s: %v", strings.Join(args, " "), err)
	}
}

// runServer stops, starts or kills the server: server stop|start|kill.
func runServer(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	switch args[0] {
	case "stop":
		ts.Check(w.stop())
	case "kill":
		w.server.kill()
	case "start":
		if len(args) > 1 {
			w.server.args = args[1:]
		}
		ts.Check(w.restart())
	default:
		ts.Fatalf("server has no %s", args[0])
	}
}

// patience is how long waitfor waits.
const patience = 60 * time.Second

// waitFor runs a program again and again until it prints a word: waitfor WORD PROGRAM ARGS.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	word := regexp.MustCompile(`\b` + regexp.QuoteMeta(args[0]) + `\b`)
	for {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		if err == nil && word.MatchString(out) {
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%s never printed %q, but %s %v\n%s", strings.Join(args[1:], " "), args[0], out, err, worldOf(ts).logged())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// envFrom takes the activation from a file: env-from FILE, which holds the code and the id.
func envFrom(ts *testscript.TestScript, _ bool, args []string) {
	words := strings.Fields(ts.ReadFile(args[0]))
	if len(words) != 2 {
		ts.Fatalf("%s does not hold a code and an id", args[0])
	}
	ts.Setenv("ACTIVATION_CODE", words[0])
	ts.Setenv("ACTIVATION_ID", words[1])
}
