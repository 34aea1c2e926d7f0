//go:build unix

package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vennel/vennel/agent"
	"github.com/vennel/vennel/agent/agenttest"
	"github.com/vennel/vennel/cmd"
)

// TestMain lets the test binary be the agent and its workers.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		os.Exit(cmd.Main(os.Args[1:], cmd.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
	}
	os.Exit(m.Run())
}

// world is a plane with one registered node.
type world struct {
	*agenttest.Plane
	t     *testing.T
	state string
	node  *agenttest.Node
}

// newWorld makes a plane and registers a node. Worlds do not touch each other.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{Plane: agenttest.New(t), t: t, state: t.TempDir()}
	w.node = w.Node(t, w.register(w.state))
	return w
}

// register registers a node and gives its id.
func (w *world) register(state string) string {
	w.t.Helper()
	id, code := w.Activation()
	got, err := agent.Register(w.t.Context(), agent.Activation{
		State: state, Code: code, ID: id, Region: agenttest.Region, Endpoint: w.URL(), CA: w.CA(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// config is the configuration of an agent in this process; its workers are processes all the same.
func (w *world) config() agent.Config {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	return agent.Config{State: w.state, Worker: []string{self, "agent", "work"}, Session: holder(self), Log: slog.New(slog.NewTextHandler(&testLog{t: w.t}, nil))}
}

// holder is the command that holds sessions. They run as whoever runs the tests: no user is created on the machine.
func holder(self string) []string {
	me, err := user.Current()
	if err != nil {
		panic(err)
	}
	return []string{self, "agent", "session", "--log-level", "debug", "--session-user", me.Username}
}

// testLog gives the lines of a log to a test, as long as it runs.
type testLog struct {
	t *testing.T
}

// Write writes a line.
func (l *testLog) Write(p []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

// start runs an agent in this process, and gives what stops it.
func (w *world) start(change ...func(*agent.Config)) (stop func()) {
	w.t.Helper()
	cfg := w.config()
	for _, c := range change {
		c(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx, cfg) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				w.t.Errorf("the agent ended with %v", err)
			}
			w.node.Offline(w.t)
		})
	}
	w.t.Cleanup(stop)
	return stop
}

// process is an agent that is a process of its own.
type process struct {
	cmd *exec.Cmd
	log *safeBuffer
}

// safeBuffer is a buffer that a process and a test share.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

// Write writes.
func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String is all that was written.
func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// launch runs the agent as a process.
func (w *world) launch(args ...string) *process {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	p := &process{log: new(safeBuffer)}
	p.cmd = exec.Command(self, append([]string{"agent", "run", "--state", w.state, "--session-user", holder(self)[6]}, args...)...)
	logs, into, err := os.Pipe() // not a writer: Wait would wait for the workers, too
	if err != nil {
		w.t.Fatal(err)
	}
	p.cmd.Stderr = into
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	_ = into.Close()
	go func() { _, _ = io.Copy(p.log, logs) }()
	w.t.Cleanup(func() {
		p.kill()
		_ = logs.Close()
		if w.t.Failed() {
			w.t.Logf("agent %d:\n%s", p.cmd.Process.Pid, p.log)
		}
	})
	return p
}

// kill kills the agent and nothing else.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// terminate tells the agent to stop, and gives how long that took.
func (p *process) terminate(t *testing.T) time.Duration {
	t.Helper()
	begin := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the agent ended with %v", err)
	}
	return time.Since(begin)
}

// eventually waits for something that the plane does not see.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

// content reads a file; none is empty.
func content(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// leftovers lists what is left in folders of the node.
func (w *world) leftovers(folders ...string) []string {
	w.t.Helper()
	var all []string
	for _, f := range folders {
		entries, err := os.ReadDir(filepath.Join(w.state, w.node.ID, f))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") { // a file that is being written
				all = append(all, f+"/"+e.Name())
			}
		}
	}
	return all
}

// hurry changes one of an agent's waits.
func hurry(what string, d time.Duration) func(*agent.Config) {
	return func(c *agent.Config) { c.Hurry(what, d) }
}

// toJSON writes a value.
func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
